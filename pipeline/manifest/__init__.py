"""Reading a manifest: lists and folders of videos, here and remote. It becomes a table."""

from pipeline.manifest.read import SCHEMA, Manifest, read_manifest

__all__ = ["SCHEMA", "Manifest", "read_manifest"]
