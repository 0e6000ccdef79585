"""A stream of a media file, read by a child process with PyAV: its packets and frames on the one clock of the file."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.media.formats import OPTIONS, first_name

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.frame import Frame
    from av.packet import Packet

TAIL_SECONDS = 2.0
"""A track that ends at most this many seconds before its stated end is complete: containers round, and the last
packet's duration is often unknown (our choice)."""

MAX_ERRORS = 100
"""Consecutive failures to read a packet after which a file is taken for ended (our choice)."""

SWITCH = 8
"""Consecutive packets that cannot be decoded after which another codec is looked for (our choice)."""

BARREN = 64
"""Packets without a frame after which another codec is looked for: codecs reorder up to 16 pictures (our choice)."""

BEFORE_CLIP = 1.0
"""Seconds before a clip from which it is decoded: decoders of sound need some to start (our choice)."""

AFTER_CLIP = 1.0
"""Seconds after its end up to which its packets are read: decoders hold frames back (our choice)."""

SOUGHT = frozenset({"mov", "matroska", "mpegts"})
"""Demuxers after whose seeking the packets' times are still those that the file states."""

REORDERED = 16
"""Most pictures that a codec puts into another order."""

PROBED_BYTES = 500_000
"""Bytes of a transport stream in which a new codec is looked for (our choice)."""

HEADERS = {
    "matroska": re.compile(rb"\x1a\x45\xdf\xa3.{0,40}?(?:webm|matroska)", re.DOTALL),
    "flv": re.compile(rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09"),
    "asf": re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
}
"""Beginnings of the formats that recorders append to each other, by the first name of the demuxer, whose own reading
does not heed the next."""

HEADER_BYTES = 64
"""Most bytes of one of them, rounded up."""

BLOCK = 2**20
"""Bytes of a file that are searched at once: it may be larger than the memory."""

WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that read the alpha of a codec, where ffmpeg's own do not."""


@dataclass(frozen=True)
class Track:
    """A stream to decode, and its clock.

    Attributes:
        path: The media file.
        streams: Index of the stream, and of those that go on where it ends.
        origin: Seconds of the file's clock at which the video starts.
        end: Seconds after `origin` at which the video ends; nothing is decoded beyond it.
        corrections: Stream, number of a packet among those of the stream, and the seconds to add from there on.
        container: The file's demuxer, as `download` found it; empty to have it found.
        clip: Whether the video is a part of the file.
        clip_start: Seconds of the file's video at which the clip starts.
    """

    path: str
    streams: list[int]
    origin: float
    end: float
    corrections: list[tuple[int, int, float]] = field(default_factory=list)
    container: str = ""
    clip: bool = False
    clip_start: float = 0.0


def opened(path: Path, kind: str = "", hwaccel: HWAccel | None = None) -> InputContainer:
    """A media file; nothing else is opened, neither files nor addresses that it names.

    Args:
        path: The file.
        kind: Its demuxer; empty to have it found among those of `stages.media.formats`.
        hwaccel: A hardware decoder.

    Raises:
        av.FFmpegError: No demuxer can read it.
    """
    return _open(f"file:{path}", kind, hwaccel=hwaccel)


def _open(file: str | _Span, kind: str, options: dict[str, str] | None = None, **others: Any) -> InputContainer:
    import av

    # Titles need not be UTF-8.
    others |= {"metadata_errors": "replace", "format": first_name(kind) or None, "options": OPTIONS | (options or {})}
    container: InputContainer = av.open(file, "r", **others)
    return container


class Packets:
    """The packets of streams in file order, past what cannot be read, through files that are appended to each other.

    Packets that only flush decoders are left out.

    Args:
        path: The file.
        container: The opened file.
        streams: Indexes of the streams.
        sought: Whether the container does not stand at its first packet.

    Attributes:
        end: Byte at which the last packet ends, as far as the demuxer tells.
        part: Number of the appended file that the last packet is from, from 0.
    """

    def __init__(self, path: Path, container: InputContainer, streams: Sequence[int], *, sought: bool = False) -> None:
        self.end = self.part = 0
        self._sought = sought
        self._path = path
        self._container = container
        self._streams = streams

    def __iter__(self) -> Iterator[Packet[Any]]:
        container: InputContainer | None = self._container
        types = {index: self._container.streams[index].type for index in self._streams}
        kind, start = first_name(self._container.format.name), 0
        following: int | None = None
        looked = -1 if self._sought else 1
        while container is not None:
            streams = [one for one in container.streams if types.get(one.index) == one.type]
            for packet in _demuxed(container, streams) if streams else ():
                at = start + (packet.pos or 0)
                if following is None and at >= looked:  # no further than is read: a clip is a small part of its file
                    following, looked = _next_header(self._path, at if looked < 0 else looked, kind, at)
                if following is not None and at >= following:
                    break
                self.end = max(self.end, at + packet.size)
                yield packet
            if following is None:
                following, _ = _next_header(self._path, max(1, looked), kind)
            if following is None:
                return
            start = following
            following, looked = _next_header(self._path, start + 1, kind)
            container = _opened_at(self._path, start, following, kind)
            self.part += 1


def _demuxed(container: InputContainer, streams: Sequence[Any]) -> Iterator[Packet[Any]]:
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
        except IndexError:  # a stream began that was not there when the file was opened
            return
        else:
            return


def _next_header(path: Path, start: int, kind: str, until: int = sys.maxsize) -> tuple[int | None, int]:
    """Where the next file begins that was appended to one of this kind.

    Args:
        path: The file.
        start: Byte from which it is looked for.
        kind: First name of the demuxer.
        until: Byte up to which it must be looked for.

    Returns:
        Its first byte, None without one; and the byte before which it was looked for.
    """
    header = HEADERS.get(kind)
    if header is None:
        return None, sys.maxsize
    with path.open("rb") as file:
        while start <= until and (block := os.pread(file.fileno(), BLOCK + HEADER_BYTES, start)):
            if (found := header.search(block)) and found.start() < BLOCK:
                return start + found.start(), start
            start += BLOCK
    return None, start


def _opened_at(path: Path, start: int, end: int | None, kind: str) -> InputContainer | None:
    """The file of this kind from one byte of another to the next; None if it cannot be read."""
    import av

    with suppress(av.FFmpegError):
        return _open(_Span(path, start, end), kind)
    return None


class Decoder:
    """Decodes a track, past damaged packets.

    Args:
        container: The file.
        track: The stream.
        skip_frame: Frames that are skipped, as PyAV names them.

    Attributes:
        stream: The stream of the last packet.
        track: As given.
        skip_frame: As given.
        context: Its decoder.
        errors: Number of packets that could not be decoded.
        stated: Seconds that the last packet lasts, as stated; 0.0 if unknown.
    """

    def __init__(self, container: InputContainer, track: Track, skip_frame: str = "DEFAULT") -> None:
        self.stream: Any = container.streams[track.streams[0]]
        self.errors = 0
        self.stated = 0.0
        self.skip_frame = skip_frame
        self._container = container
        self.track = track
        self.context: Any = self._ready(self.stream)

    def frames(self) -> Iterator[Any]:
        """The frames in the order of the decoder."""
        recent: list[Packet[Any]] = []
        failed = barren = 0
        current = 0, self.stream.index
        over: set[tuple[int, int]] = set()
        for part, packet in self._packets():
            stream = part, packet.stream_index
            if stream in over:
                continue
            if stream != current:
                yield from self._decoded(None)
                over.add(current)
                current = stream
                self.stream, self.context, recent = packet.stream, self._ready(packet.stream), []
            self.stated = float((packet.duration or 0) * self.stream.time_base)
            errors = self.errors
            found = self._decoded(packet)
            yield from found
            failed = failed + 1 if self.errors > errors else 0
            barren = 0 if found else barren + 1
            # A picture's decoder gives frames of before while the first packets of another codec come.
            kept = REORDERED if found and self.stream.type == "video" else 0 if found else REORDERED + BARREN
            recent = [*(recent[-kept:] if kept else []), packet]
            due = barren == BARREN and self.skip_frame != "NONKEY"
            if (due or (failed and failed % SWITCH == 0)) and (context := self._later_context(recent)):
                yield from self._decoded(None)
                self.context = context
                for again in recent:
                    yield from self._decoded(again)
                recent = []
        yield from self._decoded(None)

    def _packets(self) -> Iterator[tuple[int, Packet[Any]]]:
        """The packets on the one clock, each with the number of its appended file."""
        due: dict[int, list[tuple[int, float]]] = {index: [] for index in self.track.streams}
        for index, number, correction in reversed(self.track.corrections):
            due[index].append((number, correction))
        numbers: Counter[int] = Counter()
        late: dict[int, float] = {}
        if sought := _may_seek(self._container, self.track):
            _seek(self._container, self.track)
        packets = Packets(Path(self.track.path), self._container, self.track.streams, sought=sought)
        for packet in packets:
            index = packet.stream_index
            while due[index] and due[index][-1][0] <= numbers[index]:
                late[index] = due[index].pop()[1]
            numbers[index] += 1
            if seconds := late.get(index):
                offset = round(seconds / packet.stream.time_base)
                packet.dts = None if packet.dts is None else packet.dts + offset
                packet.pts = None if packet.pts is None else packet.pts + offset
            if self._is_after(packet):
                return
            yield packets.part, packet

    def _is_after(self, packet: Packet[Any]) -> bool:
        """Whether a packet and all that follow it in its stream lie after the clip."""
        if not self.track.clip or packet.dts is None:
            return False
        return float(packet.dts * packet.stream.time_base) - self.track.origin >= self.track.end + AFTER_CLIP

    def _ready(self, stream: Any) -> Any:
        """The decoder of a stream. One thread gives the same damaged pictures in every run."""
        import av

        context: Any = stream.codec_context
        name = WITH_ALPHA.get(context.codec.canonical_name)
        if name and stream.metadata.get("alpha_mode") == "1":
            context = av.CodecContext.create(name, "r")
        context.thread_count = 1
        if stream.type == "video":
            context.skip_frame = self.skip_frame
        return context

    def _decoded(self, packet: Packet[Any] | None) -> list[Any]:
        """The frames that a packet completes, or all that are left."""
        import av

        try:
            return list(self.context.decode(packet))
        except av.FFmpegError:
            self.errors += packet is not None
            return []

    def _later_context(self, recent: list[Packet[Any]]) -> Any:
        """The decoder of packets, where a transport stream has changed its codec; None elsewhere."""
        import av

        start = next((packet.pos for packet in reversed(recent) if packet.pos is not None), None)
        if self._container.format.name != "mpegts" or start is None:
            return None
        options = {"probesize": str(PROBED_BYTES), "analyzeduration": "1000000"}
        with suppress(av.FFmpegError):
            container = _open(_Span(Path(self.track.path), start, None), "mpegts", options)
            for stream in container.streams:
                if stream.id == self.stream.id and stream.codec_context is not None:
                    return self._ready(stream) if stream.codec_context.name != self.context.name else None
        return None

    def time(self, frame: Frame) -> float | None:
        """Seconds at which a frame is shown or heard, on the one clock; None where nothing states it."""
        pts = frame.pts if frame.pts is not None else frame.dts
        return None if pts is None else float(pts * (frame.time_base or self.stream.time_base)) - self.track.origin


def _may_seek(container: InputContainer, track: Track) -> bool:
    """Whether a clip can be decoded without all that is before it, with the same times.

    A keyframe before it must be found. A clock that is corrected by the numbers of packets needs all of them.
    """
    if first_name(container.format.name) not in SOUGHT or track.clip_start <= BEFORE_CLIP:
        return False
    if track.corrections or len(track.streams) > 1:
        return False
    with opened(Path(track.path), track.container) as trial:
        _seek(trial, track)
        for packet in _demuxed(trial, [trial.streams[track.streams[0]]]):
            if packet.pts is None or (time := float(packet.pts * packet.stream.time_base) - track.origin) > 0:
                return False
            if packet.is_keyframe:
                return time <= 0
    return False


def _seek(container: InputContainer, track: Track) -> None:
    import av

    with suppress(av.FFmpegError):
        container.seek(round((track.origin - BEFORE_CLIP) * 1_000_000))


class _Span:
    """A file from one byte to another, or to its end, read in one pass; it is closed with the last reference to it."""

    def __init__(self, path: Path, start: int, end: int | None) -> None:
        self._file = path.open("rb")
        self._at, self._end = start, path.stat().st_size if end is None else end

    def read(self, size: int) -> bytes:
        """The next bytes."""
        content = os.pread(self._file.fileno(), min(size, self._end - self._at), self._at)
        self._at += len(content)
        return content
