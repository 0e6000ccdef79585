"""The subtitle tracks of a video: the manifest's or those beside it, then those inside the media file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path, PurePosixPath

from schemas.media import MediaRow
from stages.media import ffmpeg
from stages.media.sandbox import ChildFailed, Limits, child
from stages.media.source import NAME_DIGITS, MediaMissing, reading
from stages.media.subtitles.cues import Cue, cues
from storyloom.fs.files import Files

MAX_BYTES = 8 * 2**20
"""Bytes of a track. YouTube's captions with word times have about 130 a second: 2 MB for four hours (our choice)."""


def tracks(media: MediaRow, files: Files, limits: Limits, heard: AbstractSet[str] = frozenset()) -> Iterator[list[Cue]]:
    """The cues of a video's subtitle tracks: the manifest's or those beside it, then the file's own in their order.

    Of a clip, those inside it, on its clock.

    Args:
        media: The video's row from `download`.
        files: The media folder.
        limits: Bounds of the child that extracts a track from the file.
        heard: Recognized words in lower case, which tell the encoding of a track that is not Unicode.

    Yields:
        The cues of each track; an empty list for an unreadable one.

    Raises:
        VideoFailed: As `reading` does.
        MediaMissing: The manifest's track or the media file is missing or damaged.
    """
    for kept in filter(None, [media.subtitles, *media.other_subtitles]):
        yield _within(media, cues(_kept(media.video, files, kept), heard))
    for track in media.subtitle_tracks:
        try:
            with reading(files, media) as file:
                content = embedded(file, media.container, track, limits)
        except ChildFailed:
            content = b""
        yield _within(media, cues(content))


def _within(media: MediaRow, found: list[Cue]) -> list[Cue]:
    """The cues inside a clip, from its start; a word of which more than half is outside is left out."""
    if not media.clip:
        return found
    end = media.duration

    def inside(cue: Cue) -> Cue:
        moved = ((word, word.start - media.clip_start, word.end - media.clip_start) for word in cue)
        return [
            replace(word, start=min(max(0.0, start), end), end=min(max(0.0, stop), end))
            for word, start, stop in moved
            if 0 <= (start + stop) / 2 < end
        ]

    return [cue for cue in map(inside, found) if cue]


def _kept(video: str, files: Files, name: str) -> bytes:
    """The content of a track in the media folder, checked against the hash in its name."""
    missing = MediaMissing(video, f"{files.address}/{name}")
    try:
        content = files.read(name)
    except FileNotFoundError as gone:
        raise missing from gone
    if not PurePosixPath(name).stem.endswith(hashlib.sha256(content).hexdigest()[:NAME_DIGITS]):
        raise missing
    return content


def embedded(media: Path, container: str, track: int, limits: Limits) -> bytes:
    """A text track of a media file as SubStation Alpha, on the clock of its frames and audio.

    Every text format can be written as that; as WebVTT, comments would be gone but drawings would become text.

    Args:
        media: The file.
        container: Its demuxer, as `download` found it.
        track: Number among its subtitle tracks, from 0.
        limits: Bounds of the child that reads it.

    Raises:
        ChildFailed: ffmpeg cannot read it, or it exceeds `MAX_BYTES`.
    """
    with child(ffmpeg.writing(media, container, f"s:{track}", "ass"), limits) as text:
        return text.read(MAX_BYTES)
