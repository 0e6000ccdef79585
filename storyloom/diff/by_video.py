"""The documents of two datasets brought together by video, on a disk: memory holds one video at a time."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Self

from storyloom.diff.told import Place, Told, told
from storyloom.format.manifest import Published
from storyloom.format.reader import ShardReader
from storyloom.format.sample import Sample
from storyloom.format.shard import Shard
from storyloom.format.stored import StoredDocument

OnShard = Callable[[], None]
"""Called after each shard."""

DIGEST = 16
"""Bytes of a digest: two of 10^9 pictures are taken for the same with a probability of 10^-21."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A document of a dataset: key, content, and where its shard has it."""

    key: str
    told: Told
    shard: str
    number: int

    def place(self, image: int) -> Place:
        """Where an image lies."""
        return Place(self.shard, self.number, image)


@dataclass(frozen=True, slots=True)
class VideoPair:
    """A video's documents in both datasets, in the order of their shards.

    Attributes:
        video: Its id.
        title: Empty when unknown.
        sides: The documents of the first dataset and of the second.
    """

    video: str
    title: str
    sides: tuple[list[Placed], list[Placed]]


class ByVideo:
    """Collects documents in a temporary file and gives them back by video. A context manager.

    Attributes:
        lowest: Lowest score of each dataset's frames; None without any.
    """

    def __init__(self) -> None:
        self.lowest: list[float | None] = [None, None]

    def __enter__(self) -> Self:
        self._db = sqlite3.connect("")  # a temporary file, which SQLite removes
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute(
            "CREATE TABLE documents"
            " (video BLOB, side INTEGER, shard INTEGER, number INTEGER, content BLOB, images BLOB, codes BLOB)"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(
        self, side: int, reader: ShardReader, published: Published, shared: Collection[str] | None, on_shard: OnShard
    ) -> None:
        """Read a dataset once.

        Args:
            side: 0 or 1.
            reader: Of the dataset.
            published: Its manifest.
            shared: SHA-256 of the shards that both datasets have, whose pictures and codes are not read; None reads
                none at all.
            on_shard: Called after each shard.

        Raises:
            BadShard: A shard is damaged, or not what the manifest says.
        """
        for place, shard in enumerate(published.shards):
            for stored, sample, *digests in _documents(reader, shard, shared):
                row = _of_video(sample), side, place, stored.number, zlib.compress(stored.content, 1), *digests
                self._db.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                self._note_scores(side, sample)
            on_shard()

    def videos(self, first: Published, second: Published) -> Iterator[VideoPair]:
        """Every video of either dataset, once."""
        self._db.execute("CREATE INDEX by_video ON documents (video, side, shard, number)")
        rows = self._db.execute("SELECT * FROM documents ORDER BY video, side, shard, number")
        for _, some in groupby(rows, key=itemgetter(0)):
            sides: tuple[list[Placed], list[Placed]] = ([], [])
            name = title = ""
            for _, side, place, number, content, *digests in some:
                shard = (first, second)[side].shards[place]
                values: dict[str, Any] = json.loads(zlib.decompress(content))
                seen = told(values, shard.split, *map(_apart, digests))
                sides[side].append(Placed(values["sample_id"], seen, shard.file, number))
                name, title = values["video_id"] or values["video_url"], values["title"] or title
            yield VideoPair(name, title, sides)

    def _note_scores(self, side: int, sample: Sample) -> None:
        pairs = zip(sample.image_clip_score, sample.image_text_index, strict=True)
        least = self.lowest[side]
        scores = [score for score, text in pairs if text >= 0] + ([] if least is None else [least])
        self.lowest[side] = min(scores, default=None)


def _documents(
    reader: ShardReader, shard: Shard, shared: Collection[str] | None
) -> Iterator[tuple[StoredDocument, Sample, bytes, bytes]]:
    """A shard's documents with the digests of their pictures and of these' codes, each kind in one string of bytes."""
    if shared is not None and shard.sha256 not in shared:
        for stored in reader.documents(shard):
            sample = stored.sample()
            pictures = stored.pictures(sample)
            stored.check_beside(len(sample.pictures), len(sample.spoken))
            codes = [data for _, data in sorted(stored.codes.items())]
            yield stored, sample, b"".join(map(_digest, pictures)), b"".join(map(_digest, codes))
        return
    for stored in reader.json_only(shard):
        sample = stored.sample()
        # Of a shard that both have, a picture is the same where its place is, and so are its codes
        here = shard.sha256 if shared is not None else ""
        places = (f"{here} {stored.number} {n}" if here else "" for n in range(len(sample.pictures)))
        digests = b"".join(_digest(place.encode()) for place in places)
        yield stored, sample, digests, digests if shard.ncodes else b""


def _apart(digests: bytes) -> list[bytes]:
    return [digests[n : n + DIGEST] for n in range(0, len(digests), DIGEST)]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST).digest()


def _of_video(sample: Sample) -> bytes:
    return _digest((sample.video_id or sample.video_url).encode())
