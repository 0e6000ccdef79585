"""Manifests: lists of every kind, mutated, and texts that JSON and CSV can hold."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.manifest.read import read_manifest
from storyloom.errors import UsageError
from tests.fuzz._mutation import mutated

NAMES = ("url", "id", "title", "language", "license", "subtitles", "start", "end", "duration", "Url", "licence")
VALUES = (
    "a.mp4", "https://example.org/a?v=1", "NA", "nan", "", " ", "null", "2021-05-06", "9300000000000000001", "1e999",
    "\x00", "\x1b[31m", "\ud800", "\u202e", "é" * 300, "-1", "00:01:02.5", "#1 - intro.mp4", "file:///etc", "s3://b/k",
    '"', "'", "a,b", "a\nb", "[", "{}", "~nobody/a.mp4", "../" * 50, "//[", "http://[::1", "x" * 70_000,
)  # fmt: skip
ODD: tuple[object, ...] = (None, True, 0, -1, 1.5, float("nan"), 2**70, [], {}, ["a"], {"url": "a"}, 10**400)


class Case(NamedTuple):
    """A list's name and content."""

    name: str
    content: bytes


def cases(rng: random.Random) -> Iterator[Case]:
    """Lists, of which most are mutated."""
    while True:
        suffix, make = rng.choice(tuple(_KINDS.items()))
        content = make(rng)
        if rng.random() < 0.7:
            content = mutated(content, rng)
        if rng.random() < 0.05:
            content, suffix = gzip.compress(content, mtime=0), suffix + ".gz"
        yield Case(f"list{suffix}", content)


def check(case: Case) -> None:
    """Every row of a list has a url or says what is wrong with it; a list that cannot be read is a usage error."""
    with TemporaryDirectory(prefix="storyloom-fuzz-") as folder:
        path = Path(folder) / case.name
        path.write_bytes(case.content)
        try:
            rows = read_manifest(str(path)).rows.to_pylist()
        except UsageError as reason:
            str(reason).encode()  # or it could not be printed
            return
    assert len({row["video"] for row in rows}) == len(rows), "a key is there twice"
    assert all(row["url"] or row["problem"] for row in rows), "a row has no url"
    assert all(isinstance(json.loads(row["extra"]), dict) for row in rows)


def _row(rng: random.Random) -> dict[str, object]:
    names = rng.sample(NAMES, rng.randint(0, 4))
    found: dict[str, object] = {"url": f"{rng.randrange(100)}.mp4"}
    return found | {name: rng.choice(ODD) if rng.random() < 0.2 else rng.choice(VALUES) for name in names}


def _rows(rng: random.Random) -> list[dict[str, object]]:
    return [_row(rng) for _ in range(rng.randint(1, 6))]


def _nested(rng: random.Random) -> str:
    depth = rng.choice((10, 1000, 100_000))
    return rng.choice(("[", '{"a":')) * depth


def _jsonl(rng: random.Random) -> bytes:
    lines = [json.dumps(row, ensure_ascii=rng.random() < 0.9) for row in _rows(rng)]
    if rng.random() < 0.2:
        lines.insert(rng.randint(0, len(lines)), rng.choice(("null", "1", "[]", '"a.mp4"', "", _nested(rng))))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _json(rng: random.Random) -> bytes:
    content: object = rng.choice((_rows(rng), [rng.choice(VALUES)], rng.choice(ODD)))
    return json.dumps(content).encode() if rng.random() < 0.95 else _nested(rng).encode()


def _comma(rng: random.Random, comma: str = ",") -> bytes:
    names = ["url", *rng.choices(NAMES, k=rng.randint(0, 4))]
    lines = [comma.join(names)]
    for _ in range(rng.randint(1, 6)):
        values = [rng.choice(VALUES) for _ in range(rng.randint(1, len(names) + 1))]
        lines.append(comma.join(f'"{value}"' if rng.random() < 0.5 else value for value in values))
    return "\n".join(lines).encode(rng.choice(("utf-8", "utf-8-sig", "utf-16")), "surrogatepass")


def _tabs(rng: random.Random) -> bytes:
    return _comma(rng, "\t")


def _text(rng: random.Random) -> bytes:
    return "\n".join(rng.choice(VALUES) for _ in range(rng.randint(1, 8))).encode("utf-8", "surrogatepass")


def _parquet(rng: random.Random) -> bytes:
    columns: dict[str, pa.Array] = {"url": pa.array(["a.mp4", "b.mp4"])}
    kinds = (
        pa.array([1, None]),
        pa.array([[1], []]),
        pa.array([b"\xff", b"a"]),
        pa.array([{"a": 1}, None]),
        pa.array([1.5, float("nan")]),
        pa.array(["x", None], pa.large_string()),
        pa.array(["x", "y"]).dictionary_encode(),
        pa.array([0, 1], pa.timestamp("ns")),
        pa.array([b"\xff\xfe", b"ok"]).cast(pa.binary()).view(pa.string()),
    )
    for name in rng.sample(NAMES, rng.randint(0, 4)):
        columns[name] = rng.choice(kinds)
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


_KINDS = {".jsonl": _jsonl, ".json": _json, ".csv": _comma, ".tsv": _tabs, ".txt": _text, ".parquet": _parquet}
