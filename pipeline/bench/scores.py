"""Scores of the same frames and sentences under many lags, encoded once."""

from __future__ import annotations

from itertools import product

from pipeline.bench.listen import VideoRows, live
from schemas.rows import AlignedRow, Pair, ScoresRow
from stages.base import Context, StageSetupError, Video
from stages.score.stage import Score, ScoreConfig
from storyloom.errors import RunFailed

Similarities = dict[tuple[int, int], float]
"""By frame and sentence."""


class Scorer:
    """Runs `score` on every pair of frame and sentence of a video, and looks up the pairs of each lag.

    A lag moves sentences and keeps their words, so the similarities equal those of the stage; where sentences differ,
    as they may when the lag drifts, the stage runs again.

    Raises:
        RunFailed: The model cannot be loaded.
    """

    def __init__(self, config: ScoreConfig, context: Context) -> None:
        self._stage = Score(config, context)
        self._known: dict[tuple[str, tuple[str, ...]], Similarities] = {}
        try:
            self._stage.setup()
        except StageSetupError as reason:
            raise RunFailed(str(reason)) from reason

    def scores(self, video: VideoRows, aligned: AlignedRow) -> ScoresRow:
        """The row that `score` makes of an aligned row."""
        if aligned.null_text_pairs:
            return self._run(video, aligned)
        texts = tuple(sentence.text for sentence in aligned.sentences)
        if (aligned.video, texts) not in self._known:
            self._known[aligned.video, texts] = self._all(video, aligned)
        known = self._known[aligned.video, texts]
        return ScoresRow(
            video=aligned.video,
            similarity=[known[pair.frame, pair.sentence] for pair in aligned.pairs],
            null_similarity=[known[pair.frame, pair.sentence] for pair in aligned.null_pairs],
        )

    def _all(self, video: VideoRows, aligned: AlignedRow) -> Similarities:
        frames, sentences = len(aligned.frame_times), len(aligned.sentences)
        pairs = [Pair(frame=f, sentence=s) for f, s in product(range(frames), range(sentences))]
        row = self._run(video, aligned.model_copy(update={"pairs": pairs, "null_pairs": []}))
        return {(p.frame, p.sentence): s for p, s in zip(pairs, row.similarity, strict=True)}

    def _run(self, video: VideoRows, aligned: AlignedRow) -> ScoresRow:
        (row,) = self._stage.process([Video(video.manifest, [aligned, video.frames])])
        assert isinstance(row, ScoresRow)
        return live(row)
