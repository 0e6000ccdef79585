"""A stream of a media file, read by a child process with PyAV: its packets on the one clock of the file."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.frame import Frame
    from av.packet import Packet
    from av.stream import Stream

BROKEN = os.EX_SOFTWARE
"""Exit status of a decoder that met a fault of ours or of its library, not of the file."""

DISK = os.EX_IOERR
"""Exit status of a decoder that could not write its output to a disk."""

MAX_ERRORS = 100
"""Consecutive failures to read a packet after which a file is taken for ended (our choice)."""


@dataclass(frozen=True)
class Track:
    """A stream to decode, and its clock.

    Attributes:
        path: The media file.
        stream: Index of the stream.
        origin: Seconds of the file's clock at which the video starts.
        end: Seconds after `origin` at which the video ends; nothing is decoded beyond it.
        corrections: Packets of the stream, counted from 0, and the seconds to add to the times from there on.
    """

    path: str
    stream: int
    origin: float
    end: float
    corrections: list[tuple[int, float]] = field(default_factory=list)


def opened(path: Path, hwaccel: HWAccel | None = None) -> InputContainer:
    """A media file; nothing else is opened, neither files nor addresses that it names.

    Raises:
        av.FFmpegError: No demuxer can read it.
    """
    import av

    # Titles need not be UTF-8. From release 19 on, av always replaces invalid bytes.
    lenient: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}  # noqa: PLR2004
    container: InputContainer = av.open(
        f"file:{path}", options={"protocol_whitelist": "file"}, hwaccel=hwaccel, **lenient
    )
    return container


def packets(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet[Any]]:
    """The packets of streams, past what cannot be read; those that only flush decoders are left out."""
    import av

    errors = 0
    while errors < MAX_ERRORS:
        try:
            for packet in container.demux(streams):
                errors = 0
                if packet.size:
                    yield packet
        except av.FFmpegError:
            errors += 1
        else:
            return


class Decoder:
    """Decodes a track, past damaged packets.

    Args:
        container: The file.
        track: The stream.

    Attributes:
        errors: Number of packets that could not be decoded.
    """

    def __init__(self, container: InputContainer, track: Track) -> None:
        self.stream: Any = container.streams[track.stream]
        # One thread gives the same damaged pictures in every run, and a machine has many workers.
        self.stream.codec_context.thread_count = 1
        self.errors = 0
        self._container = container
        self._track = track

    def frames(self) -> Iterator[Any]:
        """The frames in the order of the decoder."""
        import av

        unit: Fraction = self.stream.time_base
        due = self._track.corrections[::-1]
        offset = 0
        for number, packet in enumerate(packets(self._container, [self.stream])):
            while due and due[-1][0] <= number:
                offset = round(due.pop()[1] / unit)
            if offset:
                packet.dts = None if packet.dts is None else packet.dts + offset
                packet.pts = None if packet.pts is None else packet.pts + offset
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self.errors += 1
        try:
            yield from self.stream.codec_context.decode(None)
        except av.FFmpegError:
            self.errors += 1

    def time(self, frame: Frame) -> float | None:
        """Seconds at which a frame is shown or heard, on the one clock; None where nothing states it."""
        pts = frame.pts if frame.pts is not None else frame.dts
        return None if pts is None else float(pts * (frame.time_base or self.stream.time_base)) - self._track.origin


def main(decode: Callable[..., None]) -> None:
    """Run a decoder with the program's arguments, and end with the status of its failure."""
    import av

    try:
        decode(*sys.argv[1:])
    except (av.FFmpegError, MemoryError) as reason:
        sys.exit(f"{type(reason).__name__}: {reason}")
    except OSError as reason:
        if reason.errno == errno.EPIPE:  # nobody reads any more
            sys.exit(1)
        traceback.print_exc()
        sys.exit(DISK if reason.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else BROKEN)
    except Exception:  # noqa: BLE001 - a status of its own, with the whole trace
        traceback.print_exc()
        sys.exit(BROKEN)
