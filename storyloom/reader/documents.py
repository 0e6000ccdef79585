"""A finished dataset to look into: its documents by number and by key. No torch; `DocumentDataset` is what trains."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from storyloom.format.interleave import Mode, check_interleaving
from storyloom.format.reader import ShardReader
from storyloom.format.texts import Texts, check_texts
from storyloom.reader.document import Document
from storyloom.reader.html import dataset_html
from storyloom.reader.shards import ShardEntry, as_document, load_documents, load_manifest
from storyloom.view.counts import count_of


class Documents:
    """The documents of a dataset, in the order of its shards.

    A document is read when it is asked for, as one range of bytes of its shard. A key is looked for shard after shard;
    where each document lies is remembered, so that the next key is found at once.

    Args:
        place: Folder of the dataset, or its URL.
        split: ``train`` or ``val``; None for all.
        options: fsspec's options for the URL, e.g. credentials.
        texts: Which texts stand beside the frames: ``text``, what was said; ``caption``; or ``fused``.
        interleave: Where the frames stand: before whole sentences; at the ``word``; or interval by interval, as a
            ``stream``. docs/reader.md has the rule.
        fps: Intervals a second of ``stream``, 1 or 2.

    Raises:
        UsageError: There is no finished dataset, or none with these texts, or with word times where they are needed.
        BadDataset: Its manifest is damaged or of another version.

    Attributes:
        address: The folder, or the URL without what is secret in it.
        split: As given.
    """

    def __init__(
        self,
        place: str | os.PathLike[str],
        split: str | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        texts: Texts = "text",
        interleave: Mode = "sentence",
        fps: float = 1.0,
    ) -> None:
        self._reader = ShardReader(place, options)
        self.address = self._reader.folder.address
        self.split = split
        shards = load_manifest(self._reader).shards
        self._shards = [one for one in shards if split in (None, one.split)]
        check_texts(texts, shards, self.address)
        self._texts = texts
        self._how = check_interleaving(interleave, fps, texts, shards, self.address)
        self._ends = list(accumulate(shard.nsamples for shard in self._shards))
        self._places: dict[str, tuple[ShardEntry, int]] = {}
        self._unread = iter(self._shards)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Document]:
        """All documents, a few in memory at a time."""
        for shard in self._shards:
            yield from (as_document(stored, self._texts, self._how) for stored in self._reader.documents(shard))

    def __getitem__(self, which: str | int) -> Document:
        """A document by its key or its number; negative numbers count from the end.

        Raises:
            KeyError: No document has the key.
            IndexError: There are fewer documents.
            TypeError: It is asked for by something else.
            BadShard: A shard is damaged.
        """
        if not isinstance(which, str | int):
            raise TypeError(f"a document is asked for by its key or number, not by {which!r}")
        place = self._by_key(which) if isinstance(which, str) else self._by_number(which)
        (document,) = load_documents(self._reader, [place], self._texts, self._how)
        return document

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._found(key) is not None

    def keys(self) -> Iterator[str]:
        """The documents' keys, in their order; nothing but their tar headers is read."""
        for shard in self._shards:
            yield from self._reader.keys(shard)

    def __repr__(self) -> str:
        return f"<{count_of(len(self), 'documents')} in {self.address}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: counts, and the first document."""
        return dataset_html(repr(self).strip("<>"), self[0] if len(self) else None)

    def _by_number(self, number: int) -> tuple[ShardEntry, int]:
        from_start = number + len(self) if number < 0 else number
        if not 0 <= from_start < len(self):
            raise IndexError(f"there is no document {number} among the {len(self)} of {self.address}")
        shard = bisect_right(self._ends, from_start)
        return self._shards[shard], from_start - (self._ends[shard] - self._shards[shard].nsamples)

    def _by_key(self, key: str) -> tuple[ShardEntry, int]:
        found = self._found(key)
        if found is None:
            raise KeyError(f"no document {key!r} in {self.address}")
        return found

    def _found(self, key: str) -> tuple[ShardEntry, int] | None:
        while key not in self._places:
            shard = next(self._unread, None)
            if shard is None:
                return None
            self._places |= {one: (shard, number) for number, one in enumerate(self._reader.keys(shard))}
        return self._places[key]
