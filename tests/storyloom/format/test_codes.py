"""Files of codes: what numpy reads, and what is refused without being evaluated."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyloom.format.codes import PREAMBLE, codes_bytes, codes_shape, read_codes

CODES = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000


@given(rows=st.integers(1, 70), columns=st.integers(1, 70), seed=st.integers(0, 9))
def test_codes_are_read_as_they_were_written(rows: int, columns: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 65_536, (rows, columns), dtype=np.uint16)
    assert read_codes(codes_bytes(codes)).tolist() == codes.tolist()
    assert codes_shape(codes_bytes(codes)) == (rows, columns)


def test_numpy_reads_and_writes_the_same_file() -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, CODES, version=(1, 0), allow_pickle=False)
    assert file.getvalue() == codes_bytes(CODES)
    assert np.load(io.BytesIO(codes_bytes(CODES)), allow_pickle=False).tolist() == CODES.tolist()


def test_codes_in_fortran_s_order_are_written_row_by_row() -> None:
    assert codes_bytes(np.asfortranarray(CODES)) == codes_bytes(CODES)


@pytest.mark.parametrize(
    "codes",
    [CODES.astype(np.int32), CODES[0], CODES[:0], np.zeros((1, 4097), np.uint16)],
    ids=["int32", "a row", "nothing", "too wide"],
)
def test_what_is_no_grid_of_codes_is_not_written(codes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="codes must be uint16 of 1 to 4096 rows and columns"):
        codes_bytes(codes)


def stated(header: bytes, data: bytes = CODES.tobytes()) -> bytes:
    return codes_bytes(CODES)[:10] + header.ljust(PREAMBLE - 11) + b"\n" + data


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"", "does not begin"),
        (codes_bytes(CODES).replace(b"\x01\x00v", b"\x02\x00v"), "does not begin"),
        (stated(b"{'descr': '|O', 'fortran_order': False, 'shape': (3, 4), }"), "header is not that"),
        (stated(b"{'descr': '<u2', 'fortran_order': True, 'shape': (3, 4), }"), "header is not that"),
        (stated(b"{'descr': '<u2', 'fortran_order': False, 'shape': (12,), }"), "header is not that"),
        (stated(b"{'descr': '<u2', 'fortran_order': False, 'shape': (03, 04), }"), "header is not that"),
        (stated(b"{'descr': '<u2', 'fortran_order': False, 'shape': (0, 4), }"), "0 rows and 4 columns"),
        (stated(b"{'descr': '<u2', 'fortran_order': False, 'shape': (9999, 1), }"), "9999 rows and 1 columns"),
        (codes_bytes(CODES)[:-1], "151 bytes, 3 rows of 4 codes take 152"),
        (codes_bytes(CODES) + b"\0", "153 bytes"),
    ],
)
def test_another_file_is_refused(file: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_codes(file)
