"""Rules about the codes of images: each test breaks one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.write.stage import WriteConfig
from storyloom.format.codes import codes_bytes
from tests.documents import complete, dataset, picture_codes, videos, with_codes
from tests.storyloom.validate.damage import SHARD, check, first_key, members, write_members

Members = list[tuple[str, bytes]]


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    """Documents of two images with their codes, without sound: members 1 and 2 are JPEGs, 3 and 4 codes."""
    dataset(tmp_path, [list(map(with_codes, videos(2, documents=1)))], WriteConfig())
    return tmp_path / "out"


def test_a_dataset_with_codes_is_valid(coded: Path) -> None:
    assert check(coded, deep=True) == []
    assert "name: 001.codes.npy" in (coded / "README.md").read_text()


def test_a_dataset_with_codes_and_sounds_is_valid(tmp_path: Path) -> None:
    dataset(tmp_path, [[with_codes(complete(one)) for one in videos(2, documents=1)]], WriteConfig())
    assert check(tmp_path / "out") == []


def changed(coded: Path, some: Members) -> list[tuple[str, str, str]]:
    """What is told of the first document when it has other members."""
    found = members(coded)
    write_members(coded, [*some, *found[5:]])
    return [one for one in check(coded) if one[0] == SHARD and one[1]]


def test_codes_that_are_something_else_are_refused(coded: Path) -> None:
    found = members(coded)
    assert changed(coded, [*found[:3], (found[3][0], b"\x93NUMPY"), found[4]]) == [(SHARD, first_key(coded), "codes")]


def test_an_image_without_codes_is_refused(coded: Path) -> None:
    assert changed(coded, members(coded)[:4]) == [(SHARD, first_key(coded), "code_count")]


def test_a_document_without_codes_is_refused_where_others_have_them(coded: Path) -> None:
    assert changed(coded, members(coded)[:3]) == [(SHARD, first_key(coded), "code_count")]


def test_codes_out_of_order_are_refused(coded: Path) -> None:
    found = members(coded)
    assert changed(coded, [*found[:3], found[4], found[3]]) == [(SHARD, first_key(coded), "code_numbers")]


def test_codes_before_an_image_are_refused(coded: Path) -> None:
    found = members(coded)
    assert changed(coded, [*found[:2], found[3], found[2], found[4]]) == [(SHARD, first_key(coded), "code_numbers")]


def test_codes_behind_a_sound_are_refused(tmp_path: Path) -> None:
    dataset(tmp_path, [[with_codes(complete(one)) for one in videos(1, documents=1)]], WriteConfig())
    out = tmp_path / "out"
    found = members(out)
    write_members(out, [*found[:4], found[5], found[4], *found[6:]])
    assert (SHARD, first_key(out), "sound_numbers") in check(out)


def test_codes_where_the_manifest_knows_of_none_are_refused(out: Path) -> None:
    found, key = members(out), first_key(out)
    codes = [(f"{key}.00{number}.codes.npy", codes_bytes(picture_codes(number))) for number in range(2)]
    write_members(out, [*found[:3], *codes, *found[3:]])
    assert (SHARD, key, "code_count") in check(out)


def test_codes_of_another_shape_than_the_table_says_are_refused(coded: Path) -> None:
    found = members(coded)
    other = codes_bytes(np.zeros((4, 3), np.uint16))
    write_members(coded, [*found[:3], (found[3][0], other), *found[4:]])
    assert [(key, rule) for file, key, rule in check(coded) if file.endswith(".parquet")] == [
        (first_key(coded), "items")
    ]
