"""What stands beside a document: the codes of its images and the sounds of its texts, all of them and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

import storyloom
from stages.write.stage import WriteConfig
from storyloom.format.codes import codes_bytes
from storyloom.format.stored import BadShard
from storyloom.reader import DocumentDataset
from tests.documents import complete, dataset, picture_codes, tone, videos, with_codes
from tests.storyloom.validate.damage import SHARD, Member, first_key, members, write_members


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Documents of two images and two texts, with codes and sounds: members 3 and 4 are codes, 5 and 6 sounds."""
    dataset(tmp_path, [[with_codes(complete(one)) for one in videos(2, documents=1)]], WriteConfig())
    return tmp_path / "out"


def changed(out: Path, some: list[Member]) -> str:
    """What the reader says of the first document when it has other members."""
    write_members(out, [*some, *members(out)[7:]])
    with pytest.raises(BadShard) as raised:
        list(storyloom.open(out))
    assert raised.value.shard == str(out / SHARD)
    assert raised.value.place == "document 0"
    return str(raised.value)


def test_codes_and_sounds_that_are_all_there_are_read(whole: Path) -> None:
    for document in storyloom.open(whole):
        assert [frame.codes is not None for frame in document.frames] == [True, True]
        assert all(text.sound for text in document.texts)


def test_a_document_that_lost_the_codes_of_all_images_is_refused(whole: Path) -> None:
    found = members(whole)
    assert f"there is no '{first_key(whole)}.000.codes.npy'" in changed(whole, [*found[:3], *found[5:7]])


def test_a_document_that_lost_the_codes_of_an_image_is_refused(whole: Path) -> None:
    found = members(whole)
    assert f"there is no '{first_key(whole)}.001.codes.npy'" in changed(whole, [*found[:4], *found[5:7]])


def test_codes_of_no_image_are_refused(whole: Path) -> None:
    found, name = members(whole), f"{first_key(whole)}.002.codes.npy"
    extra = (name, codes_bytes(picture_codes(2)))
    assert f"'{name}' belongs to none of its 2 images" in changed(whole, [*found[:5], extra, *found[5:7]])


def test_a_document_that_lost_the_sounds_of_all_texts_is_refused(whole: Path) -> None:
    assert f"there is no '{first_key(whole)}.t000.opus'" in changed(whole, members(whole)[:5])


def test_a_sound_of_no_text_is_refused(whole: Path) -> None:
    name = f"{first_key(whole)}.t002.opus"
    extra = (name, tone(0, 1.5))
    assert f"'{name}' belongs to none of its 2 texts" in changed(whole, [*members(whole)[:7], extra])


def test_codes_in_a_shard_of_which_the_manifest_knows_none_are_refused(tmp_path: Path) -> None:
    dataset(tmp_path, [videos(2, documents=1)], WriteConfig())
    out = tmp_path / "out"
    found, key = members(out), first_key(out)
    codes = [(f"{key}.00{number}.codes.npy", codes_bytes(picture_codes(number))) for number in range(2)]
    write_members(out, [*found[:3], *codes, *found[3:]])
    with pytest.raises(BadShard, match=rf"document 0: .*'{key}\.000\.codes\.npy' .* manifest\.json"):
        list(storyloom.open(out))


def test_a_trainer_is_given_no_document_without_the_codes_of_its_shard(whole: Path) -> None:
    found = members(whole)
    write_members(whole, [*found[:3], *found[5:]])
    with pytest.raises(BadShard, match=r"there is no '.*\.000\.codes\.npy'"):
        list(DocumentDataset(whole, shuffle=False))


def test_documents_whose_pictures_are_not_wanted_are_read_without_what_is_beside_them(whole: Path) -> None:
    assert len(list(DocumentDataset(whole).without_pictures())) == 2
