"""Models of the rows between stages and of the config sections.

Nothing here imports torch or ray, so schemas can be checked quickly anywhere.
"""
