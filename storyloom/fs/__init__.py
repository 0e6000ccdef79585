"""Files and where they lie: written whole or not at all, and read from a disk or a URL."""
