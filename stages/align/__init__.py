"""align: sentences with times, and candidate pairs."""
