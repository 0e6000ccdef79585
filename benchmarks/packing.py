"""What planning an epoch costs and how full its sequences are: `python -m benchmarks.packing`.

A million documents of an image and a sentence in turn, as many as a lognormal distribution says: most are short, some
have hundreds and are cut. One process makes the counts and saves them, another one loads and plans them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from storyloom.errors import RunFailed
from storyloom.reader.counts import TokenCounts
from storyloom.reader.order import Order, Share, Shuffle
from storyloom.reader.plan import CountedPieces, make_plan

IMAGE = 256
"""Tokens of an image (our choice): Qwen3-VL's 220 at 640x360, with what stands around it."""

PAIRS, PAIRS_SPREAD = 6, 1.2
"""Median of a document's pairs of image and sentence, and sigma of their lognormal distribution (our choice)."""

WORDS, WORDS_SPREAD = 30, 0.8
"""Median of a sentence's tokens, and sigma of their lognormal distribution (our choice)."""

SHARD = 1000
"""Documents of a shard."""


def made(documents: int, seed: int) -> TokenCounts:
    """Counts of so many documents.

    Args:
        documents: Their number.
        seed: Of the distributions.
    """
    chance = np.random.default_rng(seed)
    pairs = np.maximum(1, chance.lognormal(np.log(PAIRS), PAIRS_SPREAD, documents).astype(np.int64))
    ends = np.concatenate([[0], np.cumsum(2 * pairs)])
    sizes = np.full(ends[-1], IMAGE, np.uint32)
    sizes[1::2] = np.maximum(1, chance.lognormal(np.log(WORDS), WORDS_SPREAD, ends[-1] // 2)).astype(np.uint32)
    return TokenCounts(sizes, np.arange(ends[-1]) % 2 == 0, ends, {})


def planned(path: str, budget: int) -> None:
    """Plan an epoch of these counts in this process, and print a JSON object."""
    with np.load(path) as found:
        counts = TokenCounts(found["sizes"], found["is_image"], found["ends"], {})
    before = _mebibytes()
    begun = time.perf_counter()
    pieces = CountedPieces.of(counts, budget, 1)
    cut = time.perf_counter()
    shuffle = Shuffle(0, 10_000)
    shards = [SHARD] * (len(counts) // SHARD) + [len(counts) % SHARD] * (len(counts) % SHARD > 0)
    order = Order(shards, Share(), shuffle, 0)
    numbers = np.fromiter((shard * SHARD + number for shard, number in order), np.int64, len(counts))
    plan = make_plan(pieces, numbers, shuffle, 0)
    totals = np.add.reduceat(counts.sizes, counts.ends[:-1], dtype=np.int64)
    found = {
        "documents": len(counts),
        "items": len(counts.sizes),
        "mean_tokens": round(float(totals.mean())),
        "longer_than_budget": round(float((totals >= budget).mean()), 4),
        "pieces": len(pieces.size),
        "budget": budget,
        "sequences": len(plan),
        "fill": round(plan.fill, 4),
        "cut_s": round(cut - begun, 1),
        "plan_s": round(time.perf_counter() - cut, 1),
        "counts_mib": round(before),
        "peak_mib": round(_mebibytes()),
    }
    print(json.dumps(found, indent=1))  # noqa: T201


def _mebibytes() -> float:
    """Peak of this process's resident memory until now."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Make counts and plan them, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing", description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--budget", type=int, default=8192)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--plan", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make:
        made(asked.documents, asked.seed).save(asked.make)
        return
    if asked.plan:
        planned(asked.plan, asked.budget)
        return
    with tempfile.TemporaryDirectory() as folder:  # a process begins with the peak of the one that started it
        for step in ("--make", "--plan"):
            command = [sys.executable, "-m", "benchmarks.packing", *sys.argv[1:], step, f"{folder}/counts.npz"]
            if subprocess.run(command, check=False).returncode:  # noqa: S603 - ours
                raise RunFailed(f"{step} failed")


if __name__ == "__main__":
    main()
