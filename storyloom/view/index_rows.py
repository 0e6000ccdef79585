"""What the index holds of a document: its columns, its words, and the sums of a shard."""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from pydantic import ValidationError

from storyloom.format.sample import Name, refusal
from storyloom.format.shard import Shard
from storyloom.format.stored import StoredDocument
from storyloom.format.words import WITHOUT_SPACES
from storyloom.fs.url import scheme_of
from storyloom.stats.counting import DocumentSums, Values, add
from storyloom.stats.flags import Flag

COUNTERS = ("languages", "text_sources", "fuse_statuses", "licenses", "flags")

NO_SCORE = -2.0
"""Stands for the score of a document without a scored frame, below every score."""

BITS = {flag: 1 << number for number, flag in enumerate(Flag)}
"""Flags in the column of that name."""

NAMED = ("split", "language", "license", "source", "site", "video")
"""Columns that hold the number of a name."""

FACTS = np.dtype(
    [("id", "<i8"), *((name, "<i4") for name in NAMED), ("score", "<f8"), ("flags", "<i4"), ("digest", "<i8")]
)
"""What counting needs of a document: these 52 bytes, in memory, are counted many times as fast as rows of SQLite."""

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS shards (number INTEGER PRIMARY KEY, documents INTEGER NOT NULL, sums BLOB NOT NULL,
  facts BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS damaged (shard INTEGER NOT NULL, number INTEGER NOT NULL, documents INTEGER NOT NULL,
  flaw TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (kind, name));
CREATE TABLE IF NOT EXISTS documents (
  id INTEGER PRIMARY KEY, shard INTEGER NOT NULL, number INTEGER NOT NULL, key TEXT NOT NULL,
  {", ".join(f"{name} INTEGER NOT NULL" for name in NAMED)},
  words INTEGER NOT NULL, images INTEGER NOT NULL, alone REAL NOT NULL, score REAL NOT NULL,
  begins REAL NOT NULL, flags INTEGER NOT NULL,
  digest INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS by_key ON documents (key);
CREATE INDEX IF NOT EXISTS by_video ON documents (video, begins);
CREATE INDEX IF NOT EXISTS by_words ON documents (words);
CREATE INDEX IF NOT EXISTS by_images ON documents (images);
CREATE INDEX IF NOT EXISTS by_alone ON documents (alone);
CREATE INDEX IF NOT EXISTS by_score ON documents (score);
CREATE VIRTUAL TABLE IF NOT EXISTS texts USING fts5(
  title, words, ids, content='', tokenize='unicode61 remove_diacritics 2');
"""

ALONE = re.compile(f"([{WITHOUT_SPACES}])")
"""Characters that are words of their own: FTS5's tokenizer knows words by the spaces around them."""


class Indexed(Values):
    """The values of `KEY.json` that are indexed; a shard of version 1 has no lag."""

    video_id: Name
    video_url: Name
    title: Name


Placed = tuple[int, str, Indexed]
"""A document's number in its shard, its key and its values."""


COLUMNS = ("id", "shard", "number", "key", *NAMED, "words", "images", "alone", "score", "begins", "flags", "digest")
"""Of a row, in their order."""

FACT_PLACES = [COLUMNS.index(name) for name in FACTS.names or ()]


class Writer:
    """Writes the documents of a shard."""

    def __init__(self, base: sqlite3.Connection, number: int, shard: Shard, first: int) -> None:
        self._base, self._number, self._shard, self._first = base, number, shard, first
        self._names: dict[tuple[str, str], int] = {}

    def write(self, batches: Iterator[Sequence[Placed]]) -> None:
        """Add documents, and the shard's sums with what was there before; the caller commits."""
        earlier = self._base.execute("SELECT sums, facts FROM shards WHERE number = ?", (self._number,)).fetchone()
        sums = unpacked(earlier[0]) if earlier else DocumentSums()
        facts = [earlier[1]] if earlier else []
        for some in batches:
            rows = [self._row(place, key, values) for place, key, values in some]
            self._base.executemany(f"INSERT INTO documents VALUES ({', '.join('?' * len(COLUMNS))})", rows)  # noqa: S608
            texts = [
                (self._first + place, spaced(one.title), spaced(_words(one)), f"{key} {one.video_id} {one.video_url}")
                for place, key, one in some
            ]
            self._base.executemany("INSERT INTO texts (rowid, title, words, ids) VALUES (?, ?, ?, ?)", texts)
            facts.append(np.array([tuple(row[place] for place in FACT_PLACES) for row in rows], FACTS).tobytes())
            add(sums, [values for _, _, values in some])
        values = (self._number, self._shard.nsamples, packed(sums), b"".join(facts))
        self._base.execute("INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?)", values)

    def _row(self, place: int, key: str, one: Indexed) -> tuple[Any, ...]:
        paired = [score for score, n in zip(one.image_clip_score, one.image_text_index, strict=True) if n >= 0]
        named = {
            "split": self._shard.split,
            "language": one.language,
            "license": one.license,
            "source": " + ".join(sorted(set(one.text_source))),
            "site": site_of(one.video_url),
            "video": one.video_id,
        }
        return (
            self._first + place,
            self._number,
            place,
            key,
            *(self._name(kind, named[kind]) for kind in NAMED),
            one.words,
            len(one.image_time),
            round(1 - len(paired) / max(1, len(one.image_time)), 4),
            round(sum(paired) / len(paired), 4) if paired else NO_SCORE,
            one.doc_start,
            sum(BITS[flag] for flag in one.flags),
            one.digest,
        )

    def _name(self, kind: str, name: str) -> int:
        """The number of a name. Only those of a batch's videos are many, and those are looked up once."""
        found = self._names.get((kind, name))
        if found is None:
            name = name.encode("utf-8", "backslashreplace").decode()
            self._base.execute("INSERT OR IGNORE INTO names (kind, name) VALUES (?, ?)", (kind, name))
            ((found,),) = self._base.execute("SELECT id FROM names WHERE kind = ? AND name = ?", (kind, name))
            self._names[kind, name] = found
        return found


def site_of(url: str) -> str:
    """Where a video comes from: the host of its URL, without ``www.``; ``file`` for a path, else the scheme."""
    scheme = scheme_of(url)
    if scheme not in ("http", "https"):
        return scheme
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.") or scheme
    except ValueError:
        return scheme


def spaced(text: str) -> str:
    """A text in which every word of a script without spaces has some around it."""
    if text.isascii():
        return text
    return ALONE.sub(r" \1 ", text).encode("utf-8", "replace").decode()


def packed(sums: DocumentSums) -> bytes:
    """Sums as bytes: most values of their grids are zero."""
    grids = {
        name: [grid.total, grid.min, grid.max, (at := np.flatnonzero(grid.counts)).tolist(), grid.counts[at].tolist()]
        for name, grid in sums.grids.items()
    }
    names = {name: dict(getattr(sums, name)) for name in COUNTERS}
    digests = [number for some in sums.digests for number in some.tolist()]
    counts = [sums.documents, sums.texts, sums.frames, sums.frames_alone]
    return zlib.compress(json.dumps({"counts": counts, "names": names, "grids": grids, "digests": digests}).encode())


def unpacked(content: bytes) -> DocumentSums:
    """The sums that `packed` made these bytes of."""
    value = json.loads(zlib.decompress(content))
    sums = DocumentSums(*value["counts"])
    sums.digests.append(np.array(value["digests"], np.int64))
    for name in COUNTERS:
        getattr(sums, name).update(value["names"][name])
    for name, (total, low, high, at, counts) in value["grids"].items():
        grid = sums.grids[name]
        grid.total, grid.min, grid.max = total, low, high
        grid.counts[at] = counts
    return sums


def _words(one: Values) -> str:
    return " ".join(text for text in one.texts if text is not None)


def indexed(stored: StoredDocument) -> Indexed:
    """The values of a document that are indexed.

    Raises:
        BadShard: They break a rule of the format.
    """
    try:
        return Indexed.model_validate_json(stored.content)
    except ValidationError as error:
        raise stored.bad(str(refusal(f"{stored.key}.json", error))) from None
