"""Parts as columns: tens of millions of them fit into memory, since none is an object of Python's before it is used."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.row import KEY_DIGITS

T = TypeVar("T")

Codes = npt.NDArray[np.uint64]
"""Parts: the number in the upper half of each, the beginning of the hash of its videos in the lower one."""

Numbers = npt.NDArray[np.int64]

Keys = npt.NDArray[np.uint8]
"""Videos: a row of `KEY_BYTES` for each key."""

KEY_BYTES = KEY_DIGITS // 2

AT_ONCE = 4096
"""Values of a column that become Python's at once (our choice)."""

MOST_SHORT = 10**7
"""Numbers below this have seven digits in an id; larger ones nine after an ``a``, so that ids sort as their numbers."""


def part_id(code: int) -> str:
    """The id of a part: its number and the beginning of its videos' hash."""
    number, begin = code >> 32, code & 0xFFFFFFFF
    return f"{number:07d}-{begin:08x}" if number < MOST_SHORT else f"a{number:09d}-{begin:08x}"


def part_code(part: str) -> int:
    """The code of a part's id; codes sort as ids.

    Raises:
        KeyError: It is no id.
    """
    number, dash, begin = part.partition("-")
    try:
        code = int(number.removeprefix("a")) << 32 | int(begin, 16)
    except ValueError:
        raise KeyError(part) from None
    if not dash or part_id(code) != part:
        raise KeyError(part)
    return code


def part_ids(codes: Codes) -> list[str]:
    """The ids of some parts."""
    return [part_id(code) for code in codes.tolist()]


def keys_of(videos: Sequence[str] | pa.Array) -> Keys:
    """Keys of videos as bytes.

    Raises:
        ValueError: One is no key.
    """
    column = videos if isinstance(videos, pa.Array | pa.ChunkedArray) else pa.array(videos, pa.string())
    if isinstance(column, pa.ChunkedArray):
        found = [keys_of(chunk) for chunk in column.chunks]
        return np.concatenate(found) if found else np.empty((0, KEY_BYTES), np.uint8)
    if not len(column):
        return np.empty((0, KEY_BYTES), np.uint8)
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    if np.any(np.diff(offsets) != KEY_DIGITS):
        raise ValueError("a video's key has another length")
    digits = np.frombuffer(column.buffers()[2], np.uint8)[offsets[0] : offsets[-1]].reshape(-1, KEY_DIGITS)
    values = _VALUES[digits]
    if np.any(values > 15):  # noqa: PLR2004 - a hexadecimal digit's
        raise ValueError("a video's key is not hexadecimal")
    return (values[:, 0::2] << np.uint8(4)) | values[:, 1::2]


_VALUES = np.full(256, 255, np.uint8)
_VALUES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)


def videos_of(keys: Keys) -> list[str]:
    """Keys of videos as text."""
    text = keys.tobytes().hex()
    return [text[start : start + KEY_DIGITS] for start in range(0, len(text), KEY_DIGITS)]


def video_column(keys: Keys) -> pa.Array:
    """Keys of videos as a column of text."""
    offsets = np.arange(len(keys) + 1, dtype=np.int32) * KEY_DIGITS
    text = pa.py_buffer(keys.tobytes().hex().encode())
    return pa.Array.from_buffers(pa.string(), len(keys), [None, pa.py_buffer(offsets), text])


def places_in(keys: Keys, among: Keys) -> Numbers:
    """The first place of each key among others; -1 where it is not there."""
    found = pc.index_in(_binary(keys), value_set=_binary(among))
    places: Numbers = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return places


def first_places(keys: Keys) -> Numbers:
    """For each key the place of the first one that is the same."""
    codes = _binary(keys).dictionary_encode().indices.to_numpy()
    # codes are given in the order in which the keys appear
    first: Numbers = np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))
    found: Numbers = first[codes]
    return found


def _binary(keys: Keys) -> pa.Array:
    content = pa.py_buffer(np.ascontiguousarray(keys))
    return pa.Array.from_buffers(pa.binary(KEY_BYTES), len(keys), [None, content])


def in_order(keys: Keys) -> Numbers:
    """The order in which the keys are sorted."""
    whole = np.ascontiguousarray(keys)
    high = whole[:, :8].copy().view(">u8").ravel().astype(np.uint64)
    low = whole[:, 8:].copy().view(">u2").ravel().astype(np.uint16)
    order: Numbers = np.lexsort((low, high))
    return order


class Column(Sequence[T], Generic[T]):
    """A column as a sequence of Python's values, which are made when they are used.

    Args:
        length: Of the sequence.
        between: Gives the values from a place to before another.
    """

    def __init__(self, length: int, between: Callable[[int, int], list[T]]) -> None:
        self._length = length
        self._between = between

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[T, ...]: ...

    def __getitem__(self, place: int | slice) -> T | tuple[T, ...]:
        if isinstance(place, slice):
            wanted = range(self._length)[place]
            if not wanted:
                return ()
            first = min(wanted[0], wanted[-1])
            found = self._between(first, max(wanted[0], wanted[-1]) + 1)
            return tuple(found[one - first] for one in wanted)
        at = range(self._length)[place]
        return self._between(at, at + 1)[0]

    def __iter__(self) -> Iterator[T]:
        for start in range(0, self._length, AT_ONCE):
            yield from self._between(start, min(self._length, start + AT_ONCE))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


@dataclass(frozen=True, eq=False)
class Parts(Mapping[str, tuple[str, ...]]):
    """Parts in the order of their slots: a mapping of their ids to the keys of their videos.

    The columns are there for who looks at all parts; iterating over ids or videos makes Python's strings of them.

    Attributes:
        codes: Of the parts; `part_ids` makes ids of them.
        slots: The slot of each; rising.
        first: Whether each is the first part in its slot.
        ends: Number of videos up to the end of each.
        load: Reads the keys of the videos, those of a part side by side; called when they are used.
    """

    codes: Codes
    slots: Numbers
    first: npt.NDArray[np.bool_]
    ends: Numbers
    load: Callable[[], Keys]

    @classmethod
    def none(cls) -> Parts:
        """No parts."""
        none = np.empty(0, np.int64)
        empty = np.empty((0, KEY_BYTES), np.uint8)
        return cls(none.astype(np.uint64), none, none.astype(np.bool_), none, lambda: empty)

    @cached_property
    def keys_of_videos(self) -> Keys:
        """The keys of the videos, those of a part side by side."""
        return self.load()

    @property
    def starts(self) -> Numbers:
        """Number of videos before each part."""
        found: Numbers = np.concatenate([[0], self.ends[:-1]]).astype(np.int64)[: len(self.ends)]
        return found

    @property
    def count(self) -> int:
        """Number of videos."""
        return int(self.ends[-1]) if len(self.ends) else 0

    @cached_property
    def by_id(self) -> Numbers:
        """The places of the parts in the order of their ids."""
        order: Numbers = np.argsort(self.codes, kind="stable")
        return order

    @cached_property
    def _sorted(self) -> Codes:
        return self.codes[self.by_id]

    def place(self, part: str) -> int:
        """The place of a part, by its id.

        Raises:
            KeyError: There is no such part.
        """
        code = np.uint64(part_code(part))
        at = int(np.searchsorted(self._sorted, code))
        if at == len(self.codes) or self._sorted[at] != code:
            raise KeyError(part)
        return int(self.by_id[at])

    def part_of(self, video: str) -> str | None:
        """The part that holds a video, by its key; None where none does."""
        try:
            key = keys_of([video])
        except ValueError:
            return None
        at = np.flatnonzero(np.all(self.keys_of_videos == key, axis=1))
        return part_id(int(self.codes[np.searchsorted(self.ends, at[0], "right")])) if len(at) else None

    @property
    def ids(self) -> Column[str]:
        """The ids."""
        return Column(len(self.codes), lambda start, end: part_ids(self.codes[start:end]))

    @property
    def videos(self) -> Column[tuple[str, ...]]:
        """The keys of each part's videos."""
        return Column(len(self.codes), self._between)

    def _between(self, start: int, end: int) -> list[tuple[str, ...]]:
        if start == end:
            return []
        ends = self.ends[start:end].tolist()
        begin = int(self.ends[start - 1]) if start else 0
        videos = videos_of(self.keys_of_videos[begin : ends[-1]])
        return [tuple(videos[one - begin : two - begin]) for one, two in pairwise([begin, *ends])]

    def __getitem__(self, part: str) -> tuple[str, ...]:
        return self.videos[self.place(part)]

    def __contains__(self, part: object) -> bool:
        try:
            self.place(str(part))
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, places: Numbers) -> Parts:
        """The parts at some places, in this order."""
        sizes = np.diff(self.ends, prepend=0)[places]
        ends: Numbers = np.cumsum(sizes)

        def load() -> Keys:
            return self.keys_of_videos[runs(self.starts[places], sizes)]

        return Parts(self.codes[places], self.slots[places], self.first[places], ends, load)

    def groups(self, size: int) -> Groups:
        """The parts of each group of `size` slots."""
        numbers = self.slots // size
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        return Groups(self.codes, numbers[starts], starts)


@dataclass(frozen=True, eq=False)
class Groups(Mapping[str, tuple[str, ...]]):
    """The parts of each group by its id, in the order of their slots; groups without a part are left out.

    Attributes:
        codes: Of all parts, in the order of their slots.
        numbers: Of the groups, rising; `group_id` makes ids of them.
        starts: The place of the first part of each: parts of a group are side by side.
    """

    codes: Codes
    numbers: Numbers
    starts: Numbers

    def range(self, group: str) -> tuple[int, int]:
        """The places of a group's parts: of the first, and after the last.

        Raises:
            KeyError: There is no such group.
        """
        number = int(group) if group.isdecimal() else -1
        at = bisect_left(self.numbers, number)
        if at == len(self.numbers) or self.numbers[at] != number or group_id(number) != group:
            raise KeyError(group)
        end = int(self.starts[at + 1]) if at + 1 < len(self.starts) else len(self.codes)
        return int(self.starts[at]), end

    def of_place(self, place: int) -> str:
        """The group of the part at a place."""
        return group_id(int(self.numbers[bisect_right(self.starts, place) - 1]))

    def __getitem__(self, group: str) -> tuple[str, ...]:
        start, end = self.range(group)
        return tuple(part_ids(self.codes[start:end]))

    def __iter__(self) -> Iterator[str]:
        return map(group_id, self.numbers.tolist())

    def __len__(self) -> int:
        return len(self.numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    def __hash__(self) -> int:
        return hash(tuple(self.items()))


def group_id(number: int) -> str:
    """The id of a group."""
    return f"{number:05d}"


def runs(starts: npt.NDArray[Any], sizes: npt.NDArray[Any]) -> Numbers:
    """The places of runs one after the other, each from a start on."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    found: Numbers = np.arange(total) + np.repeat(starts - (ends - sizes), sizes)
    return found


def digest(*texts: str) -> str:
    """SHA-256 over some texts, in hexadecimal."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def part_digests(keys: Keys, ends: Numbers) -> npt.NDArray[np.uint32]:
    """The first 32 bits of `digest` of each part's videos."""
    found = np.empty(len(ends), np.uint32)
    width = KEY_DIGITS + 1
    begin = 0
    for start in range(0, len(ends), AT_ONCE):
        some = ends[start : start + AT_ONCE].tolist()
        text = "\0".join(videos_of(keys[begin : some[-1]])).encode()
        pieces = (text[width * (one - begin) : width * (two - begin) - 1] for one, two in pairwise([begin, *some]))
        found[start : start + len(some)] = np.frombuffer(
            b"".join(hashlib.sha256(piece).digest()[:4] for piece in pieces), ">u4"
        )
        begin = some[-1]
    return found
