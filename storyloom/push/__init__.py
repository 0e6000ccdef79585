"""A finished dataset sent to a place where others read it: a folder, an object store, a repository. docs/push.md."""
