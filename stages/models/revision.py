"""Revisions of models and libraries for fingerprints: the hash of a local model's content, versions of packages."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stages.base import StageSetupError


def content_revision(model: str) -> str:
    """``sha256:`` and 16 digits of a file's or folder's content; the name itself when it is not a local path."""
    path = Path(model).expanduser()
    if not model or not path.exists():
        return model
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent
    digest = hashlib.sha256()
    for file in files:
        stat = file.stat()
        digest.update(f"{file.relative_to(root)}\0{_file_sha256(file, stat.st_size, stat.st_mtime_ns)}\n".encode())
    return f"sha256:{digest.hexdigest()[:16]}"


def library_versions(*packages: str) -> str:
    """The installed versions of packages, e.g. ``numpy 2.1.0, torch 2.13.0``; imports none of them.

    Raises:
        StageSetupError: One is not installed.
    """
    try:
        return ", ".join(f"{package} {version(package)}" for package in packages)
    except PackageNotFoundError as missing:
        raise StageSetupError(f"the package {missing.name} is not installed") from missing


@functools.cache
def _file_sha256(file: Path, _size: int, _mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
