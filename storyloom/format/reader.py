"""The one reader of shards: their documents by number, by key or one after another, from a folder or a URL.

webdataset's readers go through a tar from its start and cannot say where they are (webdataset issues 177, 234 and 271),
so nothing on top of them resumes exactly. With `.tar.idx` a document is one byte range, wherever it lies.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storyloom.errors import UsageError
from storyloom.format.items import read_items
from storyloom.format.layout import items_name
from storyloom.format.manifest import MANIFEST, shard_hashes
from storyloom.format.stored import WAY_OUT, BadShard, Replaced, StoredDocument, stored_document
from storyloom.format.tar import (
    BLOCK,
    INDEX_TYPE,
    MAX_DOCUMENT,
    MAX_SAMPLE,
    padded,
    read_header,
    read_index,
    tar_members,
)
from storyloom.fs.failure import SERVER, is_of_server
from storyloom.fs.folder import DataFolder
from storyloom.fs.ranges import MOST_WHOLE, ByteRange
from storyloom.fs.remote import Stated

JSON_BYTES = 8192
"""Bytes read at first where only a document's JSON is wanted: header and JSON of most documents (our choice)."""

JSON_BATCH = 256
"""Documents whose JSON is requested at once (our choice)."""

BATCH_BYTES = 32 * 2**20
"""Bytes of the documents that are requested at once, or a single larger one (our choice)."""

RUN_BYTES = 8 * 2**20
"""Bytes of documents one after another that are read together, or a single larger one (our choice)."""

AGAIN = "Open the dataset again"

NONE_FAILED: Mapping[str, BadShard] = MappingProxyType({})
"""No index that could not be read."""


class ShardFile(Protocol):
    """The fields of a shard that the reader needs."""

    @property
    def file(self) -> str:
        """Its path relative to the dataset's folder."""

    @property
    def nsamples(self) -> int:
        """Documents."""

    @property
    def filesize(self) -> int:
        """Bytes."""

    @property
    def sha256(self) -> str:
        """Of the file, hexadecimal."""

    @property
    def items_sha256(self) -> str:
        """Of the table beside it, hexadecimal; empty where there is none."""

    @property
    def ncodes(self) -> int:
        """Discrete codes of its images; 0 where these have none."""

    @property
    def most_sounds(self) -> int:
        """Most texts of a document with their sound; 0 where no text has any."""


Content = TypeVar("Content", bound=bytes | memoryview)

Picked = tuple[ShardFile, int, ByteRange]
"""A document's shard, its number in it, and where it lies there."""


class ShardReader:
    """Reads documents of a dataset's shards. Every error of a shard is a `BadShard`.

    What is given is of the dataset whose shards were asked for: after each read `manifest.json`, which is gone while a
    dataset is replaced, is looked at, and if it names a shard's content otherwise by now, `Replaced` is raised.

    Args:
        place: Folder of the dataset, or its URL.
        options: fsspec's options for the URL.
        walk: Whether a shard without an index is read too, by walking its tar headers. Otherwise it counts as
            unfinished.

    Attributes:
        folder: The files.
    """

    def __init__(
        self, place: str | os.PathLike[str], options: Mapping[str, Any] | None = None, *, walk: bool = False
    ) -> None:
        self.folder = DataFolder(place, options)
        self._walk = walk
        self._offsets: dict[str, NDArray[np.uint64]] = {}
        self._known: tuple[Stated, Mapping[str, str]] | None = None  # the manifest, and the hashes that it names

    def offsets(self, shard: ShardFile) -> NDArray[np.uint64]:
        """The start of each document in a shard, then the end of the last one's padded data, in bytes."""
        if shard.file not in self._offsets:
            (content,) = self._read([shard], [_index(shard)])
            self._offsets[shard.file] = self._offsets_in(shard, content)
        return self._offsets[shard.file]

    def look_up(self, shards: Iterable[ShardFile]) -> dict[str, BadShard]:
        """Read the indexes of these shards that were not read yet, all at once.

        Returns:
            By a shard's file, the error of an index that is gone or damaged.
        """
        unknown = list({one.file: one for one in shards if one.file not in self._offsets}.values())
        failed: dict[str, BadShard] = {}
        if not unknown:
            return failed
        for shard, content in zip(unknown, self._read(unknown, [_index(one) for one in unknown]), strict=True):
            try:
                self._offsets[shard.file] = self._offsets_in(shard, content)
            except BadShard as reason:
                failed[shard.file] = reason
        return failed

    def items(self, shard: ShardFile) -> pa.Table:
        """The table beside a shard: a row a document, in the shard's order, as `items.SCHEMA` says.

        No document is read. Its metadata has the SHA-256 of the tokenizer that counted `text_tokens`:
        `items.tokenizer_of`.

        Raises:
            BadShard: There is none, it is damaged, or that of another shard.
        """
        file = items_name(shard.file)
        (content,) = self._read([shard], [ByteRange(file, 0, MOST_WHOLE + 1)])
        address = self._address(file)
        if isinstance(content, FileNotFoundError):
            flaw = "is not there; a dataset that an older storyloom wrote has no such table"
            raise BadShard.at(address, "", flaw, "Write it again with `storyloom run CONFIG`") from None
        if isinstance(content, Exception):
            raise self._unread(address, "", content) from None
        if len(content) > MOST_WHOLE:
            raise BadShard.at(address, "", f"it has more than {MOST_WHOLE} bytes")
        if shard.items_sha256 and hashlib.sha256(content).hexdigest() != shard.items_sha256:
            raise BadShard.at(address, "", "it is another table than the one whose sha256 manifest.json has")
        try:
            return read_items(content, shard.nsamples)
        except ValueError as reason:
            raise BadShard.at(address, "", str(reason)) from None

    def pick(
        self, wanted: Sequence[tuple[ShardFile, int]], failed: Mapping[str, BadShard] = NONE_FAILED
    ) -> Iterator[StoredDocument]:
        """Documents by shard and number, with their images; requested at once where the store supports it.

        Those that follow one another are read together.

        Args:
            wanted: Which documents.
            failed: What `look_up` said of their shards: a server that hangs is not waited for again.
        """
        failed = {**failed, **self.look_up(shard for shard, _ in wanted if shard.file not in failed)}

        def place(shard: ShardFile, number: int) -> ByteRange:
            if shard.file in failed:
                raise failed[shard.file]
            return self._range(shard, number)

        for some in _batches((shard, number, place(shard, number)) for shard, number in wanted):
            runs = list(_adjoining(some))
            wholes = [ByteRange(run[0][2].file, run[0][2].start, run[-1][2].end) for run in runs]
            contents = self._read([run[0][0] for run in runs], wholes)
            for run, whole, content in zip(runs, wholes, contents, strict=True):
                for shard, number, one in run:
                    yield self._document(shard, one, number, _part(content, whole, one))

    def documents(self, shard: ShardFile) -> Iterator[StoredDocument]:
        """All documents of a shard, with their images. A few are in memory at a time."""
        for some in self._runs(shard):
            whole = ByteRange(shard.file, some[0][1].start, some[-1][1].end)
            (content,) = self._read([shard], [whole])
            for number, one in some:
                yield self._document(shard, one, number, _part(content, whole, one))

    def json_only(self, shard: ShardFile, numbers: range | None = None) -> Iterator[StoredDocument]:
        """Documents of a shard, all or those of these numbers, without their images, which are not read."""
        numbers = range(len(self.offsets(shard)) - 1) if numbers is None else numbers
        for first in range(0, len(numbers), JSON_BATCH):
            yield from self._json_only(shard, numbers[first : first + JSON_BATCH])

    def keys(self, shard: ShardFile) -> Iterator[str]:
        """The keys of a shard's documents, in order; only the first tar header of each is read."""
        numbers = range(len(self.offsets(shard)) - 1)
        for first in range(0, len(numbers), JSON_BATCH):
            some = numbers[first : first + JSON_BATCH]
            starts = [self._range(shard, number).start for number in some]
            blocks = self._read([shard], [ByteRange(shard.file, start, start + BLOCK) for start in starts])
            for number, start, block in zip(some, starts, blocks, strict=True):
                address, place = self._address(shard.file), f"document {number}"
                try:
                    name, _ = read_header(self._whole(address, place, block, BLOCK))
                except ValueError as reason:
                    raise BadShard.at(address, place, f"no tar header at byte {start}: {reason}") from None
                yield stored_document(address, number, [(name, b"")]).key

    def find(self, shards: Iterable[ShardFile], key: str | None) -> StoredDocument | None:
        """The document with this key, or the first one for None; None when there is none. Images are not read."""
        return next((one for shard in shards for one in self.json_only(shard) if key in (None, one.key)), None)

    def _json_only(self, shard: ShardFile, numbers: range) -> Iterator[StoredDocument]:
        whole = [self._range(shard, number) for number in numbers]
        ends = [min(one.start + JSON_BYTES, one.end or 0) for one in whole]
        ranges = [ByteRange(one.file, one.start, end) for one, end in zip(whole, ends, strict=True)]
        firsts = self._read([shard], ranges)
        address = self._address(shard.file)
        for number, one, end, first in zip(numbers, whole, ends, firsts, strict=True):
            place = f"document {number}"
            begun = self._whole(address, place, first, end - one.start)
            try:
                name, size = read_header(begun[:BLOCK])
            except ValueError as reason:
                raise BadShard.at(address, place, f"no tar header at byte {one.start}: {reason}") from None
            if one.start + BLOCK + size > (one.end or 0):
                raise BadShard.at(address, place, f"{name} is longer than the document")
            if size > MAX_DOCUMENT:
                raise BadShard.at(address, place, f"{name} has {size} bytes, more than {MAX_DOCUMENT}")
            missing = one.start + BLOCK + size - end
            if missing > 0:
                (rest,) = self._read([shard], [ByteRange(one.file, end, end + missing)])
                begun += self._whole(address, place, rest, missing)
            yield stored_document(address, number, [(name, begun[BLOCK : BLOCK + size])])

    def _read(self, shards: Iterable[ShardFile], ranges: Sequence[ByteRange]) -> list[bytes | Exception]:
        """The content of ranges of shards, or of their indexes, as they were asked for: see `DataFolder.read`.

        Raises:
            Replaced: It may be that of another dataset: `manifest.json` is gone, or names other shards by now.
        """
        contents = self.folder.read(ranges)
        if any(isinstance(one, bytes | FileNotFoundError) for one in contents):
            self._check(shards)
        return contents

    def _check(self, shards: Iterable[ShardFile]) -> None:
        try:
            now, known = self.folder.stated(MANIFEST), self._known
            if known is None or known[0] != now:
                known = self._known = now, shard_hashes(self.folder)
        except (FileNotFoundError, UsageError):
            raise Replaced.at(
                self._address(MANIFEST), "", "is gone: a run may be replacing the dataset", AGAIN
            ) from None
        except OSError as reason:
            raise self._unread(self._address(MANIFEST), "", reason) from None
        for shard in shards:
            if known[1].get(shard.file) != shard.sha256:
                flaw = "is another one since the dataset was replaced"
                raise Replaced.at(self._address(shard.file), "", flaw, AGAIN)

    def _runs(self, shard: ShardFile) -> Iterator[list[tuple[int, ByteRange]]]:
        """Numbers and ranges of documents that follow one another, of `RUN_BYTES` together."""
        some: list[tuple[int, ByteRange]] = []
        for number in range(len(self.offsets(shard)) - 1):
            try:
                one = self._range(shard, number)
            except BadShard:
                if some:
                    yield some
                raise
            if some and (one.end or 0) - some[0][1].start > RUN_BYTES:
                yield some
                some = []
            some.append((number, one))
        if some:
            yield some

    def _range(self, shard: ShardFile, number: int) -> ByteRange:
        start, end = self.offsets(shard)[number : number + 2].tolist()
        if end - start > MAX_SAMPLE:
            flaw = f"it has {end - start} bytes, more than {MAX_SAMPLE}"
            raise BadShard.at(self._address(shard.file), f"document {number}", flaw)
        return ByteRange(shard.file, start, end)

    def _document(
        self, shard: ShardFile, one: ByteRange, number: int, content: memoryview | bytes | Exception
    ) -> StoredDocument:
        address, place = self._address(one.file), f"document {number}"
        whole = self._whole(address, place, content, (one.end or 0) - one.start)
        try:
            members = list(tar_members(whole))
        except ValueError as reason:
            raise BadShard.at(address, place, str(reason)) from None
        stored = stored_document(address, number, members)
        return replace(stored, has_sounds=shard.most_sounds > 0, has_codes=shard.ncodes > 0)

    def _offsets_in(self, shard: ShardFile, content: bytes | Exception) -> NDArray[np.uint64]:
        """The offsets in the content of a shard's index, or in its headers where that may stand for an index."""
        file = _index(shard).file
        if self._walk and isinstance(content, FileNotFoundError):
            file, offsets = shard.file, self._walked(shard)
        elif isinstance(content, Exception):
            address, missing = self._address(file), isinstance(content, FileNotFoundError)
            raise self._unread(address, "", content, "; no shard is complete without it" if missing else "") from None
        else:
            try:
                offsets = read_index(content)
            except ValueError as reason:
                raise BadShard.at(self._address(file), "", str(reason)) from None
        if len(offsets) != shard.nsamples + 1:
            more = "more" if len(offsets) > shard.nsamples + 1 else len(offsets) - 1
            flaw = f"it has {more} document{'s' if more != 1 else ''}, but manifest.json says {shard.nsamples}"
            raise BadShard.at(self._address(file), "", flaw)
        if offsets[-1] > shard.filesize:
            flaw = f"its documents end at {offsets[-1]}, but manifest.json gives the shard {shard.filesize} bytes"
            raise BadShard.at(self._address(file), "", flaw)
        return offsets

    def _walked(self, shard: ShardFile) -> NDArray[np.uint64]:
        """The offsets of a shard from its headers; nothing but the headers is read."""
        offset = 0
        starts: list[int] = []
        while True:
            (block,) = self.folder.read([ByteRange(shard.file, offset, offset + BLOCK)])
            if isinstance(block, Exception):
                raise self._unread(self._address(shard.file), "", block) from None
            if not block.strip(b"\0") or len(starts) > shard.nsamples:
                return np.array([*starts, offset], np.uint64)
            try:
                name, size = read_header(block)
            except ValueError as reason:
                raise BadShard.at(self._address(shard.file), f"byte {offset}", f"no tar header: {reason}") from None
            if name.endswith(".json"):
                starts.append(offset)
            offset += BLOCK + padded(size)

    def _whole(self, address: str, place: str, content: Content | Exception, size: int) -> Content:
        if isinstance(content, Exception):
            raise self._unread(address, place, content) from None  # torch sends the texts of causes along
        if len(content) < size:
            raise BadShard.at(address, place, f"{len(content)} bytes instead of {size}, the shard is cut off")
        if len(content) > size:
            raise BadShard.at(address, place, f"{len(content)} bytes instead of {size}, the server ignores byte ranges")
        return content

    def _unread(self, address: str, place: str, reason: Exception, also: str = "") -> BadShard:
        """The error of a shard that cannot be read; a server that refuses says nothing against the shard."""
        way_out = SERVER if is_of_server(address, reason) else WAY_OUT
        return BadShard.at(address, place, f"cannot be read: {self.folder.why(reason)}{also}", way_out)

    def _address(self, file: str) -> str:
        return f"{self.folder.address}/{file}"


def _index(shard: ShardFile) -> ByteRange:
    """The index of a shard, and one entry more, which says that it has too many."""
    return ByteRange(f"{shard.file}.idx", 0, (shard.nsamples + 2) * INDEX_TYPE.itemsize)


def _batches(wanted: Iterable[Picked]) -> Iterator[list[Picked]]:
    """Documents of at most `BATCH_BYTES` at a time; those before one that has no place in its shard are given first."""
    some: list[Picked] = []
    filled = 0
    try:
        for picked in wanted:
            size = (picked[2].end or 0) - picked[2].start
            if some and filled + size > BATCH_BYTES:
                yield some
                some, filled = [], 0
            some.append(picked)
            filled += size
    except BadShard:
        if some:
            yield some
        raise
    if some:
        yield some


def _adjoining(picked: Iterable[Picked]) -> Iterator[list[Picked]]:
    """Documents that follow one another in a shard, of `RUN_BYTES` together."""
    some: list[Picked] = []
    for one in picked:
        place = one[2]
        if some and (
            place[:2] != (some[-1][2].file, some[-1][2].end) or (place.end or 0) - some[0][2].start > RUN_BYTES
        ):
            yield some
            some = []
        some.append(one)
    if some:
        yield some


def _part(content: bytes | Exception, whole: ByteRange, part: ByteRange) -> memoryview | bytes | Exception:
    """A range within another one's content, not copied; all of a content that is longer than it."""
    if isinstance(content, Exception) or len(content) > (whole.end or 0) - whole.start:
        return content
    return memoryview(content)[part.start - whole.start : (part.end or 0) - whole.start]
