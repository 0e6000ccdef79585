"""A stream of a media file, read by a child process with PyAV: its packets on the one clock of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.frame import Frame
    from av.packet import Packet
    from av.stream import Stream

MAX_ERRORS = 100
"""Consecutive failures to read a packet after which a file is taken for ended (our choice)."""


SWITCH = 8
"""Consecutive packets that cannot be decoded after which another codec is looked for (our choice)."""


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
        stated: Seconds that the last packet lasts, as stated; 0.0 if unknown.
    """

    def __init__(self, container: InputContainer, track: Track) -> None:
        self.stream: Any = container.streams[track.stream]
        # One thread gives the same damaged pictures in every run, and a machine has many workers.
        self.stream.codec_context.thread_count = 1
        self.errors = 0
        self.stated = 0.0
        self._context: Any = self.stream.codec_context
        self._container = container
        self._track = track

    def frames(self) -> Iterator[Any]:
        """The frames in the order of the decoder."""
        undecoded: list[Packet[Any]] = []
        for packet in self._packets():
            self.stated = float((packet.duration or 0) * self.stream.time_base)
            found, failed = self._decoded(packet)
            yield from found
            undecoded = [*undecoded, packet] if failed else []
            if len(undecoded) == SWITCH and (context := self._later_context(undecoded[0])):
                yield from self._decoded(None)[0]
                self._context = context
                for again in undecoded:
                    yield from self._decoded(again)[0]
        yield from self._decoded(None)[0]

    def _packets(self) -> Iterator[Packet[Any]]:
        """The packets on the one clock."""
        unit: Fraction = self.stream.time_base
        due = self._track.corrections[::-1]
        offset = 0
        for number, packet in enumerate(packets(self._container, [self.stream])):
            while due and due[-1][0] <= number:
                offset = round(due.pop()[1] / unit)
            if offset:
                packet.dts = None if packet.dts is None else packet.dts + offset
                packet.pts = None if packet.pts is None else packet.pts + offset
            yield packet

    def _decoded(self, packet: Packet[Any] | None) -> tuple[list[Any], bool]:
        """The frames that a packet completes, or all that are left; and whether it could not be decoded."""
        import av

        try:
            return self._context.decode(packet), False
        except av.FFmpegError:
            self.errors += 1
            return [], True

    def _later_context(self, packet: Packet[Any]) -> Any:
        """The decoder from a packet on, where a transport stream has changed its codec; None elsewhere."""
        import av

        if self._container.format.name != "mpegts" or packet.pos is None:
            return None
        with suppress(av.FFmpegError), _From(Path(self._track.path), packet.pos) as tail:
            container = av.open(tail, format="mpegts")
            for stream in container.streams:
                if stream.id == self.stream.id and stream.codec_context is not None:
                    if stream.codec_context.name == self._context.name:
                        return None
                    stream.codec_context.thread_count = 1
                    return stream.codec_context
        return None

    def time(self, frame: Frame) -> float | None:
        """Seconds at which a frame is shown or heard, on the one clock; None where nothing states it."""
        pts = frame.pts if frame.pts is not None else frame.dts
        return None if pts is None else float(pts * (frame.time_base or self.stream.time_base)) - self._track.origin


class _From:
    """A file from an offset on, read in one pass."""

    def __init__(self, path: Path, offset: int) -> None:
        self._file = path.open("rb")
        self._file.seek(offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """The next bytes."""
        return self._file.read(size)
