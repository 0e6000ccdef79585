"""The index of a dataset's documents on disk: SQLite, with the words in FTS5. It is built shard by shard.

It lies in the user's cache, under the hash of the manifest that it was built from: a dataset that changed has another.
A shard's documents come in one transaction, so that a killed build goes on where it was; pages read while it grows.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from storyloom.errors import UsageError
from storyloom.format.manifest import Published
from storyloom.format.reader import ShardReader
from storyloom.format.shard import Shard, Split
from storyloom.format.stored import BadShard
from storyloom.stats.counting import DocumentSums
from storyloom.stats.flags import Flag
from storyloom.view.index_rows import BITS, FACTS, SCHEMA, Indexed, Placed, Writer, indexed, unpacked

Made = TypeVar("Made")

VERSION = 2
"""Of what the index holds, beside its schema; an index of another one is left alone, and built anew."""

BATCH = 500
"""Documents that are in memory at once (our choice)."""

REMEMBERED = 100
"""Searches whose counts are kept in memory (our choice)."""

GIVE_UP = 100
"""Damaged documents in a row after which the rest of a shard is given up (our choice)."""

MARK_DUPLICATES = """
UPDATE documents SET flags = flags | ? WHERE digest IN (
  SELECT digest FROM documents GROUP BY digest HAVING count(*) > 1)
"""


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
                    Writer(base, number, shards[number], firsts[number]).write(batches)
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
                    found = stored.key, indexed(stored)
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


class _Stopped(Exception):
    """The server ends."""


def is_damaged(reason: sqlite3.Error) -> bool:
    """Whether the bytes of a database are not what SQLite wrote (https://sqlite.org/rescode.html)."""
    code = getattr(reason, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


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
