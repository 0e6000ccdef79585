"""write: documents into shards."""
