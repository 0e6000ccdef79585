"""Ogg Opus files, as the sound of texts has them (RFC 3533 and RFC 7845)."""

from __future__ import annotations

import struct

PAGE = struct.Struct("<4sBBqIIIB")
"""Header of a page: mark, version, flags, granule position, serial number, number of the page, checksum, segments."""

FIRST, LAST = 2, 4
"""Flags of a page that begins and that ends a stream."""

HEADERS = 2
"""Pages before those of the sound: the head and the tags."""

HEAD = b"OpusHead\x01\x01"
"""How the first packet of a stream with one channel begins."""


def opus_flaw(data: bytes) -> str:
    """Why these bytes are no Ogg Opus file of one stream with one channel; empty when they are. Nothing is decoded."""
    offset = pages = flags = 0
    while offset < len(data):
        if len(data) - offset < PAGE.size or data[offset : offset + 4] != b"OggS":
            return f"no Ogg page at its byte {offset}"
        _, version, flags, _, _, number, _, segments = PAGE.unpack_from(data, offset)
        body = offset + PAGE.size + segments
        if version or number != pages or bool(flags & FIRST) != (pages == 0):
            return f"its page {pages} is out of order"
        if pages == 0 and not data[body:].startswith(HEAD):
            return "its first packet is not the head of Opus with one channel"
        offset = body + sum(data[offset + PAGE.size : body])
        pages += 1
    if offset != len(data) or not flags & LAST:
        return "its last page is cut off or missing"
    return "" if pages > HEADERS else "it holds no sound"
