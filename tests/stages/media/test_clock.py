"""Words and frames share one clock, whatever the container does to time: cuts and words move together."""

import subprocess
from pathlib import Path

import pytest

from schemas.rows import TranscriptRow
from stages.media import ffmpeg
from stages.transcribe.settings import TranscribeConfig
from stages.transcribe.stage import Transcribe
from tests.runs import NARRATED
from tests.stages.real_media import context, cuts, run

pytestmark = pytest.mark.slow

TOLERANCE = 0.05
"""Seconds by which a word and a cut may part."""


def remuxed(out: Path, *arguments: str) -> Path:
    subprocess.run([str(ffmpeg.program()), "-nostdin", "-v", "error", "-y", *arguments, str(out)], check=True)
    return out


@pytest.fixture(scope="module")
def recognizer() -> Transcribe:
    stage = Transcribe(TranscribeConfig(), context())
    stage.setup()
    return stage


def seconds_after_the_cut(recognizer: Transcribe, media: Path, wanted: str) -> float:
    """From the last cut before a word until the word starts."""
    row = run(recognizer, media)
    assert isinstance(row, TranscriptRow)
    heard = [word for segment in row.segments for word in segment.words]
    start = next(word.start for word in heard if wanted in word.text)
    return start - max(time for time in cuts(media) if time < start)


@pytest.fixture(scope="module")
def delay(recognizer: Transcribe, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds from the cut to the coffee until the word "cup", in a plain copy."""
    plain = remuxed(tmp_path_factory.mktemp("plain") / "v.mp4", "-ss", "5", "-t", "9", "-i", str(NARRATED))
    return seconds_after_the_cut(recognizer, plain, "cup")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("an edit list that skips the start", ["-ss", "5", "-t", "9", "-i", "{}", "-c", "copy"]),
        (
            "an edit list that delays both",
            ["-itsoffset", "3.5", "-ss", "5", "-t", "13", "-i", "{}"],
        ),
        (
            "a rate that varies",
            ["-ss", "5", "-t", "9", "-i", "{}", "-vf", "select='gt(mod(n,7),2)'", "-fps_mode", "vfr"],
        ),
        (
            "timestamps that start at 11 s",
            ["-ss", "5", "-t", "9", "-i", "{}", "-output_ts_offset", "11", "-f", "mpegts"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_words_keep_their_distance_from_cuts(
    recognizer: Transcribe, delay: float, tmp_path: Path, name: str, arguments: list[str]
) -> None:
    media = remuxed(tmp_path / "v.bin", *[part.format(NARRATED) for part in arguments], *_muxer(arguments))
    assert seconds_after_the_cut(recognizer, media, "cup") == pytest.approx(delay, abs=TOLERANCE), name


def _muxer(arguments: list[str]) -> list[str]:
    return [] if "-f" in arguments else ["-f", "mp4"]
