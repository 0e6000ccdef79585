"""Two finished datasets beside each other: what one has and the other has not, and why. docs/diff.md."""
