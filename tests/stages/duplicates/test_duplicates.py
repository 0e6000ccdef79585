"""The same content under several names: which one is kept, and what a part sees of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.duplicates import Duplicates
from schemas.media import MediaRow
from stages.base import Context, Video
from stages.duplicates.stage import ContentRow, DuplicatesConfig, FindDuplicates
from stages.filter.stage import Filter, FilterConfig
from stages.write.stage import WriteConfig, write_group
from storyloom.fs.files import files_at
from tests.documents import document, video
from tests.stages.rows import CONTEXT, KEY, MANIFEST, aligned, frames_row, scored

SPOKEN = [(0.0, 4.0, "ten words are what a document of ours must have")]


def step() -> FindDuplicates:
    return FindDuplicates(DuplicatesConfig(), CONTEXT)


def key(number: int) -> str:
    return f"{number:020x}"


def content(sha256: str, **fields: float | bool) -> str:
    media = MediaRow.model_validate({"video": KEY, "sha256": sha256, **fields})
    return step().one(Video(MANIFEST, [media])).content


@given(st.lists(st.integers(0, 5)))
def test_each_content_is_kept_once_and_the_others_say_as_what(contents: list[int]) -> None:
    rows = [ContentRow(video=key(n), content=f"{one:064x}", source_id=f"video {n}") for n, one in enumerate(contents)]
    found = step().reduce(rows).same_as
    expected = {key(n): f"video {contents.index(one)}" for n, one in enumerate(contents) if contents.index(one) != n}
    assert found == expected


def test_clips_are_the_same_where_file_and_times_are() -> None:
    sha256 = "ab" * 32
    assert content(sha256, clip=True, duration=9.0) == content(sha256, duration=9.0)
    first = content(sha256, clip=True, clip_start=5.0, duration=2.0)
    assert first == content(sha256, clip=True, clip_start=5.0, duration=2.0)
    assert len({first, content(sha256, duration=9.0), content(sha256, clip=True, clip_start=5.0, duration=3.0)}) == 3


def test_a_part_sees_of_the_duplicates_only_its_own() -> None:
    everything = Duplicates(same_as={key(1): "a", key(2): "b"})
    grown = Duplicates(same_as={**everything.same_as, key(9): "c"})
    for videos in ([key(1), key(5)], [key(4)]):
        assert FindDuplicates.seen_by(everything, videos) == FindDuplicates.seen_by(grown, videos)
    assert FindDuplicates.seen_by(everything, [key(1), key(5)]).same_as == {key(1): "a"}


@pytest.mark.parametrize(("wish", "reason"), [("keep", ""), ("drop", "duplicate")])
def test_a_duplicate_is_dropped_on_demand_with_the_id_of_the_kept_one(wish: str, reason: str) -> None:
    row = aligned(SPOKEN, [1.0])
    config = FilterConfig.model_validate({"duplicates": wish, "threshold": 0.0})
    stage = Filter(config, Context(0, files_at("media"), {"duplicates": Duplicates(same_as={KEY: "talk.mp4"})}))
    found = stage.guarded(Video(MANIFEST, [row, scored(row, 0.5), frames_row([1.0])]))
    assert (found.dropped.reason if found.dropped else "") == reason
    if found.dropped:
        assert found.dropped.detail == "the same content as talk.mp4"


def test_only_dropping_waits_for_all_downloads() -> None:
    def read(**config: str) -> set[str]:
        return {one.stage for one in Filter.inputs(FilterConfig.model_validate(config))}

    assert "duplicates" not in read()
    assert "duplicates" in read(duplicates="drop")


def test_the_split_goes_by_content_not_by_name(tmp_path: Path) -> None:
    config = WriteConfig(val_share=0.5)
    one = [video(name, document())._replace(media=MediaRow(video=KEY, sha256="cd" * 32)) for name in "abcdefgh"]
    assert len({shard.split for shard in write_group(one, tmp_path / "one", config, 0)}) == 1
    others = [made._replace(media=MediaRow(video=KEY, sha256=f"{n:064x}")) for n, made in enumerate(one)]
    assert len({shard.split for shard in write_group(others, tmp_path / "others", config, 0)}) == 2
