"""The stage `fuse`."""
