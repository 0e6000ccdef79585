"""Rooms of the app over a run: tuning, timelines of videos, and what became of every video."""
