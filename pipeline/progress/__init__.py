"""What a run says while it goes on: its progress, speed and estimate."""
