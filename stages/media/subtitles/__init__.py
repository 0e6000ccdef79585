"""Subtitle tracks, from a file or embedded in the media: their encodings, their formats, the words of their cues."""
