"""How fast `storyloom view` indexes a dataset and answers: a made dataset of any size, its index, and its pages.

Run with ``python -m benchmarks.view FOLDER DOCUMENTS [TIMES]``; the dataset lies at FOLDER/out, its index in
FOLDER/cache. With TIMES the index then gets every document so many times, before the pages are timed: a million rows
without a million documents.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from storyloom.format.counts import Counts
from storyloom.format.items import Items
from storyloom.format.manifest import MANIFEST, Provenance, describe
from storyloom.format.sample import Sample
from storyloom.format.shard import ShardDocument, write_shard
from storyloom.format.tar import sample_bytes
from storyloom.view.app import create_app
from storyloom.view.dataset import Dataset
from storyloom.view.index_rows import FACTS

SHARD = 10_000
"""Documents of a shard."""

VOCABULARY = 50_000
"""Words that the made texts have, as frequent as Zipf's law says."""

OF_A_VIDEO = 10

LANGUAGES, LICENSES, HOSTS = ("en", "de", "fr", "es", ""), ("CC-BY-4.0", "", "CC0"), 500

ASKED = {
    "the first page": "/",
    "the list": "/documents",
    "a page far down": "/documents?after=900000:900000",
    "lowest score first": "/documents?sort=score-low",
    "a rare word": "/documents?q=word40000",
    "a word in a tenth": "/documents?q=word40",
    "a word in nearly all": "/documents?q=word0",
    "that one by score": "/documents?q=word0&sort=score-low",
    "two words": "/documents?q=word5+word300",
    "a language": "/documents?language=de",
    "three filters by score": "/documents?language=fr&license=CC0&from=0.3&sort=score",
    "a flag": "/documents?flag=short",
    "figures": "/figures",
}
"""Pages that are timed."""


def make(folder: Path, documents: int) -> Path:
    """A finished dataset of so many small documents with a picture each; its folder."""
    draw = np.random.default_rng(0)
    output = folder / "out"
    shards = []
    for number, first in enumerate(range(0, documents, SHARD)):
        path = output / f"data/train/shard-{number:06d}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        shard = write_shard(path, "train", _documents(range(first, min(first + SHARD, documents)), draw))
        shards.append(shard.model_copy(update={"file": f"data/train/{path.name}"}))
    manifest = describe("made", 10, shards, Provenance()).model_dump_json(by_alias=True)
    (output / MANIFEST).write_text(manifest)
    return output


def _documents(numbers: range, draw: np.random.Generator) -> Iterator[ShardDocument]:
    jpeg = b"\xff\xd8" + bytes(400) + b"\xff\xd9"
    words = np.minimum(draw.zipf(1.3, (len(numbers), 60)) - 1, VOCABULARY - 1)
    scores = np.clip(draw.normal(0.28, 0.05, len(numbers)), -1, 1).round(4)
    kept: tuple[Counts, Items] | None = None
    for place, number in enumerate(numbers):
        texts = [" ".join(f"word{word}" for word in words[place, n : n + 15]) for n in range(0, 60, 15)]
        if number % 50 == 0:
            texts = [text[:30] for text in texts]
        document = _document(number, texts, float(scores[place]))
        if kept is None:  # those of one stand for all: they cost the time
            sample = Sample.model_validate(document)
            kept = Counts.of(sample), Items.of(sample)
        counts, items = kept
        key = document["sample_id"]
        members = sample_bytes(key, json.dumps(document).encode(), [jpeg])
        yield ShardDocument(members, counts, replace(items, key=key))


def _document(number: int, texts: list[str], score: float) -> dict[str, Any]:
    video, part = divmod(number, OF_A_VIDEO)
    start = 20.0 * part
    key = f"{video:020d}-{part:04d}"
    return {
        "schema": "storyloom/2", "sample_id": key, "texts": [None, *texts], "images": [f"{key}.000.jpg"] + [None] * 4,
        "image_time": [start], "image_width": [640], "image_height": [360],
        "image_text_index": [0 if number % 20 else -1],
        "image_clip_score": [score if number % 20 else -1.0], "image_shift": [0.0],
        "text_start": [start + 4.0 * n for n in range(4)], "text_end": [start + 4.0 * n + 3.0 for n in range(4)],
        "text_source": ["asr"] * 4, "video_id": f"video-{video}", "title": f"Video {video} of many",
        "video_url": f"https://site{video % HOSTS}.example/{video}.mp4", "doc_start": start, "doc_end": start + 16.0,
        "language": LANGUAGES[video % len(LANGUAGES)], "license": LICENSES[video % len(LICENSES)], "extra": "{}",
        "channel": "", "upload_date": "", "chapters": [], "chapter_start": [], "lag": 0.0, "lag_confidence": 0.9,
        "video_start": 0.0,
    }  # fmt: skip


def measure(output: Path, times: int) -> Iterator[str]:
    """Build the index, ask for the pages, and say how long it took."""
    began = time.perf_counter()
    dataset = Dataset(output)
    yield f"manifest read in {time.perf_counter() - began:.2f} s"
    began, spent = time.perf_counter(), time.process_time()
    dataset.start(patience=86_400.0)
    progress, took, spent = (
        dataset.index.progress(),
        time.perf_counter() - began,
        time.process_time() - spent,
    )
    size = sum(file.stat().st_size for file in dataset.index.file.parent.glob(f"{dataset.index.file.stem}*"))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    yield (
        f"{progress.done:,} documents indexed in {took:.1f} s, {progress.done / took:,.0f} a second"
        f" ({progress.done / spent:,.0f} a second of one CPU);"
        f" {size / 1e6:,.0f} MB on disk, {most:,.0f} MB of memory at most"
    )
    if times > 1:
        began = time.perf_counter()
        grow(dataset, times)
        size = sum(file.stat().st_size for file in dataset.index.file.parent.glob(f"{dataset.index.file.stem}*"))
        yield f"{times * progress.done:,} rows after {time.perf_counter() - began:.0f} s; {size / 1e6:,.0f} MB on disk"
    browser = TestClient(create_app(dataset), base_url="http://127.0.0.1")
    for name, path in ASKED.items():
        first, again = _milliseconds(browser, path), _milliseconds(browser, path)
        clock, cpu = (f"{first[n]:6.0f} ms first, {again[n]:6.0f} again" for n in (0, 1))
        yield f"{name:24s} {clock}; CPU {cpu}   {path}"


def grow(dataset: Dataset, times: int) -> None:
    """Have the index hold every document so many times, under ids of their own."""
    reader, shards = dataset.reader, dataset.published.shards
    told = [json.loads(stored.content) for shard in shards for stored in reader.json_only(shard)]
    rows = [(one["title"], " ".join(filter(None, one["texts"])), one["sample_id"]) for one in told]
    with closing(sqlite3.connect(dataset.index.file)) as base:
        columns = [name for _, name, *_ in base.execute("PRAGMA table_info(documents)")][1:]
        for turn in range(1, times):
            with base:
                first = turn * len(rows)
                base.execute(
                    f"INSERT INTO documents SELECT id + ?, {', '.join(columns)} FROM documents WHERE id < ?",  # noqa: S608
                    (first, len(rows)),
                )
                base.executemany(
                    "INSERT INTO texts (rowid, title, words, ids) VALUES (?, ?, ?, ?)",
                    ((first + n, *row) for n, row in enumerate(rows)),
                )
        _grow_facts(base, len(rows), times)


def _grow_facts(base: sqlite3.Connection, rows: int, times: int) -> None:
    """The same for what is counted."""
    for number, content in base.execute("SELECT number, facts FROM shards").fetchall():
        facts = np.tile(np.frombuffer(content, FACTS), times)
        facts["id"] += np.repeat(np.arange(times), len(facts) // times) * rows
        base.execute("UPDATE shards SET facts = ? WHERE number = ?", (facts.tobytes(), number))
    base.commit()


def _milliseconds(browser: TestClient, path: str) -> tuple[float, float]:
    """How long a page takes, by the clock and of the CPU."""
    began, spent = time.perf_counter(), time.process_time()
    assert browser.get(path).status_code == 200, path  # noqa: PLR2004 - OK
    return (time.perf_counter() - began) * 1000, (time.process_time() - spent) * 1000


def main(folder: Path, documents: int, times: int) -> None:
    """Make the dataset where it is not there yet, and measure."""
    os.environ["STORYLOOM_CACHE"] = str(folder / "cache")
    began = time.perf_counter()
    if not (folder / "out" / MANIFEST).is_file():
        make(folder, documents)
        print(f"made in {time.perf_counter() - began:.0f} s")  # noqa: T201
    for line in measure(folder / "out", times):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 1)
