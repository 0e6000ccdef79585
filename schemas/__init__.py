"""The nouns: models of every row that passes between stages, of the config and of a shard's sample.

Nothing here imports torch or ray, so that a schema can be checked anywhere in a moment.
"""
