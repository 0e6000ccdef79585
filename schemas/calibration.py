"""Calibration: one null distribution for the corpus, and the threshold it gives at a false-accept rate."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from storyloom.format.model import Model

QUANTILES = 1001
"""Quantiles of the null distribution that are kept: 0.1 % apart, finer than any useful rate."""

ENOUGH = 50
"""Null scores below which a threshold at 5 % rests on one or two of them (our choice)."""

Basis = Literal["config", "calibrated", "model", "none"]
"""What a threshold rests on: the config, null scores, what is stated for the image-text model, or nothing."""


class StatedThreshold(Model):
    """The threshold that is stated for an image-text model, for runs with too few null scores of their own.

    Attributes:
        source: Who states it.
        rates: False-accept rates at which it was measured, rising; empty where it is the same at every rate.
        thresholds: Similarity at each of these rates, falling; otherwise the one threshold.
        per_nat: Similarity above it that is worth one nat, see `stages.filter.assign`.
    """

    source: str
    rates: list[float] = []
    thresholds: list[float]
    per_nat: float

    def at(self, rate: float) -> float:
        """The threshold at a false-accept rate; beyond the measured rates, that of the nearest."""
        return round(float(np.interp(rate, self.rates, self.thresholds)) if self.rates else self.thresholds[0], 4)


class Calibration(Model):
    """The pooled similarity of unrelated frames and sentences.

    Attributes:
        samples: Number of null scores.
        quantiles: Similarity at 0, 0.1, … 100 % of them; empty without any.
        model: The image-text model that measured them, with its weights' tag; empty where nothing was scored.
        stated: The threshold that is stated for this model; None where none is.
    """

    samples: int
    quantiles: list[float]
    model: str = ""
    stated: StatedThreshold | None = None

    @classmethod
    def pool(cls, null: npt.NDArray[np.float64], model: str = "", stated: StatedThreshold | None = None) -> Self:
        """Pool null scores, shape (samples,), of a model with a stated threshold or none."""
        quantiles = np.quantile(null, np.linspace(0.0, 1.0, QUANTILES)).round(4).tolist() if null.size else []
        return cls(samples=int(null.size), quantiles=quantiles, model=model, stated=stated)

    @model_validator(mode="after")
    def _quantiles_are_whole(self) -> Self:
        if self.quantiles and len(self.quantiles) != QUANTILES:
            raise ValueError(f"{len(self.quantiles)} quantiles, expected {QUANTILES}")
        return self

    @property
    def basis(self) -> Basis:
        """What its threshold rests on: the null scores where there are `ENOUGH`, otherwise the model's statement."""
        if self.samples >= ENOUGH:
            return "calibrated"
        return "model" if self.stated else "none"

    def threshold(self, false_accept_rate: float) -> float:
        """Similarity that the given share of unrelated pairs reaches; -1.0, which drops nothing, without a basis."""
        if self.basis == "calibrated":
            points = np.linspace(0.0, 1.0, QUANTILES)
            return round(float(np.interp(1.0 - false_accept_rate, points, self.quantiles)), 4)
        return self.stated.at(false_accept_rate) if self.stated else -1.0
