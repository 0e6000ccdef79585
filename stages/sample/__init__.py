"""sample: frames with times."""
