"""What a small decoder learns from documents: as they are, with their sentences shifted, and split at words.

Run with ``python -m benchmarks.training SHARDS``, where SHARDS is a dataset with visual codes, word times and a
validation split, such as ``benchmarks.narrated_photos`` makes. docs/training.md has the questions, the settings and
what came of it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from examples.train import Decoder, Settings, Vocabulary, measure, train
from storyloom.format.interleave import Mode
from storyloom.reader import Document, DocumentDataset, Frame, PackedSequence, Text
from storyloom.reader.packing import assemble
from storyloom.reader.pieces import Piece, pieces

SHIFT = 6
"""Places by which sentences are moved: the project's negative control."""

SETTINGS = Settings(width=128, layers=3, heads=2, budget=1024, rate=3e-3)
EPOCHS = 3

ARMS = ("aligned", "shifted", "word")
KINDS = ("text", "visual", "marks")

DRAWS = 10_000
"""Of the bootstrap."""

Bits = NDArray[np.float64]
"""What tokens cost, and how many there are: shape (documents, kinds, 2)."""


@dataclass(frozen=True)
class Run:
    """A trained model, measured on each held-out document.

    Attributes:
        arm: What it was trained on.
        seed: Of its weights and of the documents' order.
        curve: By epoch: the mean loss of its steps, then what the held-out documents cost after it.
        matched: Bits and tokens of each kind by document.
        mismatched: The same with the frames of each document moved by SHIFT; None in mode `word`.
    """

    arm: str
    seed: int
    curve: list[list[float]]
    matched: Bits
    mismatched: Bits | None


def moved(document: Document, kind: type[Frame | Text], by: int = SHIFT) -> Document:
    """The document with the items of a kind moved among their places: the one of place n + `by` stands at place n."""
    places = [number for number, item in enumerate(document.items) if isinstance(item, kind)]
    items = list(document.items)
    for number, place in enumerate(places):
        items[place] = document.items[places[(number + by) % len(places)]]
    return replace(document, items=tuple(items))


def epoch_of(found: Sequence[Piece], vocabulary: Vocabulary, draw: np.random.Generator) -> list[PackedSequence]:
    """Each piece once, in an order that is drawn, filled into sequences one after another."""
    filled: list[list[Piece]] = [[]]
    for number in draw.permutation(len(found)).tolist():
        if sum(piece.size for piece in filled[-1]) + found[number].size > SETTINGS.budget:
            filled.append([])
        filled[-1].append(found[number])
    return [sequence_of(one, vocabulary) for one in filled]


def sequence_of(found: Sequence[Piece], vocabulary: Vocabulary) -> PackedSequence:
    """The pieces as one sequence."""
    return assemble(list(found), vocabulary.layout(SETTINGS))


def whole(document: Document, vocabulary: Vocabulary) -> Piece:
    """The document as a piece."""
    (piece,) = pieces(document, vocabulary.layout(SETTINGS), SETTINGS.budget)
    return piece


@dataclass(frozen=True)
class Corpus:
    """The documents of an arm.

    Attributes:
        train: To train on.
        held_out: To measure on: as the arm has them, but never shifted.
    """

    train: list[Document]
    held_out: list[Document]


def corpus(shards: str, arm: str) -> Corpus:
    """The documents of an arm that have more sentences than they are shifted by."""
    mode: Mode = "word" if arm == "word" else "sentence"
    found = {
        split: [one for one in DocumentDataset(shards, split) if len(one.texts) > SHIFT] for split in ("train", "val")
    }
    if arm == "shifted":
        found["train"] = [moved(one, Text) for one in found["train"]]
    return Corpus(*([one.interleaved(mode) for one in found[split]] for split in ("train", "val")))


def trained(shards: str, arm: str, seed: int) -> Run:
    """Train a model on an arm, in one thread, and measure it."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    vocabulary = Vocabulary(corpus(shards, "aligned").train)
    documents = corpus(shards, arm)
    draw = np.random.default_rng(seed)
    found = [whole(one, vocabulary) for one in documents.train]
    epochs = [epoch_of(found, vocabulary, draw) for _ in range(EPOCHS)]
    held_out = [sequence_of([whole(one, vocabulary)], vocabulary) for one in documents.held_out]
    wrong = [sequence_of([whole(moved(one, Frame), vocabulary)], vocabulary) for one in documents.held_out]
    model = Decoder(vocabulary, SETTINGS)
    settings = replace(SETTINGS, steps=sum(len(epoch) for epoch in epochs))
    curve = []
    with torch.autocast("cpu", torch.bfloat16):
        steps = train(model, chain.from_iterable(epochs), settings)
        for epoch in epochs:
            losses = [loss for _, loss in zip(epoch, steps, strict=False)]
            matched = measured_on(model, held_out, vocabulary)
            curve.append([float(np.mean(losses)), *costs(matched)])
        return Run(arm, seed, curve, matched, None if arm == "word" else measured_on(model, wrong, vocabulary))


def costs(measured: Bits) -> list[float]:
    """Bits a token: text, visual, marks, and all."""
    sums = measured.sum(0)
    return [float(bits / tokens) for bits, tokens in [*sums, sums.sum(0)]]


def measured_on(model: Decoder, sequences: Sequence[PackedSequence], vocabulary: Vocabulary) -> Bits:
    """Bits and tokens of each kind by document."""
    return torch.stack([measure(model, one, vocabulary) for one in sequences]).numpy()


@dataclass(frozen=True)
class Difference:
    """How much more one thing costs than another, in bits a token: the mean over seeds and its 95 % interval."""

    name: str
    kind: str
    mean: float
    low: float
    high: float


def difference(name: str, kind: int, more: Bits, less: Bits, videos: Sequence[str]) -> Difference:
    """Mean over seeds of the bits a token that `more` costs over `less`, on the same documents with the same seeds.

    The interval is a bootstrap's over seeds and over videos: the documents of a video show the same photos.

    Args:
        name: Of the comparison.
        kind: Number of the kind in KINDS; -1 for all kinds together.
        more: Bits and tokens, shape (seeds, documents, 3, 2).
        less: The same; its tokens count.
        videos: Of the documents.
    """
    kinds = list(range(len(KINDS))) if kind < 0 else [kind]
    gap = (more - less)[:, :, kinds, 0].sum(2)
    tokens = less[0][:, kinds, 1].sum(1)
    names = sorted(set(videos))
    groups = np.array([[video == name for video in videos] for name in names], np.float64)
    gap, tokens = gap @ groups.T, groups @ tokens  # by video
    draw = np.random.default_rng(0)
    drawn = np.empty(DRAWS)
    for number in range(DRAWS):
        seeds, taken = draw.integers(len(gap), size=len(gap)), draw.integers(len(names), size=len(names))
        drawn[number] = gap[seeds][:, taken].sum(1).mean() / tokens[taken].sum()
    low, high = np.quantile(drawn, (0.025, 0.975))
    mean = gap.sum(1).mean() / tokens.sum()
    return Difference(name, "all" if kind < 0 else KINDS[kind], float(mean), float(low), float(high))


def differences(runs: Sequence[Run], videos: Sequence[str]) -> list[Difference]:
    """What docs/training.md compares."""
    by_arm = {arm: [run for run in sorted(runs, key=lambda run: run.seed) if run.arm == arm] for arm in ARMS}
    matched = {arm: np.stack([run.matched for run in found]) for arm, found in by_arm.items()}
    wrong = {
        arm: np.stack([run.mismatched for run in found if run.mismatched is not None])
        for arm, found in by_arm.items()
        if arm != "word"
    }
    compared = {
        "trained on shifted sentences, against aligned": (matched["shifted"], matched["aligned"]),
        "wrong pictures, against theirs: trained on aligned": (wrong["aligned"], matched["aligned"]),
        "wrong pictures, against theirs: trained on shifted": (wrong["shifted"], matched["shifted"]),
        "mode word, against sentence": (matched["word"], matched["aligned"]),
    }
    return [
        difference(name, kind, more, less, videos) for name, (more, less) in compared.items() for kind in (0, 1, 2, -1)
    ]


def markdown(runs: Sequence[Run], found: Sequence[Difference]) -> Iterator[str]:
    """The losses by arm and seed, and the differences, as tables."""
    yield "| trained on | seed | text | visual | marks | all |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for run in sorted(runs, key=lambda run: (ARMS.index(run.arm), run.seed)):
        yield f"| {run.arm} | {run.seed} | {' | '.join(f'{cost:.3f}' for cost in costs(run.matched))} |"
    yield ""
    yield "| compared | tokens | bits a token more | 95 % interval |"
    yield "| --- | --- | --- | --- |"
    for one in found:
        yield f"| {one.name} | {one.kind} | {one.mean:+.4f} | {one.low:+.4f} to {one.high:+.4f} |"


def kept(file: Path) -> list[Run]:
    """The runs of a file that `keep` wrote; none where there is no such file."""
    if not file.exists():
        return []
    return [
        Run(one["arm"], one["seed"], one["curve"], np.array(one["matched"]), _bits(one["mismatched"]))
        for one in json.loads(file.read_text())
    ]


def _bits(found: list[list[list[float]]] | None) -> Bits | None:
    return None if found is None else np.array(found)


def keep(runs: Sequence[Run], file: Path) -> None:
    """Write the runs as JSON."""
    file.write_text(json.dumps([vars(run) for run in runs], default=np.ndarray.tolist))


def main() -> None:
    """Train every arm with every seed, and print what came of it."""
    asked = argparse.ArgumentParser(description="What a small decoder learns from aligned documents.")
    asked.add_argument("shards", help="a dataset with codes, word times and a validation split")
    asked.add_argument("--seeds", type=int, default=5)
    asked.add_argument("--processes", type=int, default=2)
    asked.add_argument("--json", type=Path, required=True, help="what was measured; runs in it are not done again")
    given = asked.parse_args()
    runs = kept(given.json)
    done = {(run.arm, run.seed) for run in runs}
    todo = [(arm, seed) for seed in range(given.seeds) for arm in ARMS if (arm, seed) not in done]
    with ProcessPoolExecutor(given.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for ended in as_completed([pool.submit(trained, given.shards, arm, seed) for arm, seed in todo]):
            runs.append(ended.result())
            keep(runs, given.json)
            print(f"{runs[-1].arm}, seed {runs[-1].seed}: {runs[-1].curve[-1]}", file=sys.stderr)  # noqa: T201
    runs.sort(key=lambda run: (run.seed, ARMS.index(run.arm)))
    keep(runs, given.json)
    videos = [one.video_id for one in corpus(given.shards, "aligned").held_out]
    print("\n".join(markdown(runs, differences(runs, videos))))  # noqa: T201


if __name__ == "__main__":
    main()
