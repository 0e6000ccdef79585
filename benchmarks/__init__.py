"""Measurements of speed and of overhead; not in the wheel."""
