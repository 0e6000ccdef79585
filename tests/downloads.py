"""Videos put through `download`, for its tests and those of the ways in which it fetches."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from schemas.manifest import ManifestRow
from schemas.media import MediaRow
from stages.base import Context, Video
from stages.download.settings import DownloadConfig
from stages.download.stage import Download
from stages.media.source import record_of
from stages.turns import FolderTurns
from storyloom.fs.files import files_at

ROOT = Path(__file__).parents[1]
EDGE = ROOT.parent / "shared" / "data" / "edge"
NARRATED = ROOT / "demo" / "narrated.mp4"
CONTENT = NARRATED.read_bytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()

SOON = 10.0
"""Seconds in which what ends at once, or at a bound of a second, has ended on a busy machine, too (our choice)."""


def video(url: str, source_id: str = "", subtitles: str = "", language: str = "") -> Video:
    key = hashlib.sha256((source_id or url).encode()).hexdigest()[:20]
    return Video(
        ManifestRow(video=key, url=url, source_id=source_id or url, subtitles=subtitles, language=language), []
    )


def stage(media: Path | str, **config: Any) -> Download:
    turns = FolderTurns(media.parent / "turns") if isinstance(media, Path) else FolderTurns()
    context = Context(seed=0, media=files_at(media), turns=turns)
    made = Download(DownloadConfig(retry_pause=0.0, **config), context)
    made.setup()
    return made


def downloaded(
    media: Path | str, url: str, *, source_id: str = "", subtitles: str = "", language: str = "", **config: Any
) -> MediaRow:
    """The row of one video, from a stage that may talk to the server on this machine."""
    (row,) = stage(media, **{"allow_private_addresses": True, **config}).process(
        [video(url, source_id, subtitles, language)]
    )
    assert isinstance(row, MediaRow)
    return row


def outcome(row: MediaRow) -> str:
    return row.error.code if row.error else row.dropped.reason if row.dropped else "live"


def files(media: Path) -> list[str]:
    return sorted(file.relative_to(media).as_posix() for file in media.rglob("*") if not file.is_dir())


def left_by(*rows: MediaRow) -> list[str]:
    """What the media folder holds of live videos: their files and subtitle tracks, each with its record."""
    media = {row.media for row in rows}
    tracks = {row.subtitles for row in rows if row.subtitles}
    records = {record_of(file) for file in media | tracks}
    return sorted(media | records | tracks)
