"""The index of a dataset's documents on disk: SQLite, with the words in FTS5. It is built shard by shard.

It lies in the user's cache, under the hash of the manifest that it was built from: a dataset that changed has another.
A shard's documents come in one transaction, so that a killed build goes on where it was; pages read while it grows.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import sqlite3
import threading
import zlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from storyloom.errors import UsageError
from storyloom.format.manifest import Published
from storyloom.format.reader import BadShard, ShardReader, StoredDocument
from storyloom.format.sample import Name, refusal
from storyloom.format.shard import Shard, Split
from storyloom.format.words import WITHOUT_SPACES
from storyloom.fs.url import scheme_of
from storyloom.stats.counting import DocumentSums, Values, add
from storyloom.stats.flags import Flag

Made = TypeVar("Made")

VERSION = 1
"""Of what the index holds, beside its schema; an index of another one is left alone, and built anew."""

BATCH = 500
"""Documents that are in memory at once (our choice)."""

REMEMBERED = 100
"""Searches whose counts are kept in memory (our choice)."""

GIVE_UP = 100
"""Damaged documents in a row after which the rest of a shard is given up (our choice)."""

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


@dataclass(frozen=True)
class Damage:
    """So many documents from one place on that cannot be read, and why."""

    documents: int
    flaw: str


@dataclass(frozen=True)
class Progress:
    """How far the index is.

    Attributes:
        done: Documents in it, and damaged ones.
        total: Documents of the dataset.
        damaged: Documents that cannot be read.
        problem: Why it does not go on; empty where it does.
    """

    done: int
    total: int
    damaged: int = 0
    problem: str = ""

    @property
    def finished(self) -> bool:
        """Whether every document is in it."""
        return self.done >= self.total


class Index:
    """The index of a dataset, and the thread that builds it.

    Args:
        published: The dataset's manifest.
        reader: Of its shards.
        content: Of `manifest.json`, byte for byte.

    Raises:
        UsageError: The cache cannot be written.
    """

    def __init__(self, published: Published, reader: ShardReader, content: bytes) -> None:
        self._published, self._reader = published, reader
        self.file = _place(content)
        self._under_way = 0
        self._problem = ""
        self._stop = threading.Event()
        self._figures: tuple[tuple[int, int], dict[Split, DocumentSums]] | None = None
        self._facts: tuple[tuple[int, int], NDArray[np.void]] | None = None
        self._known: dict[Any, Any] = {}
        self._lock = threading.Lock()
        self._builder = threading.Thread(target=self._build, name="index", daemon=True)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._unless_damaged(self._create)
        except (OSError, sqlite3.Error) as reason:
            message = f"the index cannot be written to {self.file.parent} ({reason}): set STORYLOOM_CACHE to a folder"
            raise UsageError(message) from reason

    def start(self, patience: float = 0.0) -> None:
        """Begin to build, or go on, in a thread; wait so many seconds for the end."""
        self._builder.start()
        self._builder.join(patience)

    def close(self) -> None:
        """End the thread; what it was at is done again another time."""
        self._stop.set()
        if self._builder.is_alive():
            self._builder.join()

    def remove(self) -> None:
        """Remove the file: it is built again when the dataset is opened."""
        for end in ("", "-wal", "-shm"):
            self.file.with_name(self.file.name + end).unlink(missing_ok=True)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that reads."""
        with closing(sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True)) as base:
            base.row_factory = sqlite3.Row
            yield base

    def progress(self) -> Progress:
        """How far it is."""
        with self.reading() as base:
            ((done,),) = base.execute("SELECT coalesce(sum(documents), 0) FROM shards")
            ((damaged,),) = base.execute("SELECT coalesce(sum(documents), 0) FROM damaged")
        total = sum(shard.nsamples for shard in self._published.shards)
        return Progress(min(total, done + self._under_way), total, damaged, self._problem)

    def sums(self) -> dict[Split, DocumentSums]:
        """Sums over the documents that are indexed, by split."""
        size = self._size()
        with self.reading() as base:
            if self._figures is None or self._figures[0] != size:
                found: dict[Split, DocumentSums] = {}
                for number, packed in base.execute("SELECT number, sums FROM shards ORDER BY number"):
                    found.setdefault(self._published.shards[number].split, DocumentSums()).merge(unpacked(packed))
                self._figures = size, found
        return self._figures[1]

    def facts(self) -> NDArray[np.void]:
        """What counting needs of the documents that are indexed, as `FACTS` has it."""
        size = self._size()
        if self._facts is None or self._facts[0] != size:
            with self.reading() as base:
                some = [np.frombuffer(facts, FACTS) for (facts,) in base.execute("SELECT facts FROM shards")]
            found = np.concatenate([np.empty(0, FACTS), *some])
            if size[0] == len(self._published.shards):
                _, place, times = np.unique(found["digest"], return_inverse=True, return_counts=True)
                found["flags"] |= np.where(times[place] > 1, BITS[Flag.DUPLICATE], 0).astype(np.int32)
            self._facts = size, found
        return self._facts[1]

    def remembered(self, search: Hashable, made: Callable[[], Made]) -> Made:
        """What was made of the index for a search before; made now, where the index has grown since or it is new."""
        key = search, self._size()
        with self._lock:
            if key in self._known:
                found: Made = self._known[key]
                return found
        new = made()
        with self._lock:
            self._known[key] = new
            while len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
        return new

    def _size(self) -> tuple[int, int]:
        """What changes whenever the index grows: shards in it, and documents that are damaged."""
        with self.reading() as base:
            ((shards, damaged),) = base.execute(
                "SELECT count(*), (SELECT coalesce(sum(documents), 0) FROM damaged) FROM shards"
            )
        return shards, damaged

    def _create(self) -> None:
        with self._writing() as base:
            base.executescript(SCHEMA)

    def _unless_damaged(self, work: Callable[[], None]) -> None:
        """Do it; on a file whose bytes are no database any more, do it again on an empty one."""
        try:
            work()
        except sqlite3.DatabaseError as reason:
            if not is_damaged(reason):
                raise
            self.remove()
            self._create()
            work()

    def _build(self) -> None:
        try:
            with _turn(self.file, self._stop) as mine:
                if mine:
                    self._unless_damaged(self._build_all)
        except _Stopped:
            return
        except (OSError, sqlite3.Error) as reason:
            self._problem = f"the index in {self.file.parent} cannot be written: {reason}"

    def _build_all(self) -> None:
        shards = self._published.shards
        firsts = [0, *accumulate(shard.nsamples for shard in shards)]
        with self._writing() as base:
            for number, numbers in self._left(base).items():
                with base:
                    base.execute("DELETE FROM damaged WHERE shard = ?", (number,))
                    batches = self._batches(base, number, numbers)
                    _Writer(base, number, shards[number], firsts[number]).write(batches)
                    ((done,),) = base.execute("SELECT count(*) FROM shards")
                    if done == len(shards):
                        base.execute(MARK_DUPLICATES, (BITS[Flag.DUPLICATE],))
                self._under_way = 0

    def _left(self, base: sqlite3.Connection) -> dict[int, list[range]]:
        """Numbers of the documents that are not in the index, by shard; among them those that were damaged once."""
        known = {number for (number,) in base.execute("SELECT number FROM shards")}
        new = {n: [range(shard.nsamples)] for n, shard in enumerate(self._published.shards) if n not in known}
        for shard, number, documents in base.execute("SELECT shard, number, documents FROM damaged ORDER BY 1, 2"):
            new.setdefault(shard, []).append(range(number, number + documents))
        return new

    def _batches(self, base: sqlite3.Connection, number: int, ranges: Sequence[range]) -> Iterator[list[Placed]]:
        """Documents of a shard with their numbers and keys; damaged ones are noted."""
        some: list[Placed] = []
        shard = self._published.shards[number]
        for place, found in (one for numbers in ranges for one in self._documents(shard, numbers)):
            if self._stop.is_set():
                raise _Stopped
            if isinstance(found, Damage):
                base.execute("INSERT INTO damaged VALUES (?, ?, ?, ?)", (number, place, found.documents, found.flaw))
                continue
            some.append((place, *found))
            if len(some) == BATCH:
                yield some
                self._under_way += len(some)
                some = []
        if some:
            yield some

    def _documents(self, shard: Shard, numbers: range) -> Iterator[tuple[int, tuple[str, Indexed] | Damage]]:
        """Documents of a shard by number, or what is wrong with them."""
        try:
            self._reader.offsets(shard)
        except BadShard as flaw:
            yield numbers.start, Damage(len(numbers), str(flaw))
            return
        place, in_a_row = numbers.start, 0
        while place < numbers.stop:
            try:
                for stored in self._reader.json_only(shard, range(place, numbers.stop)):
                    found = stored.key, _values(stored)
                    yield place, found
                    place, in_a_row = place + 1, 0
            except BadShard as flaw:
                in_a_row += 1
                lost = numbers.stop - place if in_a_row == GIVE_UP else 1
                yield place, Damage(lost, str(flaw))
                place += lost

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.file)) as base:
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = NORMAL")
            yield base


COLUMNS = (*("id", "shard", "number", "key", *NAMED, "words", "images", "alone", "score", "begins", "flags", "digest"),)
"""Of a row, in their order."""

FACT_PLACES = [COLUMNS.index(name) for name in FACTS.names or ()]

MARK_DUPLICATES = """
UPDATE documents SET flags = flags | ? WHERE digest IN (
  SELECT digest FROM documents GROUP BY digest HAVING count(*) > 1)
"""


class _Stopped(Exception):
    """The server ends."""


class _Writer:
    """Writes the documents of a shard."""

    def __init__(self, base: sqlite3.Connection, number: int, shard: Shard, first: int) -> None:
        self._base, self._number, self._shard, self._first = base, number, shard, first
        self._names: dict[tuple[str, str], int] = {}

    def write(self, batches: Iterator[Sequence[Placed]]) -> None:
        earlier = self._base.execute("SELECT sums, facts FROM shards WHERE number = ?", (self._number,)).fetchone()
        sums = unpacked(earlier[0]) if earlier else DocumentSums()
        facts = [earlier[1]] if earlier else []
        for some in batches:
            rows = [self._row(place, key, values) for place, key, values in some]
            self._base.executemany(f"INSERT INTO documents VALUES ({', '.join('?' * len(rows[0]))})", rows)  # noqa: S608
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


def is_damaged(reason: sqlite3.Error) -> bool:
    """Whether the bytes of a database are not what SQLite wrote (https://sqlite.org/rescode.html)."""
    code = getattr(reason, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


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


COUNTERS = ("languages", "text_sources", "licenses", "flags")


def _words(one: Values) -> str:
    return " ".join(text for text in one.texts if text is not None)


def _values(stored: StoredDocument) -> Indexed:
    try:
        return Indexed.model_validate_json(stored.content)
    except ValidationError as error:
        raise stored.bad(str(refusal(f"{stored.key}.json", error))) from None


def _place(content: bytes) -> Path:
    """Where the index of a dataset with this manifest lies."""
    home = os.environ.get("STORYLOOM_CACHE")
    cache = Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "storyloom"
    form = f"{VERSION} {SCHEMA} {FACTS}".encode()
    return cache / "index" / f"{hashlib.sha256(form + content).hexdigest()[:32]}.sqlite"


@contextmanager
def _turn(file: Path, stop: threading.Event) -> Iterator[bool]:
    """Wait until no other process builds the index; False when the server ends before."""
    with file.with_suffix(".lock").open("w") as lock:
        while not stop.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stop.wait(0.5)
            else:
                yield True
                return
        yield False
