"""calibrate: one null distribution for the corpus, pooled from the unrelated pairs of the first group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import numpy as np

from schemas.calibration import Calibration
from schemas.config import OPERATIONAL, Resources, StageConfig
from schemas.row import Row, Similarity
from schemas.rows import ScoresRow
from stages.base import CorpusStep, Input, Video


class NullScoresRow(Row):
    """The similarities of a video's unrelated pairs, as `score` measured them."""

    null_similarity: list[Similarity] = []


class CalibrateConfig(StageConfig):
    """Pooling has no settings; `filter.false_accept_rate` derives the threshold from the null distribution."""

    resources: Annotated[Resources, OPERATIONAL] = Resources(cpus=0.25)


class Calibrate(CorpusStep[CalibrateConfig, NullScoresRow, Calibration]):
    """Pools the scores of unrelated frames and sentences. The first group bounds memory and is done early in a run."""

    name = "calibrate"
    version = 1
    reads = (Input("score"),)
    row = NullScoresRow
    result = Calibration
    whole = False
    Config = CalibrateConfig

    def one(self, video: Video) -> NullScoresRow:
        return NullScoresRow(video=video.key, null_similarity=video[ScoresRow].null_similarity)

    def reduce(self, rows: Iterable[NullScoresRow]) -> Calibration:
        return Calibration.pool(np.array([score for row in rows for score in row.null_similarity], dtype=np.float64))
