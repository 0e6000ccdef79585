"""Of a segment's units those of some groups are read, wherever the row groups of their file begin and end."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.logs import logs
from pipeline.logs.logs import Logs
from pipeline.logs.segments import GroupRow, Totals, digest
from storyloom.fs.files import files_at

PLACE = ("measure", "0123456789abcdef")

GIVEN = b"for what it was done"


def written(folder: Path, units: dict[int, list[str]]) -> Logs:
    """Logs of one segment: the stems of the units of each group."""
    rows = [GroupRow(group, GIVEN, bytes(16), Totals(units=len(stems))) for group, stems in units.items()]
    groups = [group for group, stems in units.items() for _ in stems]
    table = pa.table(
        {
            "stem": pa.array([stem for stems in units.values() for stem in stems], pa.string()),
            "group": pa.array(groups, pa.int64()),
            "given": pa.array([digest(GIVEN)] * len(groups), pa.binary(16)),
        }
    )
    found = Logs(files_at(folder))
    found.write(PLACE, rows, table)
    return found.refreshed()


def stems(found: pa.Table | None) -> list[str]:
    assert found is not None
    return [str(one) for one in found["stem"].to_pylist()]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("groups", [[7], [1], [3, 9], [9, 8], [1, 3, 7], [7, 1000]])
def test_the_units_of_some_groups_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, groups: list[int]
) -> None:
    monkeypatch.setattr(logs, "UNIT_ROWS", size)
    units = {9: ["i"], 1: ["a", "b", "c"], 7: ["f", "g"], 3: ["d", "e"], 8: ["h"]}
    wanted = [stem for group in sorted(groups) for stem in units.get(group, [])]
    assert stems(written(tmp_path, units).units(PLACE, groups)) == wanted


def test_a_file_without_units_has_none_of_a_group(tmp_path: Path) -> None:
    """Arrow writes a row group without rows and without statistics."""
    assert stems(written(tmp_path, {1: [], 2: []}).units(PLACE, [1])) == []
