"""The dataset card and the small files that each consumer reads."""
