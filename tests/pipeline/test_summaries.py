"""What finished units add up to is what their marks say, whatever happened to the marks since they were last read."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import summaries
from pipeline.store import SUMMARIES, Address, Mark, Store
from pipeline.summaries import Summaries, Summary

STAGE, KEY = "sample", "d"
LONG_AGO = 60.0


def address(part: str) -> Address:
    return Address(STAGE, KEY, f"part-{part}", "k")


def mark(store: Store, part: str, videos: int = 1, **failed: int) -> None:
    found = address(part)
    counted = Mark(
        stage=STAGE,
        unit=found.unit,
        key=found.key,
        inputs={},
        tables={"rows": part * 8},
        ran=f"by {part}",
        videos=videos,
        live=videos,
        retryable=sum(failed.values()),
        failed=failed,
        counts={"frames": 10 * videos},
    )
    store.commit_mark(found, counted)


def remove(store: Store, *parts: str) -> None:
    for part in parts:
        store.invalidate(address(part))


def left_alone(store: Store) -> None:
    """Make the folder look as if nothing had been done to it for a while."""
    folder = Path(store.address) / store.folder(STAGE, KEY)
    before = folder.stat()
    os.utime(folder, (before.st_atime - LONG_AGO, before.st_mtime - LONG_AGO))


def summary(store: Store, *parts: str) -> Summary:
    return Summaries(store, keep=True).summary(map(address, parts))


def videos(store: Store, *parts: str) -> int:
    return summary(store, *parts).videos


def kept(store: Store) -> Path:
    return Path(store.address) / SUMMARIES / STAGE / f"{KEY}.parquet"


def test_sums_are_over_the_units_that_are_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mark(store, "a", 1, not_found=1)
    mark(store, "b", 2, not_found=2, timeout=1)
    mark(store, "c", 4)
    found = summary(store, "b", "a", "missing")
    assert found == Summary(2, 3, 3, 4, {"not_found": 3, "timeout": 1}, {}, {}, {"frames": 30})
    assert list(found.failed) == ["not_found", "timeout"]


def test_a_unit_is_told_by_its_key_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mark(store, "a")
    found = Summaries(store, keep=True)
    assert found.mark(address("a")) is not None
    assert found.mark(Address(STAGE, KEY, "part-a", "other inputs")) is None


def test_hashes_counts_and_what_ran_are_those_of_the_mark(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mark(store, "a", 2, timeout=1)
    mark(store, "b")
    found = Summaries(store, keep=True)
    told = found.mark(address("a"))
    assert told is not None
    assert told.tables == {"rows": "aaaaaaaa"}
    assert (found.count(address("a"), "frames"), found.count(address("a"), "words")) == (20, 0)
    assert found.count(address("missing"), "frames") == 0
    assert found.ran([address("b"), address("a")]) == ["by a", "by b"]
    assert [found.retryable(address(part)) for part in ("a", "b", "missing")] == [True, False, False]


def test_nothing_is_done_where_there_is_no_folder(tmp_path: Path) -> None:
    assert summary(Store(tmp_path), "a") == Summary(0, 0, 0, 0, {}, {}, {}, {})
    assert not list(tmp_path.iterdir())


def test_who_only_looks_keeps_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mark(store, "a", 3)
    assert Summaries(store, keep=False).summary([address("a")]).videos == 3
    assert not (tmp_path / SUMMARIES).exists()


def test_another_look_sees_what_was_done_since(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mark(store, "a", 3)
    first = Summaries(store, keep=False)
    assert first.summary([address("a"), address("b")]).videos == 3
    mark(store, "b", 4)
    assert first.summary([address("a"), address("b")]).videos == 3
    assert first.refreshed().summary([address("a"), address("b")]).videos == 7


def test_another_look_reads_no_mark_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    mark(store, "a", 3)
    first = Summaries(store, keep=False)
    assert first.summary([address("a")]).videos == 3
    monkeypatch.setattr(summaries, "_line", None)
    assert first.refreshed().refreshed().summary([address("a")]).videos == 3


def test_a_mark_that_was_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    mark(store, "a")
    assert videos(store, "a") == 1
    monkeypatch.setattr(summaries, "_line", None)
    assert videos(store, "a") == 1


def test_a_folder_that_was_left_alone_is_not_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    mark(store, "a")
    left_alone(store)
    assert videos(store, "a") == 1
    monkeypatch.setattr(summaries, "marks_in", None)
    assert videos(store, "a") == 1


@pytest.mark.parametrize("alone", [False, True])
def test_a_unit_that_was_removed_is_not_done(tmp_path: Path, *, alone: bool) -> None:
    store = Store(tmp_path)
    mark(store, "a", 1)
    mark(store, "b", 2)
    if alone:
        left_alone(store)
    assert videos(store, "a", "b") == 3
    remove(store, "a")
    assert videos(store, "a", "b") == 2


@pytest.mark.parametrize("alone", [False, True])
def test_a_unit_that_was_removed_and_made_again_has_its_new_numbers(tmp_path: Path, *, alone: bool) -> None:
    store = Store(tmp_path)
    mark(store, "a", 1)
    if alone:
        left_alone(store)
    assert videos(store, "a") == 1
    remove(store, "a")
    mark(store, "a", 5)
    assert videos(store, "a") == 5


@pytest.mark.parametrize("content", [b"", b"{", b'{"stage": "sample"}'])
def test_a_damaged_mark_is_not_done(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    mark(store, "a", 1)
    mark(store, "b", 2)
    (tmp_path / store.mark_file(address("a"))).write_bytes(content)
    assert videos(store, "a", "b") == 2


def test_an_old_table_put_back_is_not_believed(tmp_path: Path) -> None:
    # What a reader leaves that was slower than a --force and the run after it.
    store = Store(tmp_path)
    mark(store, "a", 1)
    mark(store, "b", 1)
    assert videos(store, "a", "b") == 2
    shutil.copy(kept(store), tmp_path / "old")
    remove(store, "a", "b")
    mark(store, "a", 5)
    assert videos(store, "a", "b") == 5
    shutil.copy(tmp_path / "old", kept(store))
    assert videos(store, "a", "b") == 5


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_table_that_cannot_be_read_is_made_again(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    mark(store, "a", 3)
    kept(store).parent.mkdir(parents=True)
    kept(store).write_bytes(content)
    assert videos(store, "a") == 3
    assert kept(store).read_bytes() != content


def test_a_summary_that_cannot_be_kept_is_right_all_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mark(store, "a", 3)
    (tmp_path / SUMMARIES).write_bytes(b"a file where a folder should be")
    assert videos(store, "a") == 3


steps = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), st.sampled_from("abc"), st.integers(1, 9)),
        st.tuples(st.just("remove"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("look"), st.just(""), st.just(0)),
        st.tuples(st.just("look again"), st.just(""), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.just(0)),
    ),
    max_size=12,
)


@given(steps=steps)
def test_the_summary_is_that_of_the_marks_whatever_is_done_between_two_looks(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    store = Store(tmp_path_factory.mktemp("work"))
    truth: dict[str, int] = {}
    looking = Summaries(store, keep=True)
    for what, part, number in [*steps, ("look", "", 0), ("look again", "", 0)]:
        if what == "mark" and part not in truth:
            mark(store, part, number, **{part: number})
            truth[part] = number
        elif what == "remove":
            remove(store, part)
            truth.pop(part, None)
        elif what == "wait" and (Path(store.address) / store.folder(STAGE, KEY)).is_dir():
            left_alone(store)
        elif what.startswith("look"):
            looking = looking.refreshed() if what == "look again" else Summaries(store, keep=True)
            found = looking.summary(map(address, "abc"))
            assert (found.done, found.videos, Counter(found.failed)) == (
                len(truth),
                sum(truth.values()),
                Counter(truth),
            )
