"""Calibration: pool the null scores of the first parts into one small file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.plan import digest
from pipeline.store import PartStore
from schemas.calibration import Calibration
from schemas.rows import ScoresRow
from storyloom.fs.atomic import commit_bytes


def read_calibration(store: PartStore, score_digest: str, parts: Sequence[str]) -> Calibration | None:
    """The calibration over the null scores of these parts, computed once; None until all of them are scored."""
    file = _file(store, score_digest, parts)
    if not file.exists():
        if not store.done("score", score_digest).issuperset(parts):
            return None
        rows = (row for part in parts for row in store.rows("score", score_digest, part, ScoresRow))
        null = np.array([score for row in rows for score in row.null_similarity], dtype=np.float64)
        commit_bytes(file, Calibration.pool(list(parts), null).model_dump_json(indent=1).encode() + b"\n")
    return Calibration.model_validate_json(file.read_bytes())


def remove_calibration(store: PartStore, score_digest: str, parts: Sequence[str]) -> None:
    """Forget a calibration, so that it is pooled again."""
    _file(store, score_digest, parts).unlink(missing_ok=True)


def _file(store: PartStore, score_digest: str, parts: Sequence[str]) -> Path:
    return store.work / "calibration" / score_digest / f"null-{digest(*parts)[:16]}.json"
