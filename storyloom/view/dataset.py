"""A finished dataset as the app reads it: from a folder or a URL, every document a byte range of its shard."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from storyloom.errors import BadDataset, RunFailed, UsageError
from storyloom.format.manifest import MANIFEST, manifest_bytes, parsed_manifest
from storyloom.format.reader import ShardReader
from storyloom.format.shard import Shard
from storyloom.format.stored import StoredDocument
from storyloom.view.index import Index
from storyloom.view.rendering import segment
from storyloom.view.storyboard import Story, beats

KEPT = 64 * 2**20
"""Bytes of pictures that are kept in memory: a browser asks for those of a document one by one (our choice)."""


LOOK_AGAIN = 1.0
"""Seconds after which the manifest is looked at again (our choice)."""


class BeingPublished(RunFailed):
    """The manifest is gone for now: a run is replacing the dataset."""


@dataclass(frozen=True)
class Address:
    """Where a document lies.

    Attributes:
        id: Its place in the dataset, from 0.
        shard: Number of its shard in the manifest.
        number: Of the document in the shard.
        key: Of its members.
    """

    id: int
    shard: int
    number: int
    key: str


class Dataset:
    """A finished dataset.

    Args:
        place: Its folder or URL.

    Attributes:
        place: As it was given.
        address: The folder or URL, without secrets.
        digest: SHA-256 of `manifest.json`.
        published: Its manifest.
        index: Of its documents; `start` builds it.

    Raises:
        UsageError: There is no finished dataset, or the index cannot be written.
        BadDataset: Its manifest is damaged.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        self.place = place
        self.reader = ShardReader(place)
        self.address = self.reader.folder.address
        content = manifest_bytes(self.reader.folder)
        self.digest = hashlib.sha256(content).digest()
        self.published = parsed_manifest(content, self.address)
        self.index = Index(self.published, self.reader, content)
        self._recent = _Recent()

    def start(self, patience: float = 1.0) -> None:
        """Begin to build the index, and wait so many seconds for its end."""
        self.index.start(patience)

    def close(self) -> None:
        """End the building of the index."""
        self.index.close()

    def shard(self, address: Address) -> Shard:
        """The manifest's entry of a document's shard."""
        return self.published.shards[address.shard]

    def find(self, key: str) -> Address | None:
        """Where the document with this key lies; None where the index has none, yet."""
        with self.index.reading() as base:
            row = base.execute("SELECT id, shard, number, key FROM documents WHERE key = ? LIMIT 1", (key,)).fetchone()
        return Address(**row) if row else None

    def story(self, address: Address) -> Story:
        """A document as a storyboard; its pictures have addresses in the app.

        Raises:
            BadShard: It cannot be read, breaks a rule of the format, or is another than the index says.
        """
        shard = self.shard(address)
        (stored,) = self.reader.json_only(shard, range(address.number, address.number + 1))
        _check(stored, address)
        sample = stored.sample()
        path = f"/document/{segment(address.key)}"
        version = shard.sha256[:12]
        return Story(sample, shard.file, list(beats(sample, lambda number: f"{path}/{number}.jpg?v={version}")))

    def picture(self, address: Address, number: int) -> bytes | None:
        """A JPEG of a document by its number; None where there is no such picture.

        Raises:
            BadShard: The document cannot be read.
        """
        pictures = self._recent.get(address, self._read)
        return next((jpeg for n, jpeg in enumerate(pictures.values()) if n == number), None)

    def _read(self, address: Address) -> Mapping[str, bytes]:
        (stored,) = self.reader.pick([(self.shard(address), address.number)])
        _check(stored, address)
        return stored.jpegs


class Shown:
    """The dataset that an app shows: opened anew where another one is published at its place."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._looked = time.monotonic()
        self._lock = threading.Lock()

    def get(self) -> Dataset:
        """The dataset, looked at not long ago; the one before while a run replaces it.

        Raises:
            BadDataset: There is another one, and its manifest is damaged.
        """
        with self._lock:
            if time.monotonic() - self._looked >= LOOK_AGAIN:
                with suppress(BeingPublished):
                    self._look()
            return self.dataset

    def look(self) -> Dataset:
        """The dataset that is there now.

        Raises:
            BeingPublished: There is none for now.
            BadDataset: Its manifest is damaged.
        """
        with self._lock:
            self._look()
            return self.dataset

    def build_again(self, hurt: Dataset) -> None:
        """Put away an index that is damaged, unless that was done."""
        with self._lock:
            if self.dataset is hurt:
                hurt.close()
                hurt.index.remove()
                self.dataset = Dataset(hurt.place)
                self.dataset.start()

    def _look(self) -> None:
        before = self.dataset
        try:
            content = manifest_bytes(before.reader.folder)
        except UsageError:
            message = f"{before.address} has no {MANIFEST} now: a run may be replacing it. Reload this page in a moment"
            raise BeingPublished(message) from None
        except BadDataset:  # a server that fails for a moment; what is there is known
            return
        finally:
            self._looked = time.monotonic()
        if hashlib.sha256(content).digest() != before.digest:
            self.dataset = Dataset(before.place)
            self.dataset.start()
            before.close()


def _check(stored: StoredDocument, address: Address) -> None:
    if stored.key != address.key:
        raise stored.bad(f"it is {stored.key}, but the index says {address.key}")


class _Recent:
    """Pictures of the documents that were asked for last; each is read once, however many ask at the same time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Address, Mapping[str, bytes]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._reading: dict[Address, threading.Lock] = {}

    def get(self, address: Address, read: Callable[[Address], Mapping[str, bytes]]) -> Mapping[str, bytes]:
        with self._lock:
            mine = self._reading.setdefault(address, threading.Lock())
        with mine:
            with self._lock:
                if found := self._kept.get(address):
                    self._kept.move_to_end(address)
                    return found
            try:
                pictures = read(address)
                self._keep(address, pictures)
                return pictures
            finally:
                with self._lock:
                    self._reading.pop(address, None)

    def _keep(self, address: Address, pictures: Mapping[str, bytes]) -> None:
        with self._lock:
            self._kept[address] = pictures
            self._size += sum(map(len, pictures.values()))
            while self._size > KEPT and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._size -= sum(map(len, dropped.values()))
