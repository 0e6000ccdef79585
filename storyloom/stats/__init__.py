"""Statistics of a finished dataset, as numbers and as an HTML page."""
