"""Media files: ffmpeg, the sandbox of child processes, probing, audio, subtitles."""
