"""The report on tokenizers: its numbers, and its tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline.bench.tokenizers.alignment import Survival
from pipeline.bench.tokenizers.quality import Quality
from storyloom.view.counts import count_of

ALL = "all"
"""All tokens are sent."""

CHANGED, HELD, PROMPTED, BLANK = SENT = ("changed", "random, held", "prompted", "random, blank")
"""Which tokens are sent where not all are: those that changed most since they were sent, or any, and the others are
held from the frame before; those that the sentence needs most, or any, and the others are blank."""


@dataclass(frozen=True)
class Measured:
    """What a tokenizer costs and keeps, of all of a frame's tokens or of some.

    Attributes:
        tokenizer: Its name.
        sent: Which tokens: ``all``, or one of `SENT`.
        share: Of a frame's tokens that are sent.
        discrete: Whether a token is one of a finite list.
        tokens_per_frame: That are sent, mean; None for JPEG, which has none.
        bits_per_token: Bits that tell a token from all others.
        bits_per_frame: Mean; with those that say which tokens were sent, where not all were.
        bits_per_pixel: Over all frames.
        quality: Distances from the pictures; None of a tokenizer that cannot decode.
        survival: Of the alignment; None where it cannot be measured.
        encoded_per_second: Pictures; None where it was not measured.
        decoded_per_second: Pictures; None where it was not measured.
    """

    tokenizer: str
    sent: str
    share: float
    discrete: bool
    tokens_per_frame: float | None
    bits_per_token: float | None
    bits_per_frame: float
    bits_per_pixel: float
    quality: Quality | None
    survival: Survival | None
    encoded_per_second: float | None = None
    decoded_per_second: float | None = None


@dataclass(frozen=True)
class Report:
    """All that was measured.

    Attributes:
        dataset: Its name.
        documents: That frames are from.
        frames: How many.
        with_sentence: Those of them with a sentence, over which alignment is measured.
        sizes: Frames by their width and height in pixels, as the tokenizers were given them, e.g. ``256x144``.
        model: That compares frames and sentences.
        device: Of learned tokenizers.
        originals: Of the pictures before tokenizing; None where it cannot be measured.
        whole: A row a tokenizer.
        sparse: Rows of shares of a tokenizer's tokens, without those of all.
        notes: What was not measured, and why.
    """

    dataset: str
    documents: int
    frames: int
    with_sentence: int
    sizes: dict[str, int]
    model: str
    device: str
    originals: Survival | None
    whole: list[Measured]
    sparse: list[Measured]
    notes: list[str]


WHOLE = (
    "tokenizer",
    "discrete",
    "tokens a frame",
    "bits a token",
    "bits a frame",
    "bits a pixel",
    "PSNR dB",
    "SSIM",
    "LPIPS",
    "AUC",
    "change of AUC",
    "encode /s",
    "decode /s",
)

SPARSE = (
    "tokenizer",
    "sent",
    "share",
    "tokens a frame",
    "bits a frame",
    "PSNR dB",
    "SSIM",
    "LPIPS",
    "AUC",
    "change of AUC",
)


def markdown(report: Report) -> Iterator[str]:
    """The report as lines of Markdown."""
    sizes = ", ".join(f"{number} of {size}" for size, number in report.sizes.items())
    yield (
        f"{report.dataset}: {report.frames} frames of {count_of(report.documents, 'documents')} ({sizes} pixels),"
        f" {report.with_sentence} with a sentence."
    )
    yield f"Image-text model: {report.model}. Device: {report.device}. Intervals are 95 %, a bootstrap over frames."
    if (before := report.originals) is not None:
        yield f"AUC of the frames before tokenizing: {before.auc:.3f} [{before.low:.2f}, {before.high:.2f}]."
    yield from report.notes
    yield ""
    yield from _table(WHOLE, [_whole(row) for row in report.whole])
    yield ""
    yield from _table(SPARSE, [_sparse(row) for row in with_whole(report)])


def with_whole(report: Report) -> Iterator[Measured]:
    """The rows of shares, and before those of a tokenizer the row of all of its tokens."""
    whole = {row.tokenizer: row for row in report.whole}
    for tokenizer, rows in groupby(report.sparse, key=lambda row: row.tokenizer):
        yield whole[tokenizer]
        yield from rows


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _whole(row: Measured) -> list[str]:
    return [
        row.tokenizer,
        "yes" if row.discrete else "no",
        _number(row.tokens_per_frame, 0),
        _number(row.bits_per_token, 0),
        _number(row.bits_per_frame, 0),
        f"{row.bits_per_pixel:.3g}",
        *_kept(row),
        _number(row.encoded_per_second, 0),
        _number(row.decoded_per_second, 0),
    ]


def _sparse(row: Measured) -> list[str]:
    return [
        row.tokenizer,
        row.sent,
        f"{row.share:.0%}",
        _number(row.tokens_per_frame, 1),
        _number(row.bits_per_frame, 0),
        *_kept(row),
    ]


def _kept(row: Measured) -> list[str]:
    quality, survival = row.quality, row.survival
    change = "–"
    if survival is not None:
        change = f"{survival.change:+.3f} [{survival.change_low:+.2f}, {survival.change_high:+.2f}]"
    if quality is None:
        return ["–"] * 5
    return [
        "lossless" if quality.psnr is None else f"{quality.psnr:.2f}",
        f"{quality.ssim:.3f}",
        _number(quality.lpips, 3),
        "–" if survival is None else f"{survival.auc:.3f}",
        change,
    ]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
