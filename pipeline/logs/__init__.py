"""What the marks of ended groups say, folded into a few large files."""
