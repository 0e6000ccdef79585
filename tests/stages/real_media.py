"""Real media for the tests of `transcribe` and `sample`: the demo's video, and what ffmpeg makes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from schemas.row import Row
from schemas.rows import ManifestRow, MediaRow
from stages.base import Context, Stage, Video
from stages.media import ffmpeg

ROOT = Path(__file__).resolve().parents[2]
NARRATED = ROOT / "demo" / "narrated.mp4"
TRUTH = ROOT / "demo" / "narrated.gt.json"
SHARED = ROOT.parent / "shared" / "data"
KEY = "0" * 20


def shared(name: str) -> Path:
    """A file of the real data; the test is skipped where that is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the real data is not here: {name}")
    return path


def made(out: Path, *arguments: str | Path) -> Path:
    """What ffmpeg makes with these arguments, at `out`."""
    command = [ffmpeg.program(), "-nostdin", "-y", "-v", "error", *arguments, out]
    subprocess.run([str(part) for part in command], check=True)
    return out


def picture_shorter_than_sound(folder: Path) -> Path:
    """Nothing is missing in it: 4 s of the demo's picture beside 9 s of its sound."""
    inputs: list[str | Path] = ["-t", "4", "-i", NARRATED, "-t", "9", "-i", NARRATED]
    return made(folder / "short_picture.mp4", *inputs, "-map", "0:v", "-map", "1:a", "-c", "copy")


def cut_off(media: Path, out: Path, share: float) -> Path:
    """A copy of a video of which only the first bytes arrived; its index comes first, as on the web."""
    whole = made(out.with_suffix(".whole.mp4"), "-i", media, "-c", "copy", "-movflags", "+faststart").read_bytes()
    out.write_bytes(whole[: int(len(whole) * share)])
    return out


def run(stage: Stage[Any, Any], media: Path, *, language: str = "", **fields: Any) -> Row:
    """The stage's row of one file, given what `download` would say of it."""
    found: dict[str, Any] = {"has_audio": True, "has_video": True, "duration": -1.0} | fields
    row = MediaRow(video=KEY, media=str(media), **found)
    return stage.guarded(Video(ManifestRow(video=KEY, url=str(media), source_id="x", language=language), [row]))


def context() -> Context:
    return Context(seed=0, media=Path("/"))
