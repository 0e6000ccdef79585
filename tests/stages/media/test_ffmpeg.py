from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.base import StageSetupError
from stages.media import ffmpeg
from stages.media.sandbox import ChildFailed, Limits, child

LIMITS = Limits(seconds=60, memory=4 * 1024**3)


@pytest.fixture(autouse=True)
def _fresh_choice() -> Iterator[None]:
    ffmpeg.program.cache_clear()
    yield
    ffmpeg.program.cache_clear()


def an_ffmpeg(folder: Path, version: str) -> Path:
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\necho ffmpeg version {version} Copyright\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("version", ["7.0.2-3+deb13u1", "n7.1", "8.0-full_build"])
def test_a_system_ffmpeg_that_is_new_enough_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    system = an_ffmpeg(tmp_path, version)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg.program() == system
    assert ffmpeg.version() == version


@pytest.mark.parametrize("version", ["4.4.2-0ubuntu0.22.04.1", "5.0", "N-109968-gfa0a5ea"])
def test_a_system_ffmpeg_that_is_too_old_or_of_unknown_age_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    system = an_ffmpeg(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert ffmpeg.program() != system
    assert ffmpeg.program().exists()


def test_no_ffmpeg_at_all_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(an_ffmpeg(tmp_path, "4.4")))
    with pytest.raises(StageSetupError, match=r"install an ffmpeg of at least 7\.0"):
        ffmpeg.program()


def test_a_list_of_files_is_not_opened_by_the_program(tmp_path: Path) -> None:
    playlist = tmp_path / "list.mp4"
    playlist.write_text("ffconcat version 1.0\nfile demo.mp4\n")
    with (
        pytest.raises(ChildFailed, match="not on whitelist"),
        child(ffmpeg.writing(playlist, "", "v:0", "framecrc"), LIMITS) as out,
    ):
        out.read()
