"""Rules about keys, members and the offsets' index: each test breaks one."""

from pathlib import Path

import pytest

from storyloom.validate.dataset import validate_dataset
from storyloom.validate.spread import in_this_process
from tests.documents import read_documents
from tests.storyloom.validate.damage import SHARD, check, edit_document, first_key, members, write_members

INDEX = f"{SHARD}.idx"
SECOND, VALIDATION = "data/train/shard-000001.tar", "data/val/shard-000000.tar"


@pytest.mark.parametrize("bad", ["Key", "-key", "__key", "k" * 65, "folder/key", "k!"])
def test_a_key_that_readers_would_drop_is_refused(out: Path, bad: str) -> None:
    key = first_key(out)
    write_members(
        out, [(name.replace(key, bad), data.replace(key.encode(), bad.encode())) for name, data in members(out)]
    )
    found = check(out)
    assert {(file, k, rule) for file, k, rule in found} == {(SHARD, bad, "key_pattern")}


@pytest.mark.parametrize("part", ["000.jpeg", "000.JPG", "00.jpg", "mp3"])
def test_a_member_of_another_kind_is_refused(out: Path, part: str) -> None:
    key = first_key(out)
    write_members(out, _insert(members(out), 3, (f"{key}.{part}", b"x")))
    assert check(out) == [(SHARD, key, "member_suffix")]


def test_images_without_a_document_are_refused(out: Path) -> None:
    found = members(out)
    write_members(out, [*found, ("stray.000.jpg", found[1][1])])
    assert check(out) == [(SHARD, "stray", "no_document")]


def test_a_document_after_its_images_is_refused(out: Path) -> None:
    first, *others = members(out)
    write_members(out, [*others[:2], first, *others[2:]])
    assert check(out) == [(SHARD, first_key_of(first[0]), "document_first")]


def test_members_that_lie_apart_are_refused(out: Path) -> None:
    found = members(out)
    apart = found.pop(2)
    renamed = (apart[0].replace(".001.", ".000."), apart[1])
    write_members(out, [*found, renamed])
    key = first_key_of(apart[0])
    assert check(out) == [(SHARD, key, "image_count"), (SHARD, key, "contiguous")]


def test_images_that_are_not_numbered_densely_are_refused(out: Path) -> None:
    found = members(out)
    found[2] = (found[2][0].replace(".001.", ".002."), found[2][1])
    write_members(out, found)
    assert check(out) == [(SHARD, first_key_of(found[0][0]), "image_numbers")]


@pytest.mark.parametrize("change", ["fewer", "more"])
def test_a_document_with_other_images_than_it_lists_is_refused(out: Path, change: str) -> None:
    found = members(out)
    key = first_key_of(found[0][0])
    extra = (f"{key}.002.jpg", found[2][1])
    write_members(out, [*found[:2], *found[3:]] if change == "fewer" else _insert(found, 3, extra))
    assert check(out) == [(SHARD, key, "image_count")]


def test_a_key_that_two_shards_have_is_refused(out: Path) -> None:
    key, other = first_key(out), first_key(out, SECOND)
    renamed = [(n.replace(other, key), d.replace(other.encode(), key.encode())) for n, d in members(out, SECOND)]
    write_members(out, renamed, SECOND)
    assert check(out) == [(SECOND, key, "duplicate_key")]


def test_a_key_that_two_splits_have_is_refused(out: Path) -> None:
    key, other = first_key(out), first_key(out, VALIDATION)
    renamed = [(n.replace(other, key), d.replace(other.encode(), key.encode())) for n, d in members(out, VALIDATION)]
    write_members(out, renamed, VALIDATION)
    assert check(out) == [(VALIDATION, key, "duplicate_key")]


def test_a_document_that_a_shard_has_twice_is_refused(out: Path) -> None:
    found = members(out)
    write_members(out, [*found, *found[:3]])
    key = first_key_of(found[0][0])
    assert (SHARD, key, "duplicate_key") in check(out)
    assert {rule for _, _, rule in check(out)} == {"duplicate_key", "manifest_count"}


def test_a_document_of_the_same_key_that_no_parser_reads_is_refused(out: Path) -> None:
    found = members(out)
    nested = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    write_members(out, [*found, (found[0][0], nested), *found[1:3]])
    assert {"json", "duplicate_key"} <= {rule for _, _, rule in check(out)}


@pytest.mark.parametrize("other", ["garbage", "short", "gone", "link"])
def test_a_shard_that_changes_while_it_is_read_is_unreadable(out: Path, other: str) -> None:
    """A key that two shards have is looked up again after all of them were read."""
    key, old = first_key(out), first_key(out, SECOND)
    renamed = [(n.replace(old, key), d.replace(old.encode(), key.encode())) for n, d in members(out, SECOND)]
    write_members(out, renamed, SECOND)

    def change(done: int, of: int) -> None:
        if done == of:
            (out / SHARD).unlink()
            if other == "link":
                (out / SHARD).symlink_to(out / SECOND)
            elif other != "gone":
                (out / SHARD).write_bytes(b"x" * 5000 if other == "garbage" else b"")

    report = validate_dataset(out, spread=in_this_process, on_shard=change)
    (violation,) = report.violations.kept
    assert (violation.file, violation.rule) == (SHARD, "unreadable")
    assert "changed while it was read" in violation.message


def test_a_video_in_two_splits_is_refused(out: Path) -> None:
    video = next(iter(read_documents(out / VALIDATION).values()))["video_id"]
    edit_document(out, lambda document: document.update(video_id=video))
    (violation,) = check(out)
    assert violation[0] == VALIDATION
    assert violation[2] == "video_in_two_splits"
    assert read_documents(out / VALIDATION)[violation[1]]["video_id"] == video


def test_a_video_in_two_shards_of_one_split_is_fine(out: Path) -> None:
    video = next(iter(read_documents(out / SECOND).values()))["video_id"]
    edit_document(out, lambda document: document.update(video_id=video))
    assert check(out) == []


def test_documents_of_one_video_may_overlap_in_time(out: Path) -> None:
    """The aligner's window reaches across the place where a video is cut into documents."""
    key = first_key(out)
    neighbour = next(one for name, one in read_documents(out / SHARD).items() if name != key)
    times = ("image_time", "text_start", "text_end", "doc_start", "doc_end", "video_id", "video_url")
    edit_document(out, lambda document: document.update({name: neighbour[name] for name in times}))
    assert check(out) == []


@pytest.mark.parametrize(
    "change", [lambda b: b[:-8], lambda b: b + bytes(8), lambda b: bytes(8) + b[:-8], lambda b: b"", lambda b: b[:-1]]
)
def test_an_index_with_other_offsets_is_refused(out: Path, change) -> None:  # type: ignore[no-untyped-def]
    (out / INDEX).write_bytes(change((out / INDEX).read_bytes()))
    assert check(out) == [(INDEX, "", "tar_idx")]


def test_a_shard_without_an_index_is_unfinished(out: Path) -> None:
    (out / INDEX).unlink()
    assert check(out) == [(INDEX, "", "missing_file")]


def first_key_of(name: str) -> str:
    return name.partition(".")[0]


def _insert(found: list[tuple[str, bytes]], place: int, new: tuple[str, bytes]) -> list[tuple[str, bytes]]:
    return [*found[:place], new, *found[place:]]
