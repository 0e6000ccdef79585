"""The speed bench: our stages compared with their limits and with other tools. See docs/speed.md."""
