"""Rules about the sounds of texts: each test breaks one."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.rows import DocumentText
from stages.write.stage import WriteConfig
from tests.documents import complete, dataset, document, tone, video, videos
from tests.storyloom.validate.damage import SHARD, check, first_key, members, write_members


@pytest.fixture
def with_sound(tmp_path: Path) -> Path:
    """Documents of two images and two sounds each."""
    dataset(tmp_path, [list(map(complete, videos(2, documents=1)))], WriteConfig())
    return tmp_path / "out"


def test_a_dataset_with_sound_is_valid(with_sound: Path) -> None:
    assert check(with_sound, deep=True) == []
    assert "t001.opus" in (with_sound / "README.md").read_text()


def test_a_sound_that_is_something_else_is_refused(with_sound: Path) -> None:
    found = members(with_sound)
    write_members(with_sound, [*found[:3], (found[3][0], b"RIFF"), *found[4:]])
    assert check(with_sound) == [(SHARD, first_key(with_sound), "opus")]


@pytest.mark.parametrize("seconds", [1.45, 1.55, 0.02])
def test_a_sound_of_another_length_than_its_text_is_refused(with_sound: Path, seconds: float) -> None:
    found = members(with_sound)
    write_members(with_sound, [*found[:3], (found[3][0], tone(0, seconds)), *found[4:]])
    assert check(with_sound) == [(SHARD, first_key(with_sound), "sound_length")]


def test_the_sounds_of_texts_of_any_length_last_as_long_as_they(tmp_path: Path) -> None:
    spans = [(0.001, 1.334), (1.334, 1.334), (1.334, 1.335), (2.0, 9.999)]
    texts = [DocumentText(start=start, end=end, text="so here we", source="asr") for start, end in spans]
    draft = document(texts=4).model_copy(update={"texts": texts, "end": 10.0})
    dataset(tmp_path, [[complete(video("a", draft))]], WriteConfig())
    assert check(tmp_path / "out") == []


def test_a_document_with_fewer_sounds_than_texts_is_refused(with_sound: Path) -> None:
    found = members(with_sound)
    write_members(with_sound, [*found[:4], *found[5:]])
    assert check(with_sound) == [(SHARD, first_key(with_sound), "sound_count")]


def test_a_document_without_sound_is_refused_where_others_have_it(with_sound: Path) -> None:
    found = members(with_sound)
    write_members(with_sound, [*found[:3], *found[5:]])
    assert check(with_sound) == [(SHARD, first_key(with_sound), "sound_count")]


def test_sounds_out_of_order_are_refused(with_sound: Path) -> None:
    found = members(with_sound)
    write_members(with_sound, [*found[:3], found[4], found[3], *found[5:]])
    assert check(with_sound) == [(SHARD, first_key(with_sound), "sound_numbers")]


def test_a_sound_before_an_image_is_refused(with_sound: Path) -> None:
    found = members(with_sound)
    write_members(with_sound, [*found[:2], found[3], found[2], *found[4:]])
    assert check(with_sound) == [(SHARD, first_key(with_sound), "sound_numbers")]


def test_sounds_where_the_manifest_knows_of_none_are_refused(out: Path) -> None:
    found, key = members(out), first_key(out)
    sounds = [(f"{key}.t00{number}.opus", tone(number, 1.5)) for number in range(2)]
    write_members(out, [*found[:3], *sounds, *found[3:]])
    assert [one for one in check(out) if one[1]] == [(SHARD, key, "sound_count")]
