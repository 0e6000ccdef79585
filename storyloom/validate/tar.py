"""The members of a shard, and every rule about a shard's bytes that needs no member's content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from storyloom.format.tar import (
    BLOCK,
    CHECKSUM,
    MAX_DOCUMENT,
    MAX_IMAGE,
    MAX_NAME,
    NAME,
    SIZE,
    SIZE_FIELD,
    checksum,
    checksum_fits,
    member,
    padded,
    read_header,
    trailer,
)
from storyloom.validate.stream import HashedStream

MODEL_HEADER = member("0.json", b"")[:BLOCK]
"""A header as the writer makes it: but for name, size and checksum, all headers have these bytes."""

FIELDS = (
    ("mode", "mode", slice(100, 108)),
    ("owner", "uid and gid", slice(108, 124)),
    ("mtime", "mtime", slice(136, 148)),
    ("typeflag", "typeflag", slice(156, 157)),
    ("header_padding", "link name", slice(157, 257)),
    ("ustar", "magic and version", slice(257, 265)),
    ("owner", "user and group name", slice(265, 329)),
    ("header_padding", "device", slice(329, 345)),
    ("name_length", "prefix of the name", slice(345, 500)),
    ("header_padding", "end of the header", slice(500, 512)),
)
"""Rule, name and place of every field that is the same in all headers (POSIX.1-1988, ustar interchange format)."""

CONSTANT = (slice(100, 124), slice(136, 148), slice(156, 512))
"""The same fields as contiguous slices, for the fast comparison of valid headers."""

PLAIN = (b"0", b"\0")
"""Type flags of a plain file; the second is that of tar before USTAR."""

OnViolation = Callable[[str, str, str], None]
"""Called with rule, message and key of a violation."""


@dataclass(frozen=True)
class Member:
    """A member of a shard.

    Attributes:
        name: Its name; bytes beyond ASCII are replaced.
        offset: Bytes from the start of the shard to its header.
        data: Its content; None when it was too large to be read.
    """

    name: str
    offset: int
    data: bytes | None


class Members:
    """The plain files of a shard in their order.

    Args:
        stream: The shard, at its start.
        size: Bytes of the shard.
        report: Called with each violation.

    Attributes:
        end: Where the last member's padded data ends.
        whole: Whether the archive was read to its end; False when it is truncated or damaged beyond recovery.
    """

    def __init__(self, stream: HashedStream, size: int, report: OnViolation) -> None:
        self.end = 0
        self.whole = False
        self._stream = stream
        self._size = size
        self._report = report

    def __iter__(self) -> Iterator[Member]:
        while True:
            offset = self._stream.offset
            header = self._stream.take(BLOCK)
            if not header.strip(b"\0"):
                self._ends(offset, only_zeros=self._stream.drain())
                return
            found = self._member(offset, header)
            if found is None:
                return
            self.end = self._stream.offset
            if header[156:157] in PLAIN:
                yield found

    def _member(self, offset: int, header: bytes) -> Member | None:
        """The member of this header; None when reading cannot continue."""
        if len(header) < BLOCK:
            self._report("truncated", f"ends inside the header at byte {offset}", "")
            return None
        if not checksum_fits(header):
            self._report("tar_header", f"the block at byte {offset} is no tar header: its checksum is wrong", "")
            return None
        name = self._name(header)
        key = name.partition(".")[0]
        if not SIZE.fullmatch(header[SIZE_FIELD]):
            self._report("tar_size", f"{name!r} at byte {offset}: its size is written as {header[SIZE_FIELD]!r}", key)
            return None
        self._fields(name, header)
        _, size = read_header(header)
        if offset + BLOCK + padded(size) > self._size:
            left = max(0, self._size - offset - BLOCK)
            self._report(
                "truncated", f"{name!r} at byte {offset} has {size} bytes, but the file ends after {left}", key
            )
            return None
        return Member(name, offset, self._data(name, size))

    def _data(self, name: str, size: int) -> bytes | None:
        limit = MAX_DOCUMENT if name.endswith(".json") else MAX_IMAGE
        if size > limit:
            self._report("member_size", f"{name!r} has {size} bytes, more than {limit}", name.partition(".")[0])
            self._stream.skip(padded(size))
            return None
        data = self._stream.take(size)
        if self._stream.take(padded(size) - size).strip(b"\0"):
            self._report("padding", f"the bytes after {name!r} are not zero", name.partition(".")[0])
        return data

    def _name(self, header: bytes) -> str:
        raw, _, rest = header[NAME].partition(b"\0")
        name = raw.decode("ascii", "backslashreplace")
        key = name.partition(".")[0]
        if not raw.isascii():
            self._report("name_ascii", f"{name!r} is not ASCII", key)
        if len(raw) > MAX_NAME:
            self._report("name_length", f"{name!r} fills the field of 100 bytes", key)
        if rest.strip(b"\0"):
            self._report("header_padding", f"{name!r}: its name is followed by {rest[:20]!r}", key)
        return name

    def _fields(self, name: str, header: bytes) -> None:
        """Compare with a header of the writer; in one step where it is valid."""
        key = name.partition(".")[0]
        if header[CHECKSUM] != (wanted := checksum(header)):
            self._report("header_padding", f"{name!r}: checksum is {header[CHECKSUM]!r}, must be {wanted!r}", key)
        if all(header[place] == MODEL_HEADER[place] for place in CONSTANT):
            return
        for rule, field, place in FIELDS:
            if header[place] != MODEL_HEADER[place]:
                found, right = (value[place].rstrip(b"\0") for value in (header, MODEL_HEADER))
                self._report(rule, f"{name!r}: {field} is {found!r}, must be {right!r}", key)

    def _ends(self, offset: int, *, only_zeros: bool) -> None:
        """Check the bytes after the last member, which ended at `offset`."""
        self.whole = True
        rest, wanted = self._size - offset, len(trailer(offset))
        if not only_zeros:
            self._report("after_end", f"something follows the zero block at byte {offset}: was it appended to?", "")
        elif rest < 2 * BLOCK:
            self._report("end_of_archive", f"{rest} zero bytes end the archive, not two blocks of {BLOCK}", "")
        elif rest != wanted:
            self._report("record_padding", f"{rest} zero bytes end the archive, must be {wanted}", "")
