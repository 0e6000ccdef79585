"""Manifests for tests, from rows to tables and back."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.manifest import SCHEMA, read_manifest
from schemas.manifest import ManifestRow


def table(rows: Sequence[ManifestRow]) -> pa.Table:
    return pa.Table.from_pylist([row.model_dump() for row in rows], schema=SCHEMA)


def rows(manifest: pa.Table) -> list[ManifestRow]:
    return [ManifestRow.model_validate(line) for line in manifest.to_pylist()]


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def read(path: str) -> list[ManifestRow]:
    return rows(read_manifest(path)[0])


def tar_of(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)
