"""A finished dataset in numbers, and as a page to look at."""
