"""The manifest's subtitle tracks in the media folder."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from stages.base import VideoDropped, VideoFailed
from stages.download.fetcher import Fetcher
from stages.download.files import fetched_before, publish, record, unfinished
from stages.media.source import MediaSource, address_of, content_name, digest
from stages.media.subtitles.tracks import MAX_BYTES
from storyloom.fs.url import redacted


def kept_track(url: str, folder: Path, name: str, fetcher: Fetcher) -> tuple[Path | None, list[str]]:
    """A subtitle track, or the one from an earlier run, and warnings; it is optional.

    Args:
        url: Of the track; empty for none.
        folder: Of the video's files.
        name: The beginning of its file's name.
        fetcher: Fetches it.
    """
    if not url:
        return None, []
    try:
        with unfinished(folder, name) as place:
            return _track(url, place / "track", folder, name, fetcher), []
    except VideoDropped:
        return None, ["subtitles_too_large"]
    except VideoFailed:
        before = fetched_before(folder, name)
        if before is None or before[1].address != address_of(url):
            return None, ["subtitles_unavailable"]
        return before[0], ["source_unchecked"]


def _track(url: str, file: Path, folder: Path, name: str, fetcher: Fetcher) -> Path:
    """The track, copied to `file` and from there into the folder."""
    fetcher.copy(url, file, MAX_BYTES)
    sha256 = digest(file)
    suffix = PurePosixPath(redacted(url).lower()).suffix[1:]
    extension = suffix if re.fullmatch("[a-z0-9]{1,5}", suffix) else "vtt"
    final = folder / content_name(name, sha256, extension)
    publish(file, final, sha256)
    record(final, MediaSource.of(final.stat(), sha256, url))
    return final
