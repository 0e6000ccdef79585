"""Precision by band and of the whole, and where a threshold should lie, in figures and in honest words."""

from __future__ import annotations

from collections import Counter

from storyloom.format.model import Model
from storyloom.review.estimate import Agreement, Estimate, agreement, all_right, stratified, wilson
from storyloom.review.judgements import Judged


class BandSummary(Model):
    """Judgements in a band of scores.

    Attributes:
        low: Lowest score in it.
        high: Highest.
        share: Of the dataset's pairs.
        drawn: Pairs to judge.
        right: Judged so.
        wrong: Judged so.
        unsure: Of which the person could not say; they do not count into the precision.
        precision: Right ones among right and wrong ones; None without any.
    """

    low: float
    high: float
    share: float
    drawn: int
    right: int
    wrong: int
    unsure: int
    precision: Estimate | None


class Kept(Model):
    """What a threshold would keep.

    Attributes:
        threshold: Lowest score that is kept: where a band begins.
        share: Of the dataset's pairs.
        precision: Of what is kept; None where a band has no answer.
    """

    threshold: float
    share: float
    precision: Estimate | None


class Summary(Model):
    """What a person's judgements say.

    Attributes:
        dataset: Name.
        sha256: Of the dataset.
        judged: Pairs with an answer.
        drawn: Pairs to judge.
        unsure: Of which the person could not say.
        bands: In order of score.
        precision: Of all pairs of the dataset; None until each band has an answer.
        if_unsure_wrong: The same if all of which the person could not say were wrong.
        wanted: The precision that is asked for.
        thresholds: What a threshold at the begin of each band would keep.
        likely: The lowest of them whose estimate reaches what is wanted; None where none does.
        shown: The lowest of them whose interval lies above what is wanted; None where none does.
        words: All that in sentences.
    """

    dataset: str
    sha256: str
    judged: int
    drawn: int
    unsure: int
    bands: list[BandSummary]
    precision: Estimate | None
    if_unsure_wrong: Estimate | None
    wanted: float
    thresholds: list[Kept]
    likely: float | None
    shown: float | None
    words: list[str]


def summary(judged: Judged, wanted: float) -> Summary:
    """Sum up a file of judgements for a precision that is wanted."""
    counts: list[Counter[str]] = [Counter() for _ in judged.design.bands]
    for one in judged.judgements.values():
        counts[one.band][one.answer] += 1
    weights = judged.design.weights()
    bands = [
        BandSummary(
            low=band.low,
            high=band.high,
            share=weight,
            drawn=band.drawn,
            right=count["right"],
            wrong=count["wrong"],
            unsure=count["unsure"],
            precision=_precision(count["right"], count["right"] + count["wrong"]),
        )
        for band, weight, count in zip(judged.design.bands, weights, counts, strict=True)
    ]
    thresholds = [
        Kept(
            threshold=bands[first].low,
            share=sum(one.share for one in bands[first:]),
            precision=stratified([(one.share, one.right, one.right + one.wrong) for one in bands[first:]]),
        )
        for first in range(len(bands))
    ]
    likely = [one for one in thresholds if one.precision and one.precision.value >= wanted]
    shown = [one for one in thresholds if one.precision and one.precision.low >= wanted]
    strict = stratified([(one.share, one.right, one.right + one.wrong + one.unsure) for one in bands])
    found = Summary(
        dataset=judged.design.dataset,
        sha256=judged.design.sha256,
        judged=sum(count.total() for count in counts),
        drawn=sum(one.drawn for one in bands),
        unsure=sum(one.unsure for one in bands),
        bands=bands,
        precision=thresholds[0].precision,
        if_unsure_wrong=strict,
        wanted=wanted,
        thresholds=thresholds,
        likely=likely[0].threshold if likely else None,
        shown=shown[0].threshold if shown else None,
        words=[],
    )
    return found.model_copy(update={"words": _words(found)})


def agreement_of(first: Judged, second: Judged) -> Agreement:
    """How far two people agree on the pairs that both judged; "cannot say" is an answer like others."""
    both = sorted(first.judgements.keys() & second.judgements.keys())
    return agreement([(first.judgements[pair].answer, second.judgements[pair].answer) for pair in both])


def percent(share: float) -> str:
    """A share to a tenth of a percent, and never rounded to all or nothing."""
    shown = min(max(share, 0.001), 0.999) if 0 < share < 1 else share
    return f"{100 * shown:.1f} %"


def interval(estimate: Estimate | None) -> str:
    """An estimate in words."""
    if estimate is None:
        return "not known yet"
    return f"{percent(estimate.value)} (95 % interval {percent(estimate.low)} to {percent(estimate.high)})"


def _precision(right: int, number: int) -> Estimate | None:
    return wilson(right / number, number) if number else None


def _words(found: Summary) -> list[str]:
    judged = f"{found.judged} of {found.drawn} pairs are judged"
    if found.precision is None:
        return [f"{judged}; the whole is known once every band has an answer."]
    said = [f"{judged}. Of all pairs of the dataset {interval(found.precision)} are right."]
    if found.judged < found.drawn:
        said.append("The figures change as the rest is judged.")
    if found.unsure and found.if_unsure_wrong:
        worst = interval(found.if_unsure_wrong)
        said.append(f"Were all {found.unsure} wrong of which you could not say, {worst} would be right.")
    return [*said, _on_threshold(found)]


def _on_threshold(found: Summary) -> str:
    kept = {one.threshold: one for one in found.thresholds}
    lowest, wanted = found.thresholds[0].threshold, percent(found.wanted)
    if found.shown == lowest:
        return (
            f"The dataset as it is has a precision of {wanted}: even the interval lies above. No threshold is needed."
        )
    if found.shown is not None:
        one = kept[found.shown]
        return (
            f"A threshold of {one.threshold:.4f} gives a precision of {wanted}: even the interval lies above,"
            f" {interval(one.precision)}. It keeps {percent(one.share)} of the pairs."
        )
    if found.likely is None:
        best = max((one for one in found.thresholds if one.precision), key=_value)
        return (
            f"No threshold that these bands can tell gives {wanted}: the best, {best.threshold:.4f}, gives"
            f" {interval(best.precision)}. A higher one, another model or another mode may; these cannot tell."
        )
    one = kept[found.likely]
    at = "The dataset as it is" if found.likely == lowest else f"A threshold of {one.threshold:.4f}"
    return (
        f"{at} may give {wanted}, {interval(one.precision)}, but so few judgements cannot show it: that takes at least"
        f" {all_right(found.wanted)} pairs above the threshold, all of them right, and more where some are wrong. It"
        f" keeps {percent(one.share)} of the pairs."
    )


def _value(one: Kept) -> float:
    assert one.precision
    return one.precision.value
