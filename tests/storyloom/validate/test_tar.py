"""Rules about a shard's bytes: each test breaks one."""

from pathlib import Path

import numpy as np
import pytest

from storyloom.format.tar import member
from tests.storyloom.validate.damage import (
    SHARD,
    check,
    edit_bytes,
    edit_header,
    first_key,
    members,
    reseal,
    write_members,
    write_raw,
)


@pytest.mark.parametrize(
    ("rule", "place", "value"),
    [
        ("mode", slice(100, 108), b"0000644\0"),
        ("owner", slice(108, 116), b"0001750\0"),
        ("owner", slice(265, 297), b"root"),
        ("mtime", slice(136, 148), b"14700000000\0"),
        ("typeflag", slice(156, 157), b"\0"),
        ("header_padding", slice(157, 257), b"elsewhere"),
        ("header_padding", slice(500, 512), b"x"),
        ("ustar", slice(257, 265), b"ustar  \0"),
        ("name_length", slice(345, 500), b"folder"),
    ],
)
def test_a_header_that_is_not_as_the_writer_makes_it_is_named_with_its_field(
    out: Path, rule: str, place: slice, value: bytes
) -> None:
    key = first_key(out)
    edit_header(out, place, value)
    assert check(out) == [(SHARD, key, rule)]


def test_a_checksum_that_is_written_otherwise_is_no_damage_but_a_violation(out: Path) -> None:
    def change(content: bytearray) -> None:
        content[148:156] = content[148:154] + b" \0"

    edit_bytes(out, change)
    assert check(out) == [(SHARD, first_key(out), "header_padding")]


def test_a_header_with_a_wrong_checksum_ends_the_reading(out: Path) -> None:
    def change(content: bytearray) -> None:
        content[0:1] = b"~"

    edit_bytes(out, change)
    assert check(out) == [(SHARD, "", "tar_header")]


@pytest.mark.parametrize(
    "size", [b"\x80" + bytes(3) + b"\xff" * 8, b"99999999999\0", b"-0000000001\0", b"        12 \0"]
)
def test_a_size_that_is_no_octal_number_ends_the_reading(out: Path, size: bytes) -> None:
    key = first_key(out)
    edit_header(out, slice(124, 136), size)
    assert check(out) == [(SHARD, key, "tar_size")]


def test_a_size_beyond_the_end_of_the_file_is_not_believed(out: Path) -> None:
    key = first_key(out)
    edit_header(out, slice(124, 136), b"77777777777\0")
    assert check(out) == [(SHARD, key, "truncated")]


def test_a_name_of_a_hundred_bytes_is_refused(out: Path) -> None:
    long = b"0" * 60 + b"." + b"0" * 35 + b".jpg"
    edit_header(out, slice(0, 100), long, number=2)
    key = long.decode().partition(".")[0]
    assert (SHARD, key, "name_length") in check(out)


def test_a_name_that_is_not_ascii_is_refused(out: Path) -> None:
    edit_header(out, slice(0, 100), "ä.json".encode())
    assert (SHARD, r"\xc3\xa4", "name_ascii") in check(out)


def test_padding_that_is_not_zero_is_refused(out: Path) -> None:
    name, data = members(out)[0]
    assert len(data) % 512

    def change(content: bytearray) -> None:
        content[512 + len(data)] = 1

    edit_bytes(out, change)
    assert check(out) == [(SHARD, name.partition(".")[0], "padding")]


@pytest.mark.parametrize("size", [300, 700])
def test_a_shard_that_is_cut_off_is_truncated(out: Path, size: int) -> None:
    edit_bytes(out, lambda content: content[:size])
    assert [rule for _, _, rule in check(out)] == ["truncated"]


def test_a_cut_off_shard_that_the_manifest_knows_whole_has_another_hash_too(out: Path) -> None:
    write_raw(out, (out / SHARD).read_bytes()[:5000], end=b"")
    assert [(file, rule) for file, _, rule in check(out)] == [(SHARD, "truncated"), (SHARD, "manifest_hash")]


@pytest.mark.parametrize(
    ("rule", "end"),
    [
        ("end_of_archive", b""),
        ("end_of_archive", bytes(512)),
        ("record_padding", bytes(1024)),
        ("record_padding", bytes(30 * 1024)),
        ("after_end", bytes(1024) + b"x" * 512),
        ("after_end", bytes(512) + member("a.json", b"{}") + bytes(1024)),
    ],
)
def test_the_end_of_a_shard_is_as_the_writer_makes_it(out: Path, rule: str, end: bytes) -> None:
    write_raw(out, b"".join(member(*one) for one in members(out)), end=end)
    reseal(out)
    assert check(out) == [(SHARD, "", rule)]


def test_garbage_is_no_tar(out: Path) -> None:
    edit_bytes(out, lambda content: b"\x8f\x00garbage" * 4000)
    assert check(out) == [(SHARD, "", "tar_header")]


def test_a_file_without_a_byte_is_an_empty_shard(out: Path) -> None:
    edit_bytes(out, lambda content: content[:0])
    # the manifest cannot even state such a size, so nothing but the shard can be told
    rules = {rule for file, _, rule in check(out) if file == SHARD}
    assert rules == {"end_of_archive", "empty_shard"}


def test_a_shard_without_documents_is_refused(out: Path) -> None:
    write_raw(out, b"")
    assert (SHARD, "", "empty_shard") in check(out)


def test_a_member_of_a_kind_that_readers_skip_is_refused(out: Path) -> None:
    """PAX headers are what a float as mtime brings; wids cannot read them."""
    pax = bytearray(member("pax", b"20 mtime=1700000000.5\n"))
    pax[156:157] = b"x"
    pax[148:156] = b" " * 8
    pax[148:156] = b"%06o\0 " % sum(pax[:512])
    parts = [member(*one) for one in members(out)]
    write_raw(out, bytes(pax) + b"".join(parts))
    index = (out / SHARD).with_suffix(".tar.idx")
    index.write_bytes((np.frombuffer(index.read_bytes(), "<u8") + len(pax)).tobytes())
    reseal(out)
    assert check(out) == [(SHARD, "pax", "typeflag")]


def test_a_document_of_many_megabytes_is_not_read(out: Path) -> None:
    key = first_key(out)
    content = b'{"title":"' + b"x" * (5 * 2**20) + b'"}'
    write_members(out, [(name, content if name == f"{key}.json" else data) for name, data in members(out)])
    assert check(out) == [(SHARD, key, "member_size")]
