"""A person judges frame-sentence pairs of a finished dataset, and what that says of the whole. docs/review.md."""
