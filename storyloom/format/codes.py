"""Discrete codes of an image as a member of a shard: NumPy's file format, version 1.0, of one dtype and one order.

A header has one form, so that the bytes do not depend on the version of NumPy, and nothing in it is evaluated.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

MOST_CODES = 65_536
"""Most codes of a codebook: a code is a uint16."""

MOST_SIDE = 4096
"""Most rows, and columns, of an image's codes (our choice: 65,536 pixels of 16 to a code)."""

PREAMBLE = 128
"""Bytes before the codes, a multiple of 64 as NumPy aligns them (numpy.lib.format, "Format Version 1.0")."""

MAGIC = b"\x93NUMPY\x01\x00" + (PREAMBLE - 10).to_bytes(2, "little")

HEADER = re.compile(
    rb"\{'descr': '<u2', 'fortran_order': False, 'shape': \((0|[1-9]\d{0,3}), (0|[1-9]\d{0,3})\), \} *\n"
)


def codes_bytes(codes: NDArray[np.uint16]) -> bytes:
    """A file of codes.

    Args:
        codes: Shape (rows, columns).

    Raises:
        ValueError: They have no such shape or dtype.
    """
    plane = codes.dtype == np.uint16 and codes.ndim == len(("rows", "columns"))
    if not plane or not all(1 <= side <= MOST_SIDE for side in codes.shape):
        raise ValueError(
            f"codes must be uint16 of 1 to {MOST_SIDE} rows and columns, are {codes.dtype} of {codes.shape}"
        )
    header = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {codes.shape}, }}".encode()
    return MAGIC + header.ljust(PREAMBLE - len(MAGIC) - 1) + b"\n" + codes.astype("<u2").tobytes("C")


def codes_shape(data: bytes) -> tuple[int, int]:
    """Rows and columns of a file of codes.

    Raises:
        ValueError: It is none; the message says why.
    """
    if not data.startswith(MAGIC):
        raise ValueError("it does not begin as a file of NumPy's format 1.0 with a header of 118 bytes")
    found = HEADER.fullmatch(data[len(MAGIC) : PREAMBLE])
    if not found:
        raise ValueError("its header is not that of little-endian uint16 in C order with rows and columns")
    rows, columns = int(found[1]), int(found[2])
    if not (1 <= rows <= MOST_SIDE and 1 <= columns <= MOST_SIDE):
        raise ValueError(f"it has {rows} rows and {columns} columns, must have 1 to {MOST_SIDE} of each")
    if len(data) != PREAMBLE + 2 * rows * columns:
        raise ValueError(
            f"it has {len(data)} bytes, {rows} rows of {columns} codes take {PREAMBLE + 2 * rows * columns}"
        )
    return rows, columns


def read_codes(data: bytes) -> NDArray[np.uint16]:
    """The codes of a file of codes; shape (rows, columns).

    Raises:
        ValueError: It is none; the message says why.
    """
    rows, columns = codes_shape(data)
    codes: NDArray[np.uint16] = np.frombuffer(data, "<u2", offset=PREAMBLE).astype(np.uint16).reshape(rows, columns)
    return codes
