"""What judgements say of the whole: intervals of proportions, and two people's agreement. docs/review.md."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

from storyloom.format.model import Model

CONFIDENCE = 0.95
"""Of all intervals (our choice)."""

Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


class Estimate(Model):
    """A proportion with its interval."""

    value: float
    low: float
    high: float


class Agreement(Model):
    """How far two people agree.

    Attributes:
        pairs: That both judged.
        same: Of those, with the same answer.
        kappa: Cohen's: 1 for full agreement, 0 for what chance would give; None where both always gave one answer.
    """

    pairs: int
    same: int
    kappa: float | None


def wilson(share: float, number: float) -> Estimate:
    """A proportion with Wilson's interval (Wilson 1927, J. Amer. Statist. Assoc. 22:209-212).

    Args:
        share: The proportion that was found.
        number: Observations, over 0; also an effective number of them.
    """
    shrink = 1 + Z * Z / number
    middle = (share + Z * Z / (2 * number)) / shrink
    half = Z / shrink * math.sqrt(share * (1 - share) / number + Z * Z / (4 * number * number))
    return Estimate(value=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def stratified(bands: Sequence[tuple[float, int, int]]) -> Estimate | None:
    """The proportion in a population that was sampled by bands; None where a band has no observation.

    Wilson's interval for the effective number of observations, as for complex samples (Korn and Graubard 1998, Survey
    Methodology 24:193-201). Variances within bands are those of proportions moved towards a half by one success and one
    failure (Laplace's rule; our choice), since a band without a failure would seem to have none at all.

    Args:
        bands: Of each the weight, its right observations, and all of them. Weights need not add up to 1.
    """
    if not bands or any(number == 0 for _, _, number in bands):
        return None
    total = sum(weight for weight, _, _ in bands)
    share = sum(weight * right / number for weight, right, number in bands) / total
    moved = [(weight / total, (right + 1) / (number + 2), number) for weight, right, number in bands]
    middle = sum(weight * part for weight, part, _ in moved)
    variance = sum(weight * weight * part * (1 - part) / number for weight, part, number in moved)
    return wilson(min(1.0, share), middle * (1 - middle) / variance)


def all_right(precision: float) -> int:
    """How many observations, all of them right, show a precision: the lower end of Wilson's interval is there."""
    return math.ceil(Z * Z * precision / (1 - precision))


def agreement(answers: Sequence[tuple[str, str]]) -> Agreement:
    """Agreement of two people, with Cohen's kappa (Cohen 1960, Educ. Psychol. Meas. 20:37-46).

    Args:
        answers: Of each pair that both judged, both answers.
    """
    number = len(answers)
    same = sum(first == second for first, second in answers)
    sides = Counter(first for first, _ in answers), Counter(second for _, second in answers)
    by_chance = sum(sides[0][answer] * sides[1][answer] for answer in sides[0])
    left = number * number - by_chance  # whole numbers: no rounding makes 0 of what is not
    return Agreement(pairs=number, same=same, kappa=(same * number - by_chance) / left if left else None)
