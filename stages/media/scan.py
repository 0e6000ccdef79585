"""What the packets of a file say of its streams: when they begin and end, on one clock."""

from __future__ import annotations

import heapq
import math
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.media.clock import LONE_GAP, Clock
from stages.media.track import Packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

FIRST_PICTURE_PACKETS = 250
"""Packets tried until a picture decodes: about 10 s at 25 pictures a second (our choice)."""

REORDERED = 32
"""Packets within which presentation times may be out of order; codecs reorder up to 16 pictures."""

PRIMING = 0.5
"""Most seconds of a stream before its stated start: an encoder's priming samples, which are not played (our choice)."""


@dataclass
class StreamScan:
    """What the packets of a stream say.

    Attributes:
        packets: Number of them.
        first: Seconds at which it begins.
        end: Seconds at which it ends.
        rotation: Degrees by which its first picture is to be rotated; None until one could be decoded.
    """

    packets: int = 0
    first: float = math.inf
    end: float = -math.inf
    rotation: int | None = None
    _recent: list[float] = field(default_factory=list)
    _last: float = math.nan
    _longest: float = 0.0

    def add(self, start: float, duration: float) -> None:
        """Add a packet with its presentation time and duration in seconds, on the one clock."""
        self.packets += 1
        if self.packets <= REORDERED:
            self.first = min(self.first, start)
        self.end = max(self.end, start + duration)
        heapq.heappush(self._recent, start)
        if len(self._recent) > REORDERED:
            self._show()

    def longest(self) -> float:
        """Most seconds between one picture and the next."""
        while self._recent:
            self._show()
        return self._longest

    @property
    def shown(self) -> float:
        """Seconds at which the last picture appears."""
        return max(self._recent, default=self._last)

    def _show(self) -> None:
        start = heapq.heappop(self._recent)
        if start > self._last:
            self._longest = max(self._longest, start - self._last)
        self._last = start if math.isnan(self._last) else max(self._last, start)


class Scan:
    """Reads all packets of streams, and decodes pictures until each video stream had one.

    Attributes:
        clock: The clock of the packets.
        tracks: What they say, by index of the stream.
        text_end: Seconds of the file's clock at which the last subtitle ends.
        end: Byte at which the last packet ends.
    """

    def __init__(self, path: Path, container: InputContainer, streams: list[Stream]) -> None:
        self.clock = Clock()
        self.tracks = {stream.index: StreamScan() for stream in streams}
        self.text_end = 0.0
        for stream in streams:
            stream.codec_context.thread_count = 1  # a picture comes out as soon as it can
        texts = [stream.index for stream in container.streams if stream.type == "subtitle"]
        packets = Packets(path, container, [*self.tracks, *texts])
        for packet in packets if streams else ():
            self._add(packet)
        self.end = packets.end
        for stream in streams:
            track = self.tracks[stream.index]
            if stream.type == "video" and track.rotation is None:
                track.rotation = _rotation(stream.codec_context, None)
            if stream.start_time is None or stream.time_base is None:
                continue
            stated = float(stream.start_time * stream.time_base)
            if 0 < stated - track.first < PRIMING:
                track.first = stated

    def _add(self, packet: Packet[Any]) -> None:
        unit = float(packet.time_base or 0)
        duration = (packet.duration or 0) * unit
        track = self.tracks.get(packet.stream_index)
        if track is None:  # a subtitle
            self.text_end = max(self.text_end, (packet.pts or 0) * unit + duration)
            return
        decoded = packet.dts if packet.dts is not None or packet.stream.type == "video" else packet.pts
        offset = self.clock.add(packet.stream_index, None if decoded is None else decoded * unit, duration)
        shown = packet.pts if packet.pts is not None else packet.dts
        if shown is not None and not packet.is_discard and not packet.is_corrupt:
            far = decoded is not None and abs(shown - decoded) * unit > LONE_GAP  # a presentation time that cannot be
            track.add((decoded if far and decoded is not None else shown) * unit + offset, duration)
        if packet.stream.type == "video" and track.rotation is None and track.packets <= FIRST_PICTURE_PACKETS:
            track.rotation = _rotation(packet.stream.codec_context, packet)


def _rotation(context: Any, packet: Packet[Any] | None) -> int | None:
    """Degrees by which the first picture that a packet, or the end, completes is to be rotated; None without one."""
    import av

    with suppress(av.FFmpegError):
        for picture in context.decode(packet):
            return int(picture.rotation)
    return None
