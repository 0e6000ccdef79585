"""The manifest's subtitle tracks in the media folder."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from stages.base import VideoDropped, VideoFailed
from stages.download.fetcher import Fetcher
from stages.download.files import fetched_before, publish, record, unfinished
from stages.media.source import MediaSource, address_of, content_name, digest
from stages.media.subtitles.tracks import MAX_BYTES
from storyloom.fs.files import Files
from storyloom.fs.url import redacted


def kept_track(url: str, files: Files, name: str, fetcher: Fetcher) -> tuple[str, list[str]]:
    """The file of a subtitle track, or of the one from an earlier run, and warnings; it is optional.

    Args:
        url: Of the track; empty for none.
        files: The media folder.
        name: The beginning of its file's name.
        fetcher: Fetches it.

    Returns:
        Its name in the media folder; empty for none.
    """
    if not url:
        return "", []
    folder = name[:2]
    try:
        with unfinished(files.folder_here(folder), name) as place:
            return _track(url, place / "track", files, f"{folder}/{name}", fetcher), []
    except VideoDropped:
        return "", ["subtitles_too_large"]
    except VideoFailed:
        before = fetched_before(files, folder, name)
        if before is None or before[1].address != address_of(url):
            return "", ["subtitles_unavailable"]
        return before[0], ["source_unchecked"]


def _track(url: str, file: Path, files: Files, name: str, fetcher: Fetcher) -> str:
    """The track, copied to `file` and from there into the media folder."""
    fetcher.copy(url, file, MAX_BYTES)
    sha256 = digest(file)
    suffix = PurePosixPath(redacted(url).lower()).suffix[1:]
    extension = suffix if re.fullmatch("[a-z0-9]{1,5}", suffix) else "vtt"
    final = content_name(name, sha256, extension)
    publish(files, final, file, sha256)
    record(files, final, MediaSource.of(file.stat(), sha256, url))
    return final
