"""Documents shown to a person."""
