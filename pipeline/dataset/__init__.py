"""The finished dataset: shards in their place, indexes, card and provenance."""
