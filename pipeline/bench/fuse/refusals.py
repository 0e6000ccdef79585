"""What the checks refuse of a set of fused texts, a published one or one's own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.bench.measure import Share, share
from stages.fuse.checks import CHECKS, Answer
from storyloom.errors import UsageError, printable

BATCH = 1024
"""Rows of a Parquet file that are held at once (our choice)."""

MAX_LINE = 1 << 24
"""Most bytes of a line of JSONL: it is held in memory (our choice)."""


@dataclass(frozen=True)
class Columns:
    """Names of a file's columns.

    Attributes:
        raw: What was said, or the text of the web.
        synthetic: The caption.
        fused: The answer.
        language: BCP 47 tags of `raw`; empty: told by the words.
    """

    raw: str = "raw"
    synthetic: str = "synthetic"
    fused: str = "fused"
    language: str = ""

    @property
    def named(self) -> list[str]:
        """Those that a file must have."""
        return [name for name in (self.raw, self.synthetic, self.fused, self.language) if name]


@dataclass(frozen=True)
class Refusals:
    """Shares of a file's rows.

    Attributes:
        rows: How many have an answer.
        empty: How many more have none.
        by_check: Rows that a check refuses, whatever the others do; by reason.
        by_first: Rows for which it is the first reason.
        passed: Rows that all checks let pass.
    """

    rows: int
    empty: int
    by_check: dict[str, int]
    by_first: dict[str, int]
    passed: int

    def shares(self) -> dict[str, Share | None]:
        """By reason, of each check alone."""
        return {reason: share(number, self.rows) for reason, number in self.by_check.items()}

    def as_json(self) -> str:
        """All of it, with the intervals."""
        checks = {
            reason: {"refused": self.by_check[reason], "first": self.by_first[reason], **_fields(found)}
            for reason, found in self.shares().items()
        }
        passed = {"number": self.passed, **_fields(share(self.passed, self.rows))}
        return json.dumps({"rows": self.rows, "empty": self.empty, "passed": passed, "checks": checks}, indent=1)


def refusals(file: Path, columns: Columns, prompt: str = "") -> Refusals:
    """Run each check over each row of a file.

    Args:
        file: JSONL (``.jsonl``) or Parquet (``.parquet``).
        columns: Its columns.
        prompt: The instruction that the answers came from, for `leaked_prompt`.

    Raises:
        UsageError: The file cannot be read, lacks a column, or a line does not hold what it should.
    """
    by_check: Counter[str] = Counter(dict.fromkeys(CHECKS, 0))
    by_first: Counter[str] = Counter(dict.fromkeys(CHECKS, 0))
    rows = empty = passed = 0
    for answer in answers(file, columns, prompt):
        if not answer.fused.strip():
            empty += 1
            continue
        rows += 1
        reasons = [reason for reason, check in CHECKS.items() if check(answer)]
        by_check.update(reasons)
        by_first.update(reasons[:1])
        passed += not reasons
    return Refusals(rows, empty, dict(by_check), dict(by_first), passed)


def read_prompt(file: Path) -> str:
    """The instruction in a file.

    Raises:
        UsageError: It cannot be read, or is no text.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as reason:
        raise UsageError(f"{file} is no prompt that can be read: {reason}") from reason


def answers(file: Path, columns: Columns, prompt: str = "") -> Iterator[Answer]:
    """The rows of a file, a few at a time.

    Raises:
        UsageError: As `refusals`.
    """
    suffix = file.suffix.lower()
    if suffix not in {".jsonl", ".parquet"}:
        raise UsageError(f"{file} is neither .jsonl nor .parquet")
    try:
        for place, row in _parquet(file, columns) if suffix == ".parquet" else _lines(file, columns):
            texts = [_text(row, name, file, place) for name in columns.named]
            raw, synthetic, fused, *tag = texts
            yield Answer(fused=fused, raw=raw, caption=synthetic, prompt=prompt, language=tag[0] if tag else "")
    except OSError as reason:
        raise UsageError(f"{file} cannot be read: {reason.strerror or reason}") from reason


def _parquet(file: Path, columns: Columns) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa

    from storyloom.format.parquet import ParquetFile

    try:
        with ParquetFile(file) as opened:
            if missing := [name for name in columns.named if name not in opened.schema_arrow.names]:
                raise _lacks(file, "", missing, opened.schema_arrow.names)
            number = 0
            for batch in opened.iter_batches(BATCH, columns=columns.named):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except pa.ArrowException as reason:
        raise UsageError(f"{file} is not a Parquet file that can be read: {printable(str(reason))}") from reason


def _lines(file: Path, columns: Columns) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open("rb") as opened:
        number = 0
        while line := opened.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise UsageError(f"{file}, line {number}: over {MAX_LINE} bytes; it takes a JSON object a line")
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as reason:
                raise UsageError(f"{file}, line {number}: no JSON: {reason}") from reason
            if not isinstance(row, dict):
                raise UsageError(f"{file}, line {number}: it takes a JSON object a line")
            if missing := [name for name in columns.named if name not in row]:
                raise _lacks(file, f", line {number}", missing, list(row))
            yield f"line {number}", row


def _lacks(file: Path, place: str, missing: list[str], there: list[str]) -> UsageError:
    wanted, has = ", ".join(missing), printable(", ".join(there)) or "none"
    return UsageError(
        f"{file}{place}: no column {wanted}; it has {has}. --raw, --synthetic, --fused and --language name others"
    )


def _text(row: dict[str, Any], name: str, file: Path, place: str) -> str:
    value = row[name]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UsageError(f"{file}, {place}: {name} is {type(value).__name__}, not a text")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise UsageError(f"{file}, {place}: {name} is no Unicode text: it has half a surrogate pair")
    return value


def _fields(found: Share | None) -> dict[str, float]:
    return {} if found is None else {"share": found.share, "low": found.low, "high": found.high}


def markdown(found: Refusals) -> Iterator[str]:
    """The shares as lines of Markdown."""
    without = f", {found.empty} without an answer left out" if found.empty else ""
    yield f"{found.rows} rows{without}. Intervals are 95 % (Wilson)."
    yield ""
    yield "| check | refused | share | first reason |"
    yield "|" + " --- |" * 4
    for reason, part in found.shares().items():
        yield f"| {reason} | {found.by_check[reason]} | {_share(part)} | {found.by_first[reason]} |"
    yield f"| passed all | {found.passed} | {_share(share(found.passed, found.rows))} | |"


def _share(found: Share | None) -> str:
    return "–" if found is None else f"{found.share:.2%} [{found.low:.2%}, {found.high:.2%}]"
