"""Probing a media file in a process of its own: ``python -m stages.media.probe FILE`` prints its streams as JSON.

With ``--check`` instead of a file it probes a tiny video that it makes itself. It exits with status `BROKEN` when its
library cannot be imported or called, which is not a fault of the file.

It reads headers and a few packets, and decodes at most one picture (only that has the rotation). It imports no other
module of ours, since a child starts for every video.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

CHECK = "--check"
"""Argument that requests a self-check."""

BROKEN = os.EX_SOFTWARE
"""Exit status when the library cannot be imported or called."""

TINY_VIDEO = b"YUV4MPEG2 W2 H2 F25:1 C420jpeg\nFRAME\n" + bytes(6)
"""A video of one black picture, uncompressed."""

MAX_SUBTITLE_TRACKS = 8
"""Most text tracks that are reported: reading each takes a pass through the file (our choice)."""

HEAD_BYTES = 4096
"""Bytes read to identify a file that is not media (our choice)."""

FIRST_PICTURE_PACKETS = 250
"""Packets tried until a picture decodes: about 10 s at 25 pictures a second (our choice)."""

STILL_CODECS = frozenset({"mjpeg", "png", "bmp", "gif", "tiff", "webp"})
"""Codecs of cover pictures; a stream with one such picture is not a video."""

REFERRING_FORMATS = frozenset({"concat", "dash", "hls", "imf", "rtsp", "sdp", "webm_dash_manifest"})
"""Demuxers of files that refer to other files or addresses; always refused."""

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


def inspect(path: Path) -> dict[str, Any]:
    """The fields of `schemas.rows.MediaRow` about the streams, and `warnings`.

    Raises:
        NotUsable: The file is not media, is damaged, or has neither audio nor a moving picture.
    """
    import av

    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if other := _named(head, OTHER_SIGNATURES) or _text(head):
        raise NotUsable("not_media", f"this is {other}, not a video; check where the URL leads")
    # Titles need not be UTF-8. From release 19 on, av always replaces invalid bytes.
    lenient: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}  # noqa: PLR2004
    try:
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}, **lenient) as container:
            if container.format.name in REFERRING_FORMATS:
                raise NotUsable("not_media", f"a {container.format.name} file only names other files; list those")
            return _described(container)
    except av.FFmpegError as error:
        if media := _named(head, MEDIA_SIGNATURES):
            raise NotUsable("unreadable_media", f"this is {media} ({error.strerror})") from error
        message = f"no demuxer knows these bytes, which start with {head[:8].hex(' ')}; check where the URL leads"
        raise NotUsable("not_media", message) from error


def _named(head: bytes, signatures: tuple[tuple[int, bytes, str], ...]) -> str:
    return next((what for offset, magic, what in signatures if head[offset:].startswith(magic)), "")


def _text(head: bytes) -> str:
    """The kind of text at the start of a file; empty for other content."""
    if not head:
        return "an empty file"
    try:
        text = "".join(codecs.getincrementaldecoder("utf-8-sig")().decode(head).lower().split())
    except UnicodeDecodeError:
        return ""
    if not text.isprintable():
        return ""
    if text.startswith(("<!doctypehtml", "<head", "<body")) or (text.startswith("<") and "<html" in text):
        return "an HTML page"
    if text.startswith("<?xml"):
        return "an XML document"
    return "JSON" if text.startswith(("{", "[")) else "a text"


def _described(container: InputContainer) -> dict[str, Any]:
    # A stream whose codec no decoder knows has no context.
    known = [stream for stream in container.streams if stream.codec_context is not None]
    audio = [stream for stream in known if stream.type == "audio"]
    video = [stream for stream in container.streams.video if stream in known and _moves(container, stream)]
    if not audio and not video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams at all"
        raise NotUsable("no_streams", f"neither sound nor moving picture, only {kinds} ({container.format.name})")
    row: dict[str, Any] = {
        "container": container.format.name,
        "duration": -1.0 if container.duration is None else round(container.duration / 1_000_000, 3),
        "has_audio": bool(audio),
        "has_video": bool(video),
        "audio_codec": audio[0].codec_context.codec.canonical_name if audio else "",
        "subtitle_tracks": _text_tracks(container),
    }
    warnings = [] if row["duration"] >= 0 else ["no_duration"]
    if any(stream.type == "audio" for stream in container.streams if stream not in known):
        warnings.append("unknown_audio_codec")
    if len(audio) > 1:
        warnings.append("several_audio_tracks")
    if len(video) > 1:
        warnings.append("several_pictures")
    if video:
        rotation = _rotation(container, video[0])
        if rotation is None:
            warnings.append("first_picture_damaged")
        row |= _picture(video[0], rotation or 0)
    return row | {"warnings": warnings}


def _text_tracks(container: InputContainer) -> list[int]:
    """Indexes, among the subtitle tracks, of those with text instead of pictures."""
    tracks = enumerate(container.streams.subtitles)
    text = [number for number, one in tracks if one.codec_context is not None and one.codec_context.codec.text_sub]
    return text[:MAX_SUBTITLE_TRACKS]


def _picture(stream: VideoStream, rotation: int) -> dict[str, Any]:
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


def _moves(container: InputContainer, stream: VideoStream) -> bool:
    """Whether a video stream is not a cover: neither marked as one, nor a single picture of a still codec."""
    import av
    from av.stream import Disposition

    if stream.disposition & Disposition.attached_pic:
        return False
    if stream.codec_context.codec.canonical_name not in STILL_CODECS or stream.frames > 1:
        return True
    packets = sum(1 for packet in islice(container.demux(stream), 2) if packet.size)
    with suppress(av.FFmpegError):  # if it is not seekable, read on from here
        container.seek(0)
    return packets > 1


def _rotation(container: InputContainer, stream: VideoStream) -> int | None:
    """Degrees by which the first picture is to be rotated; None when none could be decoded."""
    import av

    for packet in islice(container.demux(stream), FIRST_PICTURE_PACKETS):
        with suppress(av.FFmpegError):
            for picture in packet.decode():
                return int(picture.rotation)
    return None


def check() -> dict[str, Any]:
    """The output of `inspect` for `TINY_VIDEO`."""
    with tempfile.NamedTemporaryFile(suffix=".y4m") as file:
        file.write(TINY_VIDEO)
        file.flush()
        return inspect(Path(file.name))


def main() -> None:
    """Print the streams of the file `sys.argv[1]`, or the code and message of its failure."""
    try:
        found = check() if sys.argv[1] == CHECK else inspect(Path(sys.argv[1]))
    except NotUsable as reason:
        found = {"code": reason.code, "message": str(reason)}
    except (ImportError, AttributeError, TypeError):
        traceback.print_exc()
        sys.exit(BROKEN)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
