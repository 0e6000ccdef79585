"""The bytes of a shard: a USTAR archive that depends on its content only, and its index."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from storyloom.format.sample import image_name

MODE = 0o444
"""Read-only for everybody; shards are never changed in place."""

MAX_NAME = 99
"""Bytes of a member's name: USTAR's field without a prefix, which wids does not read."""

MAX_SIZE = 8**11 - 1
"""Bytes of a member: eleven octal digits; beyond that tar needs an extension that wids does not read."""

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
    return header.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict") + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def sample_bytes(key: str, document: bytes, jpegs: Sequence[bytes]) -> bytes:
    """All members of one sample: `KEY.json`, then `KEY.000.jpg`, `KEY.001.jpg`, and so on."""
    images = [member(image_name(key, number), jpeg) for number, jpeg in enumerate(jpegs)]
    return b"".join([member(f"{key}.json", document), *images])


def document_bytes(members: bytes) -> bytes:
    """The content of a sample's first member, `KEY.json`: the inverse of `sample_bytes` for the document.

    Raises:
        tarfile.HeaderError: The bytes do not begin with a tar header.
    """
    header = tarfile.TarInfo.frombuf(members[: tarfile.BLOCKSIZE], "ascii", "strict")
    return members[tarfile.BLOCKSIZE : tarfile.BLOCKSIZE + header.size]


def trailer(size: int) -> bytes:
    """What ends a shard whose members take `size` bytes: two zero blocks, and zeros up to a multiple of 10,240."""
    end = 2 * tarfile.BLOCKSIZE
    return bytes(end + -(size + end) % tarfile.RECORDSIZE)


def read_index(path: Path) -> list[int]:
    """Where each sample of a shard starts, and last where the last one's padded data ends: see `index_bytes`."""
    return [int(offset) for offset in np.fromfile(path, dtype=INDEX_TYPE)]


def index_bytes(sizes: Sequence[int]) -> bytes:
    """The shard's `.tar.idx`: where each sample starts, and last where the last one's padded data ends.

    Args:
        sizes: Bytes of each sample, in order.
    """
    return np.fromiter(accumulate(sizes, initial=0), dtype=INDEX_TYPE, count=len(sizes) + 1).tobytes()
