"""Our stages beside what bounds them and beside other tools, measured in one run: docs/speed.md."""
