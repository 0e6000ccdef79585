"""Measurements that the documentation quotes, each behind a command."""
