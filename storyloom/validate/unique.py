"""Uniqueness over a dataset, with bounded memory: of keys, and of the split of a source video."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from storyloom.format.tar import BLOCK, MAX_DOCUMENT, read_header
from storyloom.fs.folder import DataFolder
from storyloom.fs.ranges import ByteRange
from storyloom.validate.result import PLACE
from storyloom.validate.violation import Violations

BUCKETS = 64
"""Temporary files over which places are partitioned by hash; one at a time is in memory: 30 MB at 10^8 documents."""


class Places:
    """Collects `PLACE` records on disk and finds hashes that occur more than once. A context manager."""

    def __init__(self) -> None:
        self._files: list[IO[bytes]] = []

    def __enter__(self) -> Self:
        self._files = [tempfile.TemporaryFile(prefix="storyloom-") for _ in range(BUCKETS)]  # noqa: SIM115
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(self, places: npt.NDArray[np.void]) -> None:
        """Add the places of a shard."""
        buckets = places["digest"] % BUCKETS
        for bucket in np.unique(buckets):
            self._files[bucket].write(places[buckets == bucket].tobytes())

    def repeated(self) -> Iterator[list[tuple[int, int]]]:
        """Shards and offsets of each repeated hash, in order; hashes in the order of their second occurrence."""
        found: list[list[tuple[int, int]]] = []
        for file in self._files:
            places = self._places(file)
            places = places[np.lexsort((places["offset"], places["shard"], places["digest"]))]
            again = places["digest"][1:] == places["digest"][:-1]
            for first in np.flatnonzero(again & ~np.concatenate(([False], again))[:-1]):
                same = np.flatnonzero(~again[first:])
                last = first + int(same[0]) if len(same) else len(places) - 1
                found.append([(int(p["shard"]), int(p["offset"])) for p in places[first : last + 1]])
        yield from sorted(found, key=lambda group: group[1])

    def distinct(self) -> int:
        """How many different hashes there are."""
        return sum(len(np.unique(self._places(file)["digest"])) for file in self._files)

    @staticmethod
    def _places(file: IO[bytes]) -> npt.NDArray[np.void]:
        file.seek(0)
        return np.frombuffer(file.read(), PLACE)


@dataclass(frozen=True)
class _Document:
    file: str
    key: str
    video: str


def report_repeated(
    keys: Places, videos: Places, folder: DataFolder, files: Sequence[str], violations: Violations
) -> None:
    """Report keys of more than one document, and source videos in more than one split.

    Args:
        keys: Of all shards.
        videos: Of all shards.
        folder: Of the dataset.
        files: Paths of the shards, by their numbers.
        violations: Collects the repeated ones.
    """
    for group in keys.repeated():
        first, *others = (_document(folder, files[shard], offset, violations) for shard, offset in group)
        for other in others:
            if first and other and other.key == first.key:
                where = f"in {first.file}" if other.file != first.file else "before in this shard"
                violations.add(other.file, "duplicate_key", f"a document of this key lies {where}, too", other.key)
    for group in videos.repeated():
        if len({_split(files[shard]) for shard, _ in group}) > 1:
            seen = [one for shard, offset in group if (one := _document(folder, files[shard], offset, violations))]
            first = seen[0] if seen else None
            other = next((one for one in seen if first and _split(one.file) != _split(first.file)), None)
            if first and other and other.video == first.video:
                message = f"video {first.video!r} is in {first.file}, too: {first.key}"
                violations.add(other.file, "video_in_two_splits", message, other.key)


def _split(file: str) -> str:
    return Path(file).parent.name


def _document(folder: DataFolder, file: str, offset: int, violations: Violations) -> _Document | None:
    """The names of the document at a place, read again, since only hashes were kept; None if it is gone by now."""
    try:
        name, size = read_header(_bytes(folder, file, offset, BLOCK))
        wanted = name.endswith(".json") and size <= MAX_DOCUMENT
        content = _bytes(folder, file, offset + BLOCK, size) if wanted else b""
    except (OSError, ValueError) as reason:
        violations.add(file, "unreadable", f"it changed while it was read: {reason}")
        return None
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        document = {}
    video = document.get("video_id") or document.get("video_url", "") if isinstance(document, dict) else ""
    return _Document(file, name.partition(".")[0], str(video))


def _bytes(folder: DataFolder, file: str, start: int, size: int) -> bytes:
    """Bytes of a file.

    Raises:
        OSError: They cannot be read.
    """
    (content,) = folder.read([ByteRange(file, start, start + size)])
    if isinstance(content, Exception):
        raise OSError(folder.why(content)) from None
    return content
