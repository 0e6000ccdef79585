"""Tokens where they are needed only: which are sent, and what stands in the place of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.tokenizers.frames import DocumentFrames, Picture
from pipeline.bench.tokenizers.tokens import Size, Tokenizer, Tokens

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

SHARES = (0.5, 0.25, 0.1)
"""Of a frame's tokens, besides all of them."""

CELLS = 7
"""Rows and columns of a map of relevance (our choice: the last features of a network that halves 224 pixels five times
have as many)."""

Rank = Callable[[Picture, Picture, IntArray, int], FloatArray]
"""How much each token is wanted, from a frame, what was sent of it and of frames before, the number of each pixel's
token, and how many tokens there are."""


def refreshed(
    runs: Sequence[DocumentFrames], tokens: Sequence[Sequence[Tokens]], share: float, rank: Rank
) -> list[list[tuple[Tokens, int]]]:
    """Tokens of runs of frames where only a share is sent, and the others are those that stand there from before.

    The first frame of a run is sent whole, and so is one of another size than the one before it.

    Args:
        runs: Of frames.
        tokens: All tokens of each frame of each run.
        share: Of a frame's tokens that are sent.
        rank: Which; the first of equals.

    Returns:
        For each frame its tokens, and how many of them were sent.
    """
    return [
        _refreshed_run([one.picture for one in run], of_run, share, rank)
        for run, of_run in zip(runs, tokens, strict=True)
    ]


def _refreshed_run(
    pictures: Sequence[Picture], tokens: Sequence[Tokens], share: float, rank: Rank
) -> list[tuple[Tokens, int]]:
    found: list[tuple[Tokens, int]] = []
    sent: Picture | None = None
    for picture, own in zip(pictures, tokens, strict=True):
        count = own.shape[0] * own.shape[1]
        if sent is None or sent.shape != picture.shape:
            sent = picture
            found.append((own, count))
            continue
        cells = cells_of(picture.shape[:2], own.shape[:2])
        keep = most_wanted(rank(picture, sent, cells, count), share)
        found.append((composed(own, found[-1][0], keep), int(keep.sum())))
        sent = np.where(keep[cells][..., None], picture, sent)
    return found


def changed(picture: Picture, sent: Picture, cells: IntArray, count: int) -> FloatArray:
    """Squared difference from what was sent last for the same place, summed over a token's pixels."""
    difference = np.square(picture.astype(np.float64) - sent).sum(2)
    return np.bincount(cells.ravel(), difference.ravel(), minlength=count).astype(np.float64)


def at_random(rng: np.random.Generator) -> Rank:
    """The control: any tokens, as many."""
    return lambda _picture, _sent, _cells, count: rng.random(count)


def most_wanted(wanted: FloatArray, share: float) -> BoolArray:
    """A share of the tokens, at least one: those that are wanted most, the first of equals."""
    keep = np.zeros(len(wanted), dtype=np.bool_)
    keep[np.argsort(-wanted, kind="stable")[: max(1, round(share * len(wanted)))]] = True
    return keep


def composed(own: Tokens, others: Tokens, keep: BoolArray) -> Tokens:
    """Tokens of a picture where they are kept, others where they are not."""
    grid = keep.reshape(own.shape[:2] + (1,) * (own.ndim - 2))
    return np.where(grid, own, others)


def cells_of(size: Size, grid: tuple[int, int]) -> IntArray:
    """The number of the token, row by row, that each pixel belongs to; (height, width)."""
    rows, columns = (np.arange(pixels) * number // pixels for pixels, number in zip(size, grid, strict=True))
    return np.asarray(rows[:, None] * grid[1] + columns, dtype=np.int64)


def blank(tokenizer: Tokenizer, picture: Picture) -> Tokens:
    """The tokens of a picture of one colour, the mean of this one's."""
    return tokenizer.encode([flat(picture)])[0]


def flat(picture: Picture) -> Picture:
    """A picture of one colour: the mean of another one's, of the same size."""
    mean = np.rint(picture.mean((0, 1))).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(mean, picture.shape))


def covered(picture: Picture) -> list[Picture]:
    """A picture with one of `CELLS` times `CELLS` cells covered in its mean colour, for each of them, row by row."""
    cells, mean = cells_of(picture.shape[:2], (CELLS, CELLS)), flat(picture)
    return [np.where((cells == number)[..., None], mean, picture) for number in range(CELLS**2)]


def relevance(whole: float, without: FloatArray, grid: tuple[int, int]) -> FloatArray:
    """How much a sentence needs each token: what the similarity loses where it is covered (Zeiler and Fergus 2014).

    It asks any image-text model, as a box; few models say which of their features lie where, and none does for all.

    Args:
        whole: Similarity of the picture and the sentence.
        without: That of each picture of `covered`.
        grid: Rows and columns of the tokens; between the cells it is interpolated.
    """
    from PIL import Image

    lost = (whole - without).astype(np.float32).reshape(CELLS, CELLS)
    enlarged = Image.fromarray(lost).resize(grid[::-1], Image.Resampling.BILINEAR)
    return np.asarray(enlarged, dtype=np.float64).ravel()
