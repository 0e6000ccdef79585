"""What finished parts add up to is what their marks say, whatever happened to the marks since they were last read."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import tallies
from pipeline.store import Metrics, PartStore, mark_name
from pipeline.tallies import Tally, tally

STAGE, DIGEST = "sample", "d"
LONG_AGO = 60.0


def mark(store: PartStore, part: str, videos: int = 1, **failed: int) -> None:
    folder = store.folder(STAGE, DIGEST)
    folder.mkdir(parents=True, exist_ok=True)
    metrics = Metrics(
        videos=videos,
        live=videos,
        failed=failed,
        dropped={},
        warnings={},
        counts={"frames": 10 * videos},
        sha256="0" * 64,
    )
    unfinished = folder / f".{part}"
    unfinished.write_text(metrics.model_dump_json())
    unfinished.rename(folder / mark_name(part))


def left_alone(store: PartStore) -> None:
    """Make the folder look as if nothing had been done to it for a while."""
    folder = store.folder(STAGE, DIGEST)
    before = folder.stat()
    os.utime(folder, (before.st_atime - LONG_AGO, before.st_mtime - LONG_AGO))


def videos(store: PartStore, *parts: str) -> int:
    return tally(store, STAGE, DIGEST, parts).videos


def test_sums_are_over_the_parts_that_are_asked_for(tmp_path: Path) -> None:
    store = PartStore(tmp_path)
    mark(store, "a", 1, not_found=1)
    mark(store, "b", 2, not_found=2, timeout=1)
    mark(store, "c", 4)
    found = tally(store, STAGE, DIGEST, ["b", "a", "missing"])
    assert found == Tally(2, 3, 3, {"not_found": 3, "timeout": 1}, {}, {}, {"frames": 30})
    assert list(found.failed) == ["not_found", "timeout"]


def test_nothing_is_done_where_there_is_no_folder(tmp_path: Path) -> None:
    assert tally(PartStore(tmp_path), STAGE, DIGEST, ["a"]) == Tally(0, 0, 0, {}, {}, {}, {})
    assert not (tmp_path / "tallies").exists()


def test_a_mark_that_was_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PartStore(tmp_path)
    mark(store, "a")
    assert videos(store, "a") == 1
    monkeypatch.setattr(tallies, "_line", None)
    assert videos(store, "a") == 1


def test_a_folder_that_was_left_alone_is_not_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PartStore(tmp_path)
    mark(store, "a")
    left_alone(store)
    assert videos(store, "a") == 1
    monkeypatch.setattr(tallies, "_marks", None)
    assert videos(store, "a") == 1


@pytest.mark.parametrize("alone", [False, True])
def test_a_part_that_was_removed_is_not_done(tmp_path: Path, *, alone: bool) -> None:
    store = PartStore(tmp_path)
    mark(store, "a", 1)
    mark(store, "b", 2)
    if alone:
        left_alone(store)
    assert videos(store, "a", "b") == 3
    store.remove(STAGE, DIGEST, ["a"])
    assert videos(store, "a", "b") == 2


@pytest.mark.parametrize("alone", [False, True])
def test_a_part_that_was_removed_and_made_again_has_its_new_numbers(tmp_path: Path, *, alone: bool) -> None:
    store = PartStore(tmp_path)
    mark(store, "a", 1)
    if alone:
        left_alone(store)
    assert videos(store, "a") == 1
    store.remove(STAGE, DIGEST, ["a"])
    mark(store, "a", 5)
    assert videos(store, "a") == 5


def test_an_old_table_put_back_is_not_believed(tmp_path: Path) -> None:
    # What a reader leaves that was slower than a --force and the run after it.
    store = PartStore(tmp_path)
    mark(store, "a", 1)
    mark(store, "b", 1)
    assert videos(store, "a", "b") == 2
    kept = store.tallies / STAGE / f"{DIGEST}.parquet"
    shutil.copy(kept, tmp_path / "old")
    store.remove(STAGE, DIGEST, ["a", "b"])
    mark(store, "a", 5)
    assert videos(store, "a", "b") == 5
    shutil.copy(tmp_path / "old", kept)
    assert videos(store, "a", "b") == 5


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_table_that_cannot_be_read_is_made_again(tmp_path: Path, content: bytes) -> None:
    store = PartStore(tmp_path)
    mark(store, "a", 3)
    kept = store.tallies / STAGE / f"{DIGEST}.parquet"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)
    assert videos(store, "a") == 3
    assert kept.read_bytes() != content


def test_what_a_killed_reader_left_is_cleared(tmp_path: Path) -> None:
    store = PartStore(tmp_path)
    mark(store, "a", 3)
    assert videos(store, "a") == 3
    (kept,) = (store.tallies / STAGE).iterdir()
    from storyloom.fs.atomic import temporary

    name = temporary(kept).name.split(".")
    name[-2] = str(2**22 + 1)  # over the largest process id of Linux
    (kept.parent / ".".join(name)).write_bytes(b"half")
    store.prepare()
    assert list((store.tallies / STAGE).iterdir()) == [kept]


def test_a_tally_that_cannot_be_kept_is_right_all_the_same(tmp_path: Path) -> None:
    store = PartStore(tmp_path)
    mark(store, "a", 3)
    store.tallies.write_bytes(b"a file where a folder should be")
    assert videos(store, "a") == 3


steps = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), st.sampled_from("abc"), st.integers(1, 9)),
        st.tuples(st.just("remove"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("look"), st.just(""), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.just(0)),
    ),
    max_size=12,
)


@given(steps=steps)
def test_the_tally_is_that_of_the_marks_whatever_is_done_between_two_looks(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    store = PartStore(tmp_path_factory.mktemp("work"))
    truth: dict[str, int] = {}
    for what, part, number in [*steps, ("look", "", 0)]:
        if what == "mark" and part not in truth:
            mark(store, part, number, **{part: number})
            truth[part] = number
        elif what == "remove":
            store.remove(STAGE, DIGEST, [part])
            truth.pop(part, None)
        elif what == "wait" and store.folder(STAGE, DIGEST).is_dir():
            left_alone(store)
        elif what == "look":
            found = tally(store, STAGE, DIGEST, "abc")
            assert (found.done, found.videos, Counter(found.failed)) == (
                len(truth),
                sum(truth.values()),
                Counter(truth),
            )
