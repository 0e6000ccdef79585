"""score: image-text similarity."""
