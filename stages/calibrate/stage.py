"""calibrate: one null distribution for the corpus, pooled from the unrelated pairs of the first group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import numpy as np

from schemas.calibration import ENOUGH, Calibration
from schemas.config import OPERATIONAL, Resources, StageConfig
from schemas.row import Row, Similarity
from schemas.rows import ScoresRow
from stages.base import CorpusStep, Input, Video
from stages.score.thresholds import STATED, scored_by


class NullScoresRow(Row):
    """The similarities of a video's unrelated pairs, as `score` measured them, and the model that did."""

    null_similarity: list[Similarity] = []
    model: str = ""


class CalibrateConfig(StageConfig):
    """Pooling has no settings; `filter.false_accept_rate` derives the threshold from the null distribution."""

    resources: Annotated[Resources, OPERATIONAL] = Resources(cpus=0.25)


class Calibrate(CorpusStep[CalibrateConfig, NullScoresRow, Calibration]):
    """Pools the scores of unrelated frames and sentences. The first group bounds memory and is done early in a run."""

    name = "calibrate"
    version = 2
    reads = (Input("score"),)
    row = NullScoresRow
    result = Calibration
    whole = False
    Config = CalibrateConfig

    def one(self, video: Video) -> NullScoresRow:
        scores = video[ScoresRow]
        model = scored_by(scores.model, scores.revision)
        return NullScoresRow(video=video.key, null_similarity=scores.null_similarity, model=model)

    def reduce(self, rows: Iterable[NullScoresRow]) -> Calibration:
        null, model = list[float](), ""
        for row in rows:
            null.extend(row.null_similarity)
            model = row.model
        return Calibration.pool(np.array(null, dtype=np.float64), model, STATED.get(model))

    @classmethod
    def notes(cls, result: Calibration) -> list[str]:
        if result.basis == "calibrated" or not result.model:
            return []
        few = f"unrelated pairs are too few to calibrate a threshold ({result.samples}, under {ENOUGH}): "
        if result.stated is None:
            note = (
                f"{few}none is known for score.model {result.model!r} either, so no frame was left out as unlike its"
                " text, and frames have the sentence of their moment; set filter.threshold, or add videos"
            )
            return [note]
        at = "" if result.stated.rates else "; filter.false_accept_rate has no part in it"
        note = (
            f"{few}the one stated for score.model {result.model!r} is used ({result.stated.source}{at});"
            " set filter.threshold for another, or add videos"
        )
        return [note]
