"""Parquet as a manifest."""

import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.manifest import read_manifest
from tests.manifests import read
from tests.manifests import rows as rows_of


def test_dates_beyond_the_calendar_stay_numbers(tmp_path: Path) -> None:
    columns = {
        "url": ["a.mp4"],
        "title": pa.array([2**62], pa.timestamp("us")),
        "when": pa.array([2**62], pa.timestamp("us")),
    }
    pq.write_table(pa.table(columns), tmp_path / "l.parquet")
    (row,) = read(str(tmp_path / "l.parquet"))
    assert (row.title, row.extra) == (str(2**62), f'{{"when":"{2**62}"}}')


def test_parquet_of_every_type_is_read(tmp_path: Path) -> None:
    columns = {
        "url": pa.array(["a.mp4", "b.mp4"]).dictionary_encode(),
        "id": pa.array([9300000000000000001, 9300000000000000002], pa.uint64()),
        "title": pa.array([b"caf\xe9", b"ok"]).cast(pa.binary()).view(pa.string()),
        "language": pa.array(["en", None], pa.large_string()),
        "license": pa.array([Decimal("1.10"), None]),
        "start": pa.array([1, None], pa.int8()),
        "when": pa.array([2**62, 0], pa.timestamp("us")),
        "tags": pa.array([["x"], None]),
        "picture": pa.array([b"\xff", b""]),
        "broken": pa.array([b"\xff", b"y"]).view(pa.string()),
        "nothing": pa.nulls(2),
    }
    pq.write_table(pa.table(columns), tmp_path / "l.parquet")
    rows, told = read_manifest(str(tmp_path / "l.parquet"))
    one, two = rows_of(rows)
    assert (one.source_id, one.title, one.language, one.license, one.start) == (
        "9300000000000000001",
        "caf\ufffd",
        "en",
        "1.10",
        1.0,
    )
    assert (two.source_id, two.title, two.language, two.license, two.start) == (
        "9300000000000000002",
        "ok",
        "",
        "",
        -1.0,
    )
    assert json.loads(two.extra) == {"when": "1970-01-01 00:00:00", "broken": "y"}
    assert {"broken": "\ufffd", "tags": ["x"]}.items() <= json.loads(one.extra).items()
    assert "column `picture` holds bytes, which are not kept" in told


def test_a_parquet_url_that_is_no_text_fails_alone(tmp_path: Path) -> None:
    urls = pa.array([b"caf\xe9.mp4", b"ok.mp4", b"nul\0.mp4"]).view(pa.string())
    pq.write_table(pa.table({"url": urls}), tmp_path / "l.parquet")
    assert [row.problem.partition(";")[0] for row in read(str(tmp_path / "l.parquet"))] == [
        "`url` is not UTF-8",
        "",
        "`url` has NUL bytes",
    ]


def test_parquet_that_holds_videos_is_read_without_them(tmp_path: Path) -> None:
    for number in range(2):
        held = [{"bytes": bytes([row]) * 1000, "path": f"{row}.mp4"} for row in range(3)]
        table = pa.table({"video": held, "title": ["A", "B", "C"], "label": [0, 1, 2]})
        pq.write_table(table, tmp_path / f"train-{number}.parquet", row_group_size=2)
    (tmp_path / "README.md").touch()
    rows = read(str(tmp_path))
    assert [row.source_id for row in rows][2:4] == ["train-0.parquet#2", "train-1.parquet#0"]
    assert [(row.offset, row.title, row.extra) for row in rows][3:] == [
        (0, "A", '{"label":0}'),
        (1, "B", '{"label":1}'),
        (2, "C", '{"label":2}'),
    ]
    assert rows[0].location == str(tmp_path / "train-0.parquet")
