"""Checks of a JPEG: its headers, and whether all of it can be decoded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from storyloom.format.tar import MAX_PIXELS

SEGMENT = 0xFF
"""Begins every marker."""

BASELINE = 0xC0
"""Marker of a frame in baseline DCT (ITU-T T.81, table B.1)."""

FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of frame headers: those of the range that are neither tables nor reserved."""

WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9

FRAME_HEADER = 6
"""Bytes of a frame header up to the number of components: precision, height, width, components."""

BITS = 8
"""Of a sample of a baseline image."""

COLOUR = 3
"""Components of a colour image."""


@dataclass(frozen=True)
class JpegHeader:
    """The fields of a JPEG's frame header.

    Attributes:
        width: Pixels.
        height: Pixels.
        baseline: Whether it is baseline with 8 bits.
        components: 3 for colour.
    """

    width: int
    height: int
    baseline: bool
    components: int


def picture(jpeg: bytes) -> JpegHeader | None:
    """The frame header of a JPEG, found by walking its segments up to the picture's data.

    None when the bytes are not a JPEG, or have two frame headers: decoders differ in which of them they take.
    """
    if jpeg[:2] != b"\xff\xd8":
        return None
    at = 2
    frame: JpegHeader | None = None
    while at + 4 <= len(jpeg) and jpeg[at] == SEGMENT:
        marker = jpeg[at + 1]
        if marker == SEGMENT:  # a fill byte
            at += 1
        elif marker in WITHOUT_LENGTH:
            at += 2
        elif marker in (START_OF_SCAN, END_OF_IMAGE):
            return frame
        else:
            if marker in FRAME_MARKERS:
                if frame is not None:
                    return None
                frame = _frame(marker, jpeg[at + 4 : at + 10])
            at += 2 + max(2, int.from_bytes(jpeg[at + 2 : at + 4], "big"))
    return None


def _frame(marker: int, header: bytes) -> JpegHeader | None:
    if len(header) < FRAME_HEADER:
        return None
    height, width = int.from_bytes(header[1:3], "big"), int.from_bytes(header[3:5], "big")
    return JpegHeader(width, height, marker == BASELINE and header[0] == BITS, header[5])


def decoding_problems(jpeg: bytes, header: JpegHeader) -> Iterator[tuple[str, str]]:
    """Decode a whole image; yields rule and message of each problem.

    The readers use Pillow, which ignores damage inside the picture; ffmpeg in strict mode reports it.
    """
    from PIL.JpegImagePlugin import JpegImageFile

    if header.width * header.height > MAX_PIXELS:
        yield "image_decode", f"{header.width}x{header.height} pixels are more than {MAX_PIXELS}: it was not decoded"
        return
    try:
        with JpegImageFile(io.BytesIO(jpeg)) as image:  # Image.open would warn of a size that is refused here
            mode, size = image.mode, image.size
            if size == (header.width, header.height):
                image.load()
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as reason:
        yield "image_decode", f"it cannot be decoded: {reason}"
        return
    if size != (header.width, header.height):
        yield "image_size", f"it decodes to {size[0]}x{size[1]}, its header says {header.width}x{header.height}"
        return
    if mode != "RGB":
        yield "rgb", f"it decodes to {mode}, must be RGB"
    if problem := _strict_problem(jpeg):
        yield "image_decode", f"it is damaged: {problem}"


def _strict_problem(jpeg: bytes) -> str:
    import av
    from av.error import FFmpegError, InvalidDataError

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    try:
        decoder.decode(av.Packet(jpeg))
    except InvalidDataError as reason:
        return str(reason.strerror)
    except FFmpegError:  # a kind of JPEG that ffmpeg does not know; Pillow does
        return ""
    return ""
