"""Measuring tokenizers on frames of a finished dataset."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, product
from typing import TypeVar

import numpy as np

from pipeline.bench.tokenizers.alignment import Pairs, Survival
from pipeline.bench.tokenizers.frames import DocumentFrames, Frame, Picture
from pipeline.bench.tokenizers.quality import Lpips, Quality, quality
from pipeline.bench.tokenizers.report import ALL, BLANK, CHANGED, HELD, PROMPTED, Measured
from pipeline.bench.tokenizers.sparse import (
    SHARES,
    Rank,
    at_random,
    blank,
    changed,
    composed,
    most_wanted,
    refreshed,
    relevance,
)
from pipeline.bench.tokenizers.tokens import (
    BITS_PER_SAMPLE,
    QUALITIES,
    Size,
    Tokenizer,
    Tokens,
    from_jpeg,
    to_jpeg,
)

OutT = TypeVar("OutT")

TIMED = 0.5
"""Seconds over which a speed is measured at least (our choice)."""

SEED = 0


@dataclass(frozen=True)
class Material:
    """What is measured on, and with.

    Attributes:
        runs: Frames by document.
        pairs: Frames with their own and others' sentences; None where there are too few.
        lpips: Measures LPIPS; None where it cannot be.
    """

    runs: Sequence[DocumentFrames]
    pairs: Pairs | None
    lpips: Lpips | None

    @property
    def frames(self) -> list[Frame]:
        """All frames."""
        return list(chain.from_iterable(self.runs))

    @property
    def pictures(self) -> list[Picture]:
        """Of all frames."""
        return [frame.picture for frame in self.frames]

    def quality(self, made: Sequence[Picture]) -> Quality:
        """The quality of reconstructions of all frames."""
        return quality(self.pictures, made, self.lpips)

    def survival(self, made: Sequence[Picture]) -> Survival | None:
        """What is left of the alignment in reconstructions of all frames."""
        if self.pairs is None:
            return None
        return self.pairs.survival([one for one, frame in zip(made, self.frames, strict=True) if frame.sentence])


def whole_row(material: Material, tokenizer: Tokenizer) -> Measured:
    """What a tokenizer costs and keeps."""
    pictures = material.pictures
    tokens, encoded = timed(lambda: tokenizer.encode(pictures), len(pictures))
    counts = [(_count(one), _count(one)) for one in tokens]
    if not tokenizer.decodes:
        return _row(tokenizer, (ALL, 1.0), counts, pictures, None, None, (encoded, None))
    made, decoded = timed(lambda: tokenizer.decode(tokens, _sizes(pictures)), len(pictures))
    kept = material.quality(made), material.survival(made)
    return _row(tokenizer, (ALL, 1.0), counts, pictures, *kept, (encoded, decoded))


def jpeg_rows(material: Material) -> Iterator[Measured]:
    """JPEG at `QUALITIES`: what a classical code needs for the same pictures; its bits are those of whole files."""
    pictures = material.pictures
    pixels = sum(one.shape[0] * one.shape[1] for one in pictures)
    for number in QUALITIES:
        files, encoded = timed(partial(_jpegs, pictures, number), len(pictures))
        made, decoded = timed(partial(_from_jpegs, files), len(pictures))
        bits = BITS_PER_SAMPLE * sum(map(len, files))
        yield Measured(
            f"jpeg-{number}",
            ALL,
            1.0,
            discrete=False,
            tokens_per_frame=None,
            bits_per_token=None,
            bits_per_frame=bits / len(pictures),
            bits_per_pixel=bits / pixels,
            quality=material.quality(made),
            survival=material.survival(made),
            encoded_per_second=encoded,
            decoded_per_second=decoded,
        )


def sparse_rows(material: Material, tokenizer: Tokenizer) -> Iterator[Measured]:
    """The tokenizer at `SHARES` of its tokens: those that changed, those that the sentence needs, any as controls."""
    tokens = [tokenizer.encode([frame.picture for frame in run]) for run in material.runs]
    for name, share in product((CHANGED, HELD), SHARES):
        rank: Rank = changed if name == CHANGED else at_random(np.random.default_rng(SEED))
        sent = list(chain.from_iterable(refreshed(material.runs, tokens, share, rank)))
        made = tokenizer.decode([one for one, _ in sent], _sizes(material.pictures))
        counts = [(count, _count(one)) for one, count in sent]
        kept = material.quality(made), material.survival(made)
        yield _row(tokenizer, (name, share), counts, material.pictures, *kept)
    if material.pairs is not None:
        yield from _prompted(material, material.pairs, tokenizer)


def _prompted(material: Material, pairs: Pairs, tokenizer: Tokenizer) -> Iterator[Measured]:
    """Of the frames with a sentence. A frame that is compared with another sentence is asked by that one."""
    pictures = [frame.picture for frame in pairs.frames]
    tokens = tokenizer.encode(pictures)
    blanks = [blank(tokenizer, picture) for picture in pictures]
    whole, without = pairs.needs
    frames_of_pairs = [frame for frame, _ in pairs.each]
    sizes = _sizes([pictures[frame] for frame in frames_of_pairs])
    matched = slice(None, None, pairs.texts.shape[1])
    for name, share in product((PROMPTED, BLANK), SHARES):
        rng = np.random.default_rng(SEED)
        sent: list[Tokens] = []
        counts = []
        for frame, text in pairs.each:
            own = tokens[frame]
            if name == PROMPTED:
                wanted = relevance(whole[frame, text], without[frame, :, text], own.shape[:2])
            else:
                wanted = rng.random(_count(own))
            keep = most_wanted(wanted, share)
            sent.append(composed(own, blanks[frame], keep))
            counts.append((int(keep.sum()), _count(own)))
        made = tokenizer.decode(sent, sizes)
        kept = quality(pictures, made[matched], material.lpips), pairs.survival_of_pairs(made)
        yield _row(tokenizer, (name, share), counts[matched], pictures, *kept)


def timed(work: Callable[[], OutT], pictures: int) -> tuple[OutT, float]:
    """What work on so many pictures gives, and pictures a second over at least `TIMED` seconds; once before it."""
    found = work()
    times, begun = 0, time.perf_counter()
    while (seconds := time.perf_counter() - begun) < TIMED or not times:
        work()
        times += 1
    return found, times * pictures / seconds


def sizes_of(pictures: Sequence[Picture]) -> dict[str, int]:
    """Pictures by width and height, the most frequent first."""
    return dict(Counter(f"{one.shape[1]}x{one.shape[0]}" for one in pictures).most_common())


def _sizes(pictures: Sequence[Picture]) -> list[Size]:
    return [(one.shape[0], one.shape[1]) for one in pictures]


def _jpegs(pictures: Sequence[Picture], number: int) -> list[bytes]:
    return [to_jpeg(one, number) for one in pictures]


def _from_jpegs(files: Sequence[bytes]) -> list[Picture]:
    return [from_jpeg(one) for one in files]


def _count(tokens: Tokens) -> int:
    rows, columns = tokens.shape[:2]
    return int(rows * columns)


def _row(
    tokenizer: Tokenizer,
    sent: tuple[str, float],
    counts: Sequence[tuple[int, int]],
    pictures: Sequence[Picture],
    kept: Quality | None,
    survival: Survival | None,
    speed: tuple[float | None, float | None] = (None, None),
) -> Measured:
    """A row; `counts` has for each picture how many tokens were sent, and of how many.

    That some were sent is itself a message: which ones takes the logarithm of the number of ways to choose them.
    """
    number = sum(of_frame for of_frame, _ in counts)
    places = sum(math.log2(math.comb(there, of_frame)) for of_frame, there in counts)
    bits = tokenizer.bits_per_token * number + places
    return Measured(
        tokenizer.name,
        *sent,
        discrete=tokenizer.discrete,
        tokens_per_frame=number / len(pictures),
        bits_per_token=tokenizer.bits_per_token,
        bits_per_frame=bits / len(pictures),
        bits_per_pixel=bits / sum(one.shape[0] * one.shape[1] for one in pictures),
        quality=kept,
        survival=survival,
        encoded_per_second=speed[0],
        decoded_per_second=speed[1],
    )
