"""Finished shards rewritten for trainers that do not read WebDataset: one file a format. docs/export.md."""
