"""Datasets with known scores, and judges with known opinions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from schemas.rows import DocumentDraft
from stages.write.stage import WriteConfig
from storyloom.format.manifest import finished_dataset
from storyloom.format.reader import ShardReader
from storyloom.review.design import Design, Pair, draw
from storyloom.review.judgements import Answer, Notebook
from tests.documents import dataset, document, video


def scored(number: int, scores: Sequence[float]) -> DocumentDraft:
    """A document with a frame a score, each with a sentence of its own, and one frame without."""
    made = document(number, frames=len(scores) + 1, texts=len(scores), start=100.0 * number)
    frames = [frame.model_copy(update={"similarity": score}) for frame, score in zip(made.frames, scores, strict=False)]
    return made.model_copy(update={"frames": [*frames, made.frames[-1]]})


def with_scores(folder: Path, scores: Sequence[Sequence[float]]) -> Path:
    """A dataset of one video a document."""
    videos = [video(f"v{n}", scored(0, some)) for n, some in enumerate(scores)]
    dataset(folder, [videos], WriteConfig(name="mugs", shard_bytes=20_000))
    return folder / "out"


def drawn(output: Path, count: int = 100, seed: int = 0) -> tuple[Design, list[Pair]]:
    return draw(ShardReader(output), finished_dataset(output), count, seed)


def judge(output: Path, file: Path, opinion: Callable[[Pair], Answer], count: int = 100) -> None:
    """Judge all pairs."""
    with Notebook(file, *drawn(output, count)) as notebook:
        for number, pair in enumerate(notebook.pairs):
            notebook.put(number, opinion(pair))
