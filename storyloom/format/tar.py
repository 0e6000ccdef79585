"""The bytes of a shard: a USTAR archive that depends on its content only, and its index."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import IO

import numpy as np
from numpy.typing import NDArray

from storyloom.format.sample import codes_name, image_name, sound_name

MODE = 0o444
"""Read-only for everybody; shards are never changed in place."""

MAX_NAME = 99
"""Bytes of a member's name: USTAR's field without a prefix, which wids does not read."""

MAX_SIZE = 8**11 - 1
"""Bytes of a member: eleven octal digits; beyond that tar needs an extension that wids does not read."""

MAX_DOCUMENT = 4 * 2**20
"""Bytes of `KEY.json`, far over a usual one's: untrusted input must not fill the memory (our choice)."""

MAX_IMAGE = 64 * 2**20
"""Bytes of an image (our choice)."""

MAX_PIXELS = 64 * 10**6
"""Pixels of an image that is decoded: 192 MB (our choice)."""

MAX_SAMPLE = 192 * 2**20
"""Bytes of a document with its images in a shard: it is held in memory whole, twice (our choice)."""

BLOCK = tarfile.BLOCKSIZE
"""Bytes of a header, and the multiple to which data is padded: 512."""

NAME, SIZE_FIELD, CHECKSUM = slice(0, 100), slice(124, 136), slice(148, 156)
"""Places of a USTAR header's fields (POSIX.1-1988, ustar interchange format)."""

SIZE = re.compile(rb"[0-7]{11}\0")
"""How a header states a size: eleven octal digits."""

INDEX_TYPE = np.dtype("<u8")
"""Energon's index: unsigned, 64 bits, little-endian."""


def member(name: str, data: bytes) -> bytes:
    """A tar member: its header and its data, padded to a multiple of 512 bytes.

    Raises:
        ValueError: The name or the size does not fit a plain USTAR header.
    """
    if not name.isascii() or not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"member name {name!r} must be ASCII and at most {MAX_NAME} bytes long")
    if len(data) > MAX_SIZE:
        raise ValueError(f"member {name!r} has {len(data)} bytes, more than the {MAX_SIZE} a tar header can state")
    header = tarfile.TarInfo(name)
    header.size = len(data)
    header.mode = MODE
    header.mtime = 0  # an integer: a float makes tarfile write a PAX header
    return header.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict") + data + bytes(-len(data) % BLOCK)


def sample_bytes(
    key: str,
    document: bytes,
    jpegs: Sequence[bytes],
    sounds: Sequence[bytes] = (),
    codes: Sequence[bytes] = (),
) -> bytes:
    """All members of one sample: `KEY.json`, then all `KEY.000.jpg`, all `KEY.000.codes.npy`, all `KEY.t000.opus`."""
    images = [member(image_name(key, number), jpeg) for number, jpeg in enumerate(jpegs)]
    drawn = [member(codes_name(key, number), one) for number, one in enumerate(codes)]
    spoken = [member(sound_name(key, number), sound) for number, sound in enumerate(sounds)]
    return b"".join([member(f"{key}.json", document), *images, *drawn, *spoken])


def read_header(block: bytes) -> tuple[str, int]:
    """Name and size in bytes of the member whose header this is.

    Raises:
        ValueError: It is no tar header; the message says why.
    """
    if len(block) < BLOCK:
        raise ValueError(f"{len(block)} bytes instead of a header's {BLOCK}")
    if not checksum_fits(block):
        raise ValueError("its checksum is wrong")
    if not SIZE.fullmatch(block[SIZE_FIELD]):
        raise ValueError(f"its size is written as {block[SIZE_FIELD]!r}")
    return block[NAME].partition(b"\0")[0].decode("ascii", "backslashreplace"), int(block[SIZE_FIELD][:11], 8)


def checksum(header: bytes) -> bytes:
    """The content of a header's checksum field, as the writer writes it."""
    return b"%06o\0 " % (sum(header[: CHECKSUM.start]) + 8 * ord(" ") + sum(header[CHECKSUM.stop :]))


def checksum_fits(header: bytes) -> bool:
    """Whether a header states its checksum, however the octal number is ended."""
    stated, wanted = (field.strip(b" \0").lstrip(b"0") for field in (header[CHECKSUM], checksum(header)))
    return stated == wanted


def padded(size: int) -> int:
    """Bytes that `size` bytes of data take in a tar."""
    return size + -size % BLOCK


def tar_members(data: bytes | memoryview) -> Iterator[tuple[str, bytes]]:
    """Name and content of the tar members in these bytes: the inverse of `sample_bytes`.

    Raises:
        ValueError: The bytes are something else, or end inside a member.
    """
    offset = 0
    while offset < len(data):
        try:
            name, size = read_header(bytes(data[offset : offset + BLOCK]))
        except ValueError as reason:
            raise ValueError(f"no tar header at its byte {offset}: {reason}") from None
        start = offset + BLOCK
        if start + size > len(data):
            raise ValueError(f"{name} is cut off")
        yield name, bytes(data[start : start + size])
        offset = start + padded(size)


def trailer(size: int) -> bytes:
    """The end of a shard whose members take `size` bytes: two zero blocks, and zeros up to a multiple of 10,240."""
    end = 2 * BLOCK
    return bytes(end + -(size + end) % tarfile.RECORDSIZE)


def read_index(content: bytes) -> NDArray[np.uint64]:
    """The start of each sample in a shard, then the end of the last one's padded data: see `index_bytes`.

    Args:
        content: Of the file `.tar.idx`.

    Raises:
        ValueError: The offsets do not rise from 0.
    """
    if len(content) % INDEX_TYPE.itemsize:
        raise ValueError(f"{len(content)} bytes are no multiple of {INDEX_TYPE.itemsize}")
    offsets = np.frombuffer(content, INDEX_TYPE).astype(np.uint64)
    if not len(offsets) or offsets[0] != 0 or np.any(offsets[1:] <= offsets[:-1]):
        raise ValueError("its offsets do not rise from 0")
    return offsets


def index_of_tar(tar: IO[bytes]) -> bytes:
    """The `.tar.idx` of a shard as its headers give it; nothing but the headers is read.

    Raises:
        ValueError: Something else stands where a header should.
    """
    starts: list[int] = []
    offset = 0
    while (block := tar.read(BLOCK)).strip(b"\0"):
        name, size = read_header(block)
        if name.endswith(".json"):
            starts.append(offset)
        offset += BLOCK + padded(size)
        tar.seek(offset)
    return np.array([*starts, offset], INDEX_TYPE).tobytes()


def index_bytes(sizes: Sequence[int]) -> bytes:
    """The shard's `.tar.idx`: the start of each sample, then the end of the last one's padded data.

    Args:
        sizes: Bytes of each sample, in order.
    """
    return np.fromiter(accumulate(sizes, initial=0), dtype=INDEX_TYPE, count=len(sizes) + 1).tobytes()
