"""Code that models of several stages share."""
