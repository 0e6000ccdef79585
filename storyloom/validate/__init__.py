"""`storyloom validate`: every rule of docs/format.md over a finished dataset."""
