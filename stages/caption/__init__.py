"""The stage `caption`."""
