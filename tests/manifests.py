"""Manifests for tests, from rows to tables and back."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline.manifest import SCHEMA
from schemas.manifest import ManifestRow


def table(rows: Sequence[ManifestRow]) -> pa.Table:
    return pa.Table.from_pylist([row.model_dump() for row in rows], schema=SCHEMA)


def rows(manifest: pa.Table) -> list[ManifestRow]:
    return [ManifestRow.model_validate(line) for line in manifest.to_pylist()]
