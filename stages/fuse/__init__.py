"""fuse: what is said and what is shown at a frame, as one text."""
