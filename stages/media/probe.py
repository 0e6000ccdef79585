"""Looking at a media file in a child process: see `run`.

It reads all packets, for the clock and the true duration, and decodes one picture of a stream (only that has the
rotation).
"""

from __future__ import annotations

import codecs
import json
import os
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.media.formats import DECODERS, DEMUXERS, TEXT_DECODERS, first_name
from stages.media.scan import Scan
from stages.media.streams import joined, preferred_picture, preferred_sound, reasons
from stages.media.track import TAIL_SECONDS, opened

if TYPE_CHECKING:
    from av.container import InputContainer

MAX_SUBTITLE_TRACKS = 8
"""Most text tracks that are reported: reading each takes a pass through the file (our choice)."""

HEAD_BYTES = 4096
"""Bytes read to identify a file that is not media (our choice)."""

MAX_AUDIO_TRACKS = 8
"""Most audio tracks that are reported (our choice)."""

MAX_CORRECTIONS = 10_000
"""Most corrections of a file's clock (our choice): an appended segment each second for nearly three hours."""

NOT_TEXT = frozenset({"Cc", "Cn"})
"""Unicode's categories that are in no text: control characters and what is not assigned. Invisible ones may be."""

UNREAD_BYTES, UNREAD_SHARE = 2**16, 0.1
"""Bytes, and share of a file, that may follow its last packet: indexes and attachments (our choice)."""

STATING = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "asf", "flv", "nut", "mxf", "wav"})
"""Demuxers of formats that state a duration; for others ffmpeg guesses one."""

MEDIA_SIGNATURES = (
    (4, b"ftyp", "an MP4 or MOV file whose index (moov) is missing or damaged, most likely because it was cut short"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file with a damaged header"),
    (8, b"AVI ", "an AVI file with a damaged header"),
    (0, b"OggS", "an Ogg file with a damaged header"),
    (0, b"FLV", "an FLV file with a damaged header"),
)
OTHER_SIGNATURES = (
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"GIF8", "a GIF picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftypheic", "an HEIC picture"),
    (4, b"ftypheix", "an HEIC picture"),
    (4, b"ftypmif1", "an HEIF picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (8, b"WEBP", "a WebP picture"),
    (0, b"\x1f\x8b", "gzip data"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"%PDF", "a PDF document"),
    (0, b"#EXTM3U", "an HLS playlist, which only names other files"),
    (0, b"ffconcat", "a concat list, which only names other files"),
)
"""Offset, bytes and name of file formats that are never passed to a demuxer."""


class NotUsable(Exception):
    """A file that cannot be used.

    Args:
        code: ``not_media``, ``unreadable_media`` or ``no_streams``.
        message: What was found instead, for the user.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def inspect(path: Path, languages: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of `schemas.media.MediaRow` about the streams, and `warnings`.

    Args:
        path: The file.
        languages: Tags of the language whose audio track is preferred, in lower case.

    Raises:
        NotUsable: The file is not media, is damaged, or has neither audio nor a moving picture.
    """
    import av

    with path.open("rb") as file:
        head = os.pread(file.fileno(), HEAD_BYTES, 0)
    if other := _named(head, OTHER_SIGNATURES) or _text(head):
        raise NotUsable("not_media", f"this is {other}, not a video; check where the URL leads")
    try:
        with opened(path) as container:
            if first_name(container.format.name) not in DEMUXERS:  # a part of other files
                raise av.InvalidDataError(0, container.format.name)
            return _described(path, container, languages)
    except av.FFmpegError as error:
        if media := _named(head, MEDIA_SIGNATURES):
            raise NotUsable("unreadable_media", f"this is {media} ({error.strerror})") from error
        start = head[:8].hex(" ")
        message = f"it starts with {start} and is in no media format that is read; check where the URL leads"
        raise NotUsable("not_media", message) from error


def _named(head: bytes, signatures: tuple[tuple[int, bytes, str], ...]) -> str:
    return next((what for offset, magic, what in signatures if head[offset:].startswith(magic)), "")


def _text(head: bytes) -> str:
    """The kind of text at the start of a file; empty for other content."""
    if not head:
        return "an empty file"
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = "".join(codecs.getincrementaldecoder(encoding)().decode(head).lower().split())
    except UnicodeDecodeError:
        return ""
    if any(unicodedata.category(character) in NOT_TEXT for character in text):
        return ""
    if text.startswith(("<!doctypehtml", "<head", "<body")) or (text.startswith("<") and "<html" in text):
        return "an HTML page"
    if text.startswith("<?xml"):
        return "an XML document"
    return "JSON" if text.startswith(("{", "[")) else "a text"


def _described(path: Path, container: InputContainer, languages: Sequence[str]) -> dict[str, Any]:
    from av.stream import Disposition

    # A stream whose codec no decoder knows has no context.
    known = [one for one in container.streams if one.codec_context and one.codec_context.codec.name in DECODERS]
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    read = [s for s in known if s.type == "audio" or (s.type == "video" and not s.disposition & covers)]
    scan = Scan(path, container, read)
    pictures = joined(preferred_picture([s for s in read if s.type == "video"], scan), scan)
    sounds = joined(preferred_sound([s for s in read if s.type == "audio"], languages), scan)[:MAX_AUDIO_TRACKS]
    if not sounds and not pictures:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams at all"
        raise NotUsable("no_streams", f"neither sound nor moving picture, only {kinds} ({container.format.name})")
    origin = min((track.first for track in scan.tracks.values() if track.packets), default=0.0)
    ends = [max(0.0, round(scan.tracks[group[-1].index].end - origin, 3)) for group in [*pictures[:1], *sounds]]
    stated = -1.0 if container.duration is None else round(container.duration / 1_000_000, 3)
    reason = reasons([s for s in read if s.type == "audio"], languages)
    used = {stream.index for group in [*pictures[:1], *sounds] for stream in group}
    corrections = [vars(one) for one in scan.clock.corrections() if one.stream in used]
    if len(corrections) > MAX_CORRECTIONS:
        raise NotUsable("unreadable_media", f"the timestamps jump over {MAX_CORRECTIONS} times")
    duration = max(ends[: len(pictures[:1]) + 1])
    beyond = max(duration, scan.text_end - origin)
    unread = path.stat().st_size - scan.end
    row: dict[str, Any] = {
        "container": container.format.name,
        "duration": duration,
        "stated_duration": stated,
        "cut_off": container.format.name in STATING and not corrections and stated - beyond > TAIL_SECONDS,
        "unread": unread if unread > max(UNREAD_BYTES, UNREAD_SHARE * path.stat().st_size) else 0,
        "has_audio": bool(sounds),
        "has_video": bool(pictures),
        "audio_codec": sounds[0][0].codec_context.codec.canonical_name if sounds else "",
        "audio_tracks": [
            {
                "stream": first.index,
                "followers": [one.index for one in followers],
                "language": first.language or "",
                "reason": reason(first),
                "end": end,
            }
            for (first, *followers), end in zip(sounds, ends[len(pictures[:1]) :], strict=True)
        ],
        "subtitle_tracks": _text_tracks(container),
        "origin": round(origin, 6),
        "corrections": corrections,
    }
    codes = {
        "clock_jumps": bool(corrections),
        "rest_unread": row["unread"] > 0,
        "unknown_audio_codec": any(one.type == "audio" for one in container.streams if one not in known),
        "several_audio_tracks": len(sounds) > 1,
        "several_pictures": len(pictures) > 1,
    }
    if pictures:
        first, *followers = pictures[0]
        track = scan.tracks[first.index]
        codes["first_picture_damaged"] = track.rotation is None
        row |= _picture(first, track.rotation or 0)
        last = scan.tracks[pictures[0][-1].index]
        row |= {
            "video_stream": first.index,
            "video_followers": [one.index for one in followers],
            "video_end": ends[0],
            "longest_picture": round(max(track.longest(), last.longest(), duration - (last.shown - origin)), 3),
        }
    return row | {"warnings": [code for code, applies in codes.items() if applies]}


def _text_tracks(container: InputContainer) -> list[int]:
    """Indexes, among the subtitle tracks, of those with text instead of pictures."""
    tracks = enumerate(container.streams.subtitles)
    text = [number for number, one in tracks if one.codec_context and one.codec_context.codec.name in TEXT_DECODERS]
    return text[:MAX_SUBTITLE_TRACKS]


def _picture(stream: Any, rotation: int) -> dict[str, Any]:
    """Displayed size, rate and codec of a video stream that is rotated by `rotation` degrees."""
    width, height = stream.codec_context.width, stream.codec_context.height
    if stream.sample_aspect_ratio:
        width = round(width * stream.sample_aspect_ratio)
    if rotation % 180:  # a quarter turn in either direction
        width, height = height, width
    rate = stream.average_rate or stream.guessed_rate
    return {
        "width": width,
        "height": height,
        "fps": round(float(rate), 3) if rate else 0.0,
        "video_codec": stream.codec_context.codec.canonical_name,
    }


def run(path: str, *languages: str) -> None:
    """Print the streams of a file as JSON, or the code and message of its failure.

    Args:
        path: The file.
        languages: Tags of the preferred language.
    """
    try:
        found = inspect(Path(path), languages)
    except NotUsable as reason:
        found = {"code": reason.code, "message": str(reason)}
    json.dump(found, sys.stdout)
