"""How many tokens a dataset has for each model, from its manifest alone."""
