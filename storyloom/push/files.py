"""The files that a dataset consists of, and nothing else that may lie beside them."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from storyloom.card.indexes import index_files
from storyloom.format.manifest import MANIFEST, Published
from storyloom.fs.folder import DataFolder

CARD, CROISSANT = "README.md", "croissant.json"

PICTURES = "pictures"
"""Folder of the card's pictures; it is in what is pushed alone."""

OURS = re.compile(
    r"data/(train|val)/(shard-[0-9]{6}\.(tar|tar\.idx|parquet)|sizes\.json)|wids-(train|val)\.json|manifest\.json|croissant\.json"
    rf"|README\.md|\.nv-meta/[\w.-]+|{PICTURES}/story-[0-9]\.jpg"
)
"""Paths of what a push may have left at its target: the only ones that it replaces or removes."""

CHUNK = 2**20
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class PushFile:
    """A file of a dataset.

    Attributes:
        path: Within the dataset.
        size: Bytes.
        sha256: Hexadecimal.
        md5: Hexadecimal.
        folder: The dataset, in which it lies.
        content: Of a file that lies nowhere; None for one of the folder.
    """

    path: str
    size: int
    sha256: str
    md5: str
    folder: DataFolder
    content: bytes | None = None

    def pieces(self) -> Iterator[bytes]:
        """The content, piece by piece."""
        if self.content is not None:
            yield self.content
            return
        with self.folder.open(self.path) as file:
            while piece := file.read(CHUNK):
                yield piece

    def git_sha1(self) -> str:
        """Name of the content among git's blobs, by which a repository tells small files."""
        digest = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    def source(self) -> str | bytes | io.BufferedReader:
        """Its path on the disk, or its content, or where that is read from."""
        if self.content is not None:
            return self.content
        if self.folder.is_here:
            return f"{self.folder.address}/{self.path}"
        return io.BufferedReader(self.folder.open(self.path), CHUNK)


def dataset_files(folder: DataFolder, published: Published, changed: Mapping[str, bytes]) -> list[PushFile]:
    """The files of a dataset in the order in which they are sent: the manifest, which marks a whole dataset, is last.

    Args:
        folder: The dataset; valid.
        published: Its manifest.
        changed: Path and content of files that are sent instead of, or beside, those of the folder.
    """
    shards = [PushFile(shard.file, shard.filesize, shard.sha256, shard.md5sum, folder) for shard in published.shards]
    small = [*published.beside_shards, *index_files(published), CROISSANT, CARD]
    contents = {path: changed.get(path) for path in [*small, *changed, MANIFEST]}
    return [*shards, *(_small(folder, path, content) for path, content in contents.items())]


def _small(folder: DataFolder, path: str, content: bytes | None) -> PushFile:
    found = folder.read_whole(path) if content is None else content
    sha256, md5 = hashlib.sha256(found), hashlib.md5(found, usedforsecurity=False)
    return PushFile(path, len(found), sha256.hexdigest(), md5.hexdigest(), folder, content)


def copy(file: PushFile, target: BinaryIO, on_bytes: Callable[[int], None]) -> str:
    """Write a file into an open one; returns the SHA-256 of what was written."""
    digest = hashlib.sha256()
    for piece in file.pieces():
        target.write(piece)
        digest.update(piece)
        on_bytes(len(piece))
    return digest.hexdigest()


def md5_of_base64(text: str) -> str:
    """An MD5 as some object stores give it, hexadecimal; empty where it is none."""
    try:
        return base64.b64decode(text, validate=True).hex()
    except ValueError:
        return ""
