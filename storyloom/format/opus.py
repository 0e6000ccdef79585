"""Ogg Opus files, as the sound of texts has them (RFC 3533 and RFC 7845)."""

from __future__ import annotations

import struct

RATE = 48_000
"""Hz, of Opus's own clock."""

LEAST = RATE // 50
"""Samples of the shortest sound of a text, a frame of 20 ms: some decoders find no sound in an empty file."""

PAGE = struct.Struct("<4sBBqIIIB")
"""Header of a page: mark, version, flags, granule position, serial number, number of the page, checksum, segments."""

FIRST, LAST = 2, 4
"""Flags of a page that begins and that ends a stream."""

HEADERS = 2
"""Pages before those of the sound: the head and the tags."""

HEAD = b"OpusHead\x01\x01"
"""How the first packet of a stream with one channel begins; the number of samples to skip at the start follows."""


def opus_samples(data: bytes) -> int:
    """How many samples at `RATE` an Ogg Opus file of one stream and channel says that it plays; nothing is decoded.

    Raises:
        ValueError: It is none; the message says why.
    """
    offset = pages = flags = position = skipped = 0
    while offset < len(data):
        if len(data) - offset < PAGE.size or data[offset : offset + 4] != b"OggS":
            raise ValueError(f"no Ogg page at its byte {offset}")
        _, version, flags, position, _, number, _, segments = PAGE.unpack_from(data, offset)
        body = offset + PAGE.size + segments
        if version or number != pages or bool(flags & FIRST) != (pages == 0):
            raise ValueError(f"its page {pages} is out of order")
        if pages == 0:
            if not data.startswith(HEAD, body):
                raise ValueError("its first packet is not the head of Opus with one channel")
            skipped = int.from_bytes(data[body + len(HEAD) : body + len(HEAD) + 2], "little")
        offset = body + sum(data[offset + PAGE.size : body])
        pages += 1
    if offset != len(data) or not flags & LAST:
        raise ValueError("its last page is cut off or missing")
    if pages <= HEADERS:
        raise ValueError("it holds no sound")
    return position - skipped
