"""Parquet is read in the thread that asks: a thread of Arrow's could want the interpreter's lock when there is none."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storyloom.format.parquet import ParquetFile

TABLE = pa.table({"a": list(range(1000)), "b": [f"text {number}" for number in range(1000)]})

TASKS = Path("/proc/self/task")

ROOT = Path(__file__).parents[3]

READS: dict[str, Callable[[ParquetFile], pa.Table]] = {
    "read": lambda file: file.read(),
    "read_row_group": lambda file: pa.concat_tables([file.read_row_group(one) for one in range(file.num_row_groups)]),
    "read_row_groups": lambda file: file.read_row_groups(range(file.num_row_groups)),
    "iter_batches": lambda file: pa.Table.from_batches(file.iter_batches(64)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pq.write_table(TABLE, tmp_path / "table.parquet", row_group_size=100)
    return tmp_path / "table.parquet"


@pytest.mark.parametrize("read", READS)
def test_content_files_and_paths_are_read(path: Path, read: str) -> None:
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        with ParquetFile(source) as file:
            assert READS[read](file).equals(TABLE)


def test_columns_are_read(path: Path) -> None:
    with ParquetFile(path) as file:
        found = [file.read(["b"]), file.read_row_group(1, ["b"]), file.read_row_groups([1], ["b"])]
        names = [one.column_names for one in found] + [one.schema.names for one in file.iter_batches(64, columns=["b"])]
        assert all(one == ["b"] for one in names)


@pytest.mark.skipif(not TASKS.exists(), reason="counts threads as Linux tells them")
@pytest.mark.parametrize("source", ["path", "path.read_bytes()", "path.open('rb')"])
def test_reading_starts_no_thread(path: Path, source: str) -> None:
    """Arrow starts its threads with the first task that it has for them, and keeps them."""
    code = f"""if True:
        import pathlib, sys
        from storyloom.format.parquet import ParquetFile

        def threads():
            return {{one.name for one in pathlib.Path("{TASKS}").iterdir()}}

        path = pathlib.Path(sys.argv[1])
        before = threads()
        with ParquetFile({source}) as file:
            file.read()
            file.read_row_group(1)
            file.read_row_groups([1, 2])
            list(file.iter_batches(64))
        print(threads() - before)
    """
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
