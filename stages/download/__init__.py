"""download: media files, subtitles and what they hold."""
