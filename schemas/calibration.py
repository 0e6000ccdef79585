"""Calibration: one null distribution for the corpus, and the threshold it gives at a false-accept rate."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from storyloom.format.model import Model

QUANTILES = 1001
"""Quantiles of the null distribution that are kept: 0.1 % apart, finer than any useful rate."""

ENOUGH = 50
"""Null scores below which a threshold at 5 % rests on one or two of them (our choice)."""


class Calibration(Model):
    """The pooled similarity of unrelated frames and sentences.

    Attributes:
        samples: Number of null scores.
        quantiles: Similarity at 0, 0.1, … 100 % of them; empty without any.
    """

    samples: int
    quantiles: list[float]

    @classmethod
    def pool(cls, null: npt.NDArray[np.float64]) -> Self:
        """Pool null scores, shape (samples,)."""
        quantiles = np.quantile(null, np.linspace(0.0, 1.0, QUANTILES)).round(4).tolist() if null.size else []
        return cls(samples=int(null.size), quantiles=quantiles)

    @model_validator(mode="after")
    def _quantiles_are_whole(self) -> Self:
        if self.quantiles and len(self.quantiles) != QUANTILES:
            raise ValueError(f"{len(self.quantiles)} quantiles, expected {QUANTILES}")
        return self

    def threshold(self, false_accept_rate: float) -> float:
        """Similarity that the given share of unrelated pairs reaches; -1.0, which drops nothing, without samples."""
        if not self.quantiles:
            return -1.0
        points = np.linspace(0.0, 1.0, QUANTILES)
        return round(float(np.interp(1.0 - false_accept_rate, points, self.quantiles)), 4)
