"""Media files: ffmpeg, the sandbox that children run in, probing, audio, subtitles."""
