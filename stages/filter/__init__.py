"""filter: the assignment, what is dropped, documents."""
