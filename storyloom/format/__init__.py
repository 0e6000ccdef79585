"""The shard format `storyloom/1`: a sample, its tar file, indexes, the manifest, and what is counted."""
