"""The work folder: units appear whole, the first writer wins, and what is not what its mark says is damaged."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.store import Address, Damaged, Mark, Store, canonical_digest, row_at, rows_of
from schemas.row import Dropped, Row, RowError
from storyloom.errors import UsageError
from storyloom.fs.atomic import TEMPORARY_SUFFIX, temporary


class SaidRow(Row):
    """A row of the tests."""

    said: str = ""
    jpegs: list[bytes] = []

    def counts(self) -> dict[str, int]:
        return {"letters": len(self.said)}


class LetterRow(Row):
    """A row of their further table."""

    letter: str


ADDRESS = Address("echo", "0123", "part-7", "abcd")
TABLES: dict[str, type[Row]] = {"rows": SaidRow, "letters": LetterRow}


def key(number: int) -> str:
    return f"{number:020x}"


def draft(**fields: object) -> Mark:
    return Mark(stage=ADDRESS.stage, unit=ADDRESS.unit, key=ADDRESS.key, inputs={"measure": "m"}, **fields)


def rows(*said: str) -> Iterator[Row]:
    for number, one in enumerate(said):
        yield SaidRow(video=key(number), said=one)
        yield from (LetterRow(video=key(number), letter=letter) for letter in one)


def commit(store: Store, *said: str) -> Mark:
    return store.commit_rows(ADDRESS, draft(), TABLES, rows(*said))


def said(store: Store) -> list[str]:
    mark = store.mark(ADDRESS)
    assert mark is not None
    with store.table(ADDRESS, mark) as file:
        return [row.said for row in rows_of(file, SaidRow)]


def on_disk(store: Store, name: str) -> Path:
    return Path(store.address) / name


def table_file(store: Store, table: str = "rows") -> Path:
    (found,) = on_disk(store, store.folder("echo", "0123")).glob(f"part-7.abcd.*.{table}.parquet")
    return found


def mark_file(store: Store, address: Address = ADDRESS) -> Path:
    return on_disk(store, store.mark_file(address))


def names(store: Store, stage: str = "echo") -> list[str]:
    folder = on_disk(store, store.folder(stage, "0123"))
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def test_what_was_committed_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mark = commit(store, "ab", "", "c")
    assert store.mark(ADDRESS) == mark
    assert said(store) == ["ab", "", "c"]
    with store.table(ADDRESS, mark, "letters") as file:
        assert [(row.video, row.letter) for row in rows_of(file, LetterRow)] == [
            (key(0), "a"),
            (key(0), "b"),
            (key(2), "c"),
        ]
    assert names(store) == sorted(
        ["part-7.abcd.json", *(f"part-7.abcd.{mark.tables[name][:16]}.{name}.parquet" for name in TABLES)]
    )


def test_one_row_is_read_without_the_others_and_columns_may_be_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = [SaidRow(video=key(n), said=str(n), jpegs=[b"picture"]) for n in range(3)]
    mark = store.commit_rows(ADDRESS, draft(), {"rows": SaidRow}, made)
    with store.table(ADDRESS, mark) as file:
        assert file.num_row_groups == 3
        assert row_at(file, SaidRow, 1) == made[1]
        assert [(row.said, row.jpegs) for row in rows_of(file, SaidRow, ("jpegs",))] == [
            ("0", []),
            ("1", []),
            ("2", []),
        ]


def test_a_mark_says_what_was_read_and_written_and_what_the_rows_add_up_to(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = [
        SaidRow(video=key(0), said="abc", warnings=["odd"]),
        SaidRow(video=key(1), error=RowError(stage="echo", code="timeout", message="m", retryable=True)),
        SaidRow(video=key(2), error=RowError(stage="measure", code="timeout", message="m", retryable=True)),
        SaidRow(video=key(3), dropped=Dropped(stage="echo", reason="boring")),
    ]
    mark = store.commit_rows(ADDRESS, draft(ran="storyloom 1"), {"rows": SaidRow}, found)
    assert (mark.videos, mark.live, mark.retryable) == (4, 1, 1)
    assert (mark.failed, mark.dropped) == ({"echo.timeout": 1, "measure.timeout": 1}, {"echo.boring": 1})
    assert (mark.warnings, mark.counts, mark.ran) == ({"odd": 1}, {"letters": 3}, "storyloom 1")
    assert (mark.inputs, mark.output) == ({"measure": "m"}, mark.tables["rows"])


def test_the_first_writer_wins_and_the_second_gets_its_mark(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = commit(store, "ab", "c")
    assert commit(store, "something", "else") == first
    assert said(store) == ["ab", "c"]


def test_a_writer_that_lost_takes_nothing_from_one_with_the_same_rows_who_won_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, fast = Store(tmp_path), Store(tmp_path)
    commit(fast, "ab")
    really = late.commit_mark

    def overtaken(address: Address, mark: Mark) -> Mark:
        found = really(address, mark)
        fast.invalidate(ADDRESS)
        commit(fast, "other")
        return found

    monkeypatch.setattr(late, "commit_mark", overtaken)
    commit(late, "other")
    assert said(fast) == ["other"]


def test_the_tables_of_a_part_are_of_one_writer_even_when_another_died_before_its_mark(tmp_path: Path) -> None:
    store = Store(tmp_path)
    commit(store, "ab", "c")
    mark_file(store).unlink()
    table_file(store, "letters").unlink()
    mark = commit(store, "something", "else")
    assert mark.counts == {"letters": 13}
    assert said(store) == ["something", "else"]
    with store.table(ADDRESS, mark, "letters") as file:
        assert "".join(row.letter for row in rows_of(file, LetterRow)) == "somethingelse"


def test_rows_that_fail_to_come_leave_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def interrupted() -> Iterator[Row]:
        yield SaidRow(video=key(0), said="a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.commit_rows(ADDRESS, draft(), TABLES, interrupted())
    assert names(store) == []


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def empty(content: bytes) -> bytes:
    del content
    return b""


DAMAGES = pytest.mark.parametrize("damage", [cut, flipped, empty])


@DAMAGES
@pytest.mark.parametrize("table", ["rows", "letters"])
def test_a_table_that_is_not_what_was_written_is_damaged_and_can_be_done_again(
    tmp_path: Path, damage: Callable[[bytes], bytes], table: str
) -> None:
    store = Store(tmp_path)
    mark = commit(store, "ab", "c")
    file = table_file(store, table)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    with (
        pytest.raises(
            Damaged, match=rf"echo, part-7: echo/0123/{file.name} was changed since it was written; it is done again"
        ),
        store.table(ADDRESS, mark, table),
    ):
        pass
    store.invalidate(ADDRESS)
    assert store.mark(ADDRESS) is None
    assert commit(store, "ab", "c") == mark
    assert file.read_bytes() == whole


def test_a_table_that_is_gone_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mark = commit(store, "ab")
    table_file(store).unlink()
    with pytest.raises(Damaged, match=r"part-7\.abcd\.[0-9a-f]{16}\.rows\.parquet is gone"), store.table(ADDRESS, mark):
        pass


@DAMAGES
def test_a_damaged_mark_counts_as_not_done_and_is_replaced(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    store = Store(tmp_path)
    mark = commit(store, "ab", "c")
    file = mark_file(store)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert store.mark(ADDRESS) is None
    assert commit(store, "ab", "c") == mark
    assert file.read_bytes() == whole


def test_every_flipped_byte_of_a_mark_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    commit(store, "ab", "c")
    whole = mark_file(store).read_bytes()
    fooled = []
    for place in range(len(whole)):
        mark_file(store).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        found = store.mark(ADDRESS)
        if found is not None and found.sealed() != Mark.of(whole):
            fooled.append(place)
    assert fooled == []


def test_another_units_mark_under_its_name_is_not_believed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    commit(store, "ab")
    elsewhere = Address("echo", "0123", "part-8", "abcd")
    mark_file(store, elsewhere).write_bytes(mark_file(store).read_bytes())
    assert store.mark(elsewhere) is None


@DAMAGES
@pytest.mark.parametrize("table", ["rows", "letters"])
def test_a_damaged_table_without_a_mark_is_replaced(
    tmp_path: Path, damage: Callable[[bytes], bytes], table: str
) -> None:
    store = Store(tmp_path)
    mark = commit(store, "ab", "c")
    mark_file(store).unlink()
    file = table_file(store, table)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert commit(store, "ab", "c") == mark
    assert file.read_bytes() == whole


GROUP = Address("pack", "0123", "group-00000", "abcd")


def commit_group(store: Store, content: bytes) -> Mark:
    mark = Mark(stage="pack", unit=GROUP.unit, key=GROUP.key, inputs={}, files={"whole.tar": content.decode()})
    with store.files.scratch() as scratch:
        (scratch / "group").mkdir()
        (scratch / "group" / "whole.tar").write_bytes(content)
        return store.commit_group(GROUP, mark, scratch / "group")


def test_the_files_of_a_group_are_those_of_its_mark_also_where_two_writers_made_others(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = commit_group(store, b"first")
    assert commit_group(store, b"other") == first
    assert on_disk(store, f"{store.group_folder(GROUP, first.files)}/whole.tar").read_bytes() == b"first"
    store.invalidate(GROUP)
    assert names(store, "pack") == []


def test_invalidating_a_unit_leaves_its_neighbours(tmp_path: Path) -> None:
    store = Store(tmp_path)
    commit(store, "ab")
    longer = Address("echo", "0123", "part-77", "abcd")
    renamed = draft().model_copy(update={"unit": longer.unit})
    mark = store.commit_rows(longer, renamed, TABLES, rows("x"))
    store.invalidate(ADDRESS)
    assert store.mark(longer) == mark
    assert len(names(store)) == 3


def test_what_killed_writers_left_is_cleared_and_what_is_being_written_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    commit(store, "ab")
    living = temporary(tmp_path / "rows.parquet")
    words = living.name.split(".")
    words[-2] = str(2**22 + 1)  # over the largest process id of Linux
    dead = living.with_name(".".join(words))
    for file in (living, dead):
        file.write_bytes(b"half")
    store.prepare()
    assert [file for file in tmp_path.iterdir() if file.name.endswith(TEMPORARY_SUFFIX)] == [living]


def test_a_work_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file")
    with pytest.raises(UsageError, match=r"the work folder .*work cannot be written"):
        Store(tmp_path / "work").prepare()


def test_what_a_key_was_made_of_is_told_and_a_damaged_description_is_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for stage_key in ("one", "two"):
        store.describe("echo", stage_key, {"stage": "echo", "version": 1, "config": {"prefix": stage_key}})
    (tmp_path / "echo" / "one" / "stage.json").write_bytes(b"{")
    assert [found["config"] for found in store.descriptions("echo")] == [{"prefix": "two"}]


def test_a_digest_does_not_depend_on_the_order_of_keys_and_is_readable_elsewhere() -> None:
    assert canonical_digest({"b": 1, "a": "é"}) == canonical_digest(json.loads('{"a": "\\u00e9", "b": 1}'))
    assert canonical_digest([1, 2]) != canonical_digest([2, 1])


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "a"), Store(tmp_path / "b")
    assert commit(one, "ab", "c") == commit(two, "ab", "c")
    assert table_file(one).read_bytes() == table_file(two).read_bytes()
    assert pq.ParquetFile(table_file(one)).num_row_groups == 2


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Path]]:
    """The files of this machine's cache."""
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    return lambda: [file for file in (tmp_path / "cache").glob("files/*/*") if file.suffix != ".lock"]


def test_a_table_that_is_damaged_in_the_cache_alone_is_brought_again(cached: Callable[[], list[Path]]) -> None:
    store = Store("memory://damaged-cache/work")
    commit(store, "one", "two")
    assert said(store) == ["one", "two"]
    (file,) = cached()
    file.write_bytes(bytes(file.stat().st_size))
    assert said(store) == ["one", "two"]


def test_a_table_that_is_damaged_in_the_store_is_damaged_however_often_it_is_brought(
    cached: Callable[[], list[Path]],
) -> None:
    store = Store("memory://damaged-store/work")
    name = store.table_file(ADDRESS, "rows", commit(store, "one", "two").tables["rows"])
    store.files.replace(name, bytes(len(store.files.read(name))))
    with pytest.raises(Damaged, match="was changed since it was written"):
        said(store)
    assert cached() == []
