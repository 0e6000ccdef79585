"""Shares of a file's answers that each check refuses, by the command."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.bench.fuse.refusals import Columns, refusals
from tests.runs import ROOT

RAW = "So today Anna and I whisk ten eggs until they are stiff."
CAPTION = "A woman whisks eggs in a steel bowl."
GOOD = "Anna whisks 10 eggs in a steel bowl until they are stiff."
CUT = "Anna whisks 10 eggs in a steel bowl until they"
LEAK = "The caption shows Anna, who whisks 10 eggs in a steel bowl"
"""Cut as well as leaked, and refused as leaked first."""


def rows(*fused: str | None) -> list[dict[str, Any]]:
    return [{"raw": RAW, "synthetic": CAPTION, "fused": one} for one in fused]


def jsonl(folder: Path, *lines: dict[str, Any]) -> Path:
    file = folder / "fused.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def run(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pipeline.cli", "bench", "fuse", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    return result.returncode, result.stderr or result.stdout


def test_every_check_counts_over_all_rows_and_the_first_reason_once(tmp_path: Path) -> None:
    code, shown = run(str(jsonl(tmp_path, *rows(GOOD, CUT, LEAK, GOOD))), "--json")
    found = json.loads(shown)
    assert code == 0
    assert (found["rows"], found["passed"]["number"]) == (4, 2)
    assert (found["checks"]["cut_sentence"]["refused"], found["checks"]["cut_sentence"]["first"]) == (2, 1)
    assert (found["checks"]["leaked_prompt"]["refused"], found["checks"]["leaked_prompt"]["first"]) == (1, 1)
    assert found["checks"]["too_new"]["refused"] == 0


def test_the_table_has_wilsons_interval_of_each_share(tmp_path: Path) -> None:
    _, shown = run(str(jsonl(tmp_path, *rows(GOOD, CUT, LEAK, GOOD))))
    assert "| cut_sentence | 2 | 50.00% [15.00%, 85.00%] | 1 |" in shown


def test_rows_without_an_answer_are_counted_apart(tmp_path: Path) -> None:
    found = refusals(jsonl(tmp_path, *rows(GOOD, None, " ")), Columns())
    assert (found.rows, found.empty) == (1, 2)


def test_parquet_gives_what_jsonl_gives(tmp_path: Path) -> None:
    lines = rows(GOOD, CUT, LEAK)
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "fused.parquet")
    assert refusals(tmp_path / "fused.parquet", Columns()) == refusals(jsonl(tmp_path, *lines), Columns())


def test_columns_of_published_sets_can_be_named(tmp_path: Path) -> None:
    file = jsonl(tmp_path, {"laion_2b": RAW, "laion_coco": CAPTION, "capsfusion": CUT})
    columns = ["--raw", "laion_2b", "--synthetic", "laion_coco", "--fused", "capsfusion"]
    code, shown = run(str(file), *columns, "--json")
    assert code == 0
    assert json.loads(shown)["checks"]["cut_sentence"]["refused"] == 1


def test_words_of_the_prompt_leak(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Whatever happens, stay close to the facts.", encoding="utf-8")
    file = jsonl(tmp_path, *rows(f"{GOOD} Cooks stay close to the facts."))
    found = [
        json.loads(run(str(file), *more, "--json")[1]) for more in ((), ("--prompt", str(tmp_path / "prompt.txt")))
    ]
    assert [one["checks"]["leaked_prompt"]["refused"] for one in found] == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"raw": "a", "synthetic": "b", "fused": "c"}\n{"raw": \n', "line 2: no JSON"),
        ('\n{"raw": "a", "synthetic": "b"}\n', "line 2: no column fused; it has raw, synthetic"),
        ('{"raw": 1, "synthetic": "b", "fused": "c"}\n', "line 1: raw is int, not a text"),
        ("[]\n", "line 1: it takes a JSON object a line"),
        ('{"raw": "\\ud800", "synthetic": "b", "fused": "c"}\n', "line 1: raw is no Unicode text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "fused.jsonl").write_text(content, encoding="utf-8")
    code, problem = run(str(tmp_path / "fused.jsonl"))
    assert code == 2
    assert message in problem


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    code, problem = run(str(tmp_path / "none.jsonl"))
    assert code == 2
    assert "none.jsonl cannot be read: No such file" in problem


def test_a_missing_column_of_parquet_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"raw": ["a"], "text": ["b"]}), tmp_path / "fused.parquet")
    code, problem = run(str(tmp_path / "fused.parquet"))
    assert code == 2
    assert "no column synthetic, fused; it has raw, text" in problem


def test_what_is_no_parquet_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "fused.parquet").write_bytes(b"none")
    code, problem = run(str(tmp_path / "fused.parquet"))
    assert code == 2
    assert "not a Parquet file" in problem


@pytest.mark.parametrize("arguments", [[], ["--labelled", "fused.jsonl"]])
def test_a_file_or_the_labelled_set_is_needed(arguments: list[str]) -> None:
    code, problem = run(*arguments)
    assert code == 2
    assert "one of the two" in problem


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "fused.jsonl"
    line = json.dumps(rows(GOOD)[0] | {"other": "x" * 20_000}) + "\n"
    file.write_text(line * 1000, encoding="utf-8")
    refusals(file, Columns())  # models and word lists stay in memory
    tracemalloc.start()
    assert refusals(file, Columns()).rows == 1000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000  # the file has 20 MB
