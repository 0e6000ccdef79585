"""The settings of a config: what each means, and configs to start from."""
