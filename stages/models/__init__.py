"""What models of several stages share."""
