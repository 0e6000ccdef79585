"""duplicates: videos with the same content under several names."""
