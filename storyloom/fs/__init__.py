"""Files: written whole or not at all, and read from a disk or a URL."""
