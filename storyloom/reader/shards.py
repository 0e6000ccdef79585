"""The bytes of documents, from a folder or from any address that fsspec reads."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from storyloom.errors import RunFailed, UsageError
from storyloom.format.tar import INDEX_TYPE
from storyloom.reader.document import Document, parse

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANIFEST = "manifest.json"

ATTEMPTS = 4
"""How often a range is asked for; our choice."""

PAUSE = 0.5
"""Seconds before the second attempt; twice as long before each later one. Our choice."""


class Shard(BaseModel):
    """What the manifest says of a shard, as far as a reader needs it.

    Attributes:
        split: Which part of the dataset it belongs to.
        file: Its path relative to the dataset's folder.
        nsamples: Documents.
        filesize: Bytes.
    """

    split: str
    file: str
    nsamples: int
    filesize: int


class Manifest(BaseModel):
    """What a reader needs of `manifest.json`: of every dataset of the format, whatever else later versions write.

    Attributes:
        schema_: Name and version of the shard format.
        sha256: Of the dataset.
        shards: Training shards, then validation shards, in order.
    """

    schema_: Literal["storyloom/1"] = Field(alias="schema")
    sha256: str
    shards: list[Shard]


class UnreadableShard(RunFailed):
    """A shard or its index is gone, cut off or damaged."""


class ShardReader:
    """Reads documents of a finished dataset by shard and number.

    webdataset's readers go through a tar from its start and cannot say where they are (webdataset issues 177, 234 and
    271), so nothing on top of them goes on exactly. With `.tar.idx` a document is one byte range, wherever it lies.

    Args:
        url: Folder of the dataset, or an fsspec URL of it.
        options: fsspec's options for it, e.g. credentials.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        from fsspec.core import url_to_fs

        self.url = url.rstrip("/")
        self._files, path = url_to_fs(self.url, **options)
        self._root = path.rstrip("/")
        self._indexes: dict[str, NDArray[np.uint64]] = {}

    def manifest(self) -> Manifest:
        """The dataset's manifest.

        Raises:
            UsageError: There is none, or it is of another version.
        """
        (content,) = self._fetch([(MANIFEST, None, None)])
        if isinstance(content, FileNotFoundError):
            raise UsageError(f"{self.url} holds no finished dataset: there is no {MANIFEST} in it")
        if isinstance(content, Exception):
            raise UsageError(f"cannot read {self.url}/{MANIFEST}: {content!r}") from content
        try:
            return Manifest.model_validate_json(content)
        except ValidationError as error:
            raise UsageError(f"{self.url}/{MANIFEST} is none that this version reads: {error}") from None

    def documents(self, wanted: Sequence[tuple[Shard, int]]) -> list[Document]:
        """Documents by shard and number within it; the ranges are asked for at once where the file system can.

        Raises:
            UnreadableShard: A shard or its index is gone, cut off or damaged.
        """
        ranges = []
        for shard, number in wanted:
            start, end = self._index(shard)[number : number + 2].tolist()
            ranges.append((shard.file, start, end))
        found = self._fetch(ranges)
        return [
            self._document(file, number, end - start, content)
            for (file, start, end), (_, number), content in zip(ranges, wanted, found, strict=True)
        ]

    def _document(self, file: str, number: int, size: int, content: bytes | Exception) -> Document:
        where = f"{self.url}/{file}, document {number}"
        if isinstance(content, Exception):
            raise UnreadableShard(f"{where}: {content!r}") from content
        if len(content) < size:
            raise UnreadableShard(f"{where}: {len(content)} bytes instead of {size}, the shard is cut off")
        if len(content) > size:
            raise UnreadableShard(f"{where}: {len(content)} bytes instead of {size}, the server ignores byte ranges")
        try:
            return parse(content)
        except ValueError as error:
            raise UnreadableShard(f"{where}: {error}. Compare the shard with its sha256 in {MANIFEST}.") from None

    def _index(self, shard: Shard) -> NDArray[np.uint64]:
        if shard.file not in self._indexes:
            self._indexes[shard.file] = self._read_index(shard)
        return self._indexes[shard.file]

    def _read_index(self, shard: Shard) -> NDArray[np.uint64]:
        file = f"{shard.file}.idx"
        (content,) = self._fetch([(file, None, None)])
        if isinstance(content, Exception):
            raise UnreadableShard(f"{self.url}/{file}: {content!r}; no shard is complete without it") from content
        size = INDEX_TYPE.itemsize * (shard.nsamples + 1)
        if len(content) != size:
            raise UnreadableShard(f"{self.url}/{file}: {len(content)} bytes instead of {size}")
        index = np.frombuffer(content, INDEX_TYPE).astype(np.uint64)
        if index[0] != 0 or np.any(index[1:] <= index[:-1]) or index[-1] > shard.filesize:
            raise UnreadableShard(f"{self.url}/{file}: its offsets do not rise from 0 to at most {shard.filesize}")
        return index

    def _fetch(self, ranges: Sequence[tuple[str, int | None, int | None]]) -> list[bytes | Exception]:
        """Contents by path, start and end; what failed is tried again, but for files that are not there."""
        found: list[bytes | Exception] = self._cat(ranges)
        for attempt in range(1, ATTEMPTS):
            failed = [n for n, one in enumerate(found) if _may_pass(one)]
            if not failed:
                break
            time.sleep(PAUSE * 2 ** (attempt - 1))
            for n, one in zip(failed, self._cat([ranges[n] for n in failed]), strict=True):
                found[n] = one
        return found

    def _cat(self, ranges: Sequence[tuple[str, int | None, int | None]]) -> list[bytes | Exception]:
        paths = [f"{self._root}/{file}" for file, _, _ in ranges]
        starts, ends = [start for _, start, _ in ranges], [end for _, _, end in ranges]
        return list(self._files.cat_ranges(paths, starts, ends, on_error="return"))


def _may_pass(one: bytes | Exception) -> bool:
    return isinstance(one, Exception) and not isinstance(one, FileNotFoundError | PermissionError)
