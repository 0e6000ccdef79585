"""Groups of shards into one finished dataset."""
