"""transcribe: words with times."""
