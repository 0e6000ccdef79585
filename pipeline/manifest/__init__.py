"""Reading a manifest: lists and folders of videos, here and remote. It becomes rows."""

from pipeline.manifest.read import SCHEMA, Listed, Manifest, list_manifest, read_manifest
from pipeline.manifest.rows import Rows

__all__ = ["SCHEMA", "Listed", "Manifest", "Rows", "list_manifest", "read_manifest"]
