"""One clock for all streams of a file whose own clocks jump, restart or step back.

The order of packets in the file is the true order: streams are interleaved as they were recorded. Where a stream's
timestamps leave that order, its clock is corrected so that time goes on. A gap that another stream fills is real.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BACK = 0.1
"""Seconds by which decoding times may step back without a correction: ffmpeg's own tolerance."""

GAP = 10.0
"""Seconds of a gap that is checked against the other streams: ffmpeg's `dts_delta_threshold`."""

LONE_GAP = 600.0
"""Seconds of a gap that is real where no other stream tells: a slide may stand that long (our choice)."""

JOINED = 1.0
"""Most seconds between the ends of two streams at a place where both clocks jump (our choice)."""

RECENT = 1000
"""Packets after which another stream's last time says nothing of the present: it has ended (our choice)."""


@dataclass(frozen=True)
class Correction:
    """A correction of a stream's clock.

    Attributes:
        stream: Index of the stream.
        packet: Number of its first corrected packet among those of the stream in file order, from 0.
        offset: Seconds to add to the packet's stated times, in place of any earlier correction.
    """

    stream: int
    packet: int
    offset: float


@dataclass
class _Stream:
    """The state of a stream's clock; times in seconds, corrected.

    Attributes:
        offset: The current correction.
        previous: The one before.
        last: Decoding time of the last packet.
        end: Latest end of a packet.
        packets: Number of packets so far.
        timed: Whether one of them stated a time.
        untimed: Number of the last ones that did not: what follows tells their clock.
        seen: Number of the file's packets up to the last one.
        corrections: First packet and offset of each.
    """

    offset: float = 0.0
    previous: float = 0.0
    last: float = 0.0
    end: float = 0.0
    packets: int = 0
    timed: bool = False
    untimed: int = 0
    seen: int = 0
    corrections: list[tuple[int, float]] = field(default_factory=list)

    def correct(self, offset: float) -> None:
        """Set the offset from the next packet on."""
        self.previous, self.offset = self.offset, offset
        self.corrections.append((self.packets - self.untimed, offset))

    @property
    def jumped(self) -> bool:
        """Whether its clock has jumped lately."""
        return bool(self.corrections) and self.packets - self.corrections[-1][0] <= RECENT

    def delay(self, seconds: float) -> None:
        """Move the current correction, with what came after it."""
        self.offset += seconds
        self.last += seconds
        self.end += seconds
        self.corrections[-1] = self.corrections[-1][0], self.offset


class Clock:
    """Reads the decoding times of a file's packets in file order, and finds the corrections."""

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}
        self._packets = 0

    def add(self, stream: int, time: float | None, duration: float) -> float:
        """Add the next packet of the file.

        Args:
            stream: Index of its stream.
            time: Its stated decoding time in seconds; None if it states none.
            duration: Its stated duration in seconds; 0.0 if unknown.

        Returns:
            Seconds to add to its times, as known so far: a later jump of another stream may add up to `JOINED`.
        """
        own = self._streams.setdefault(stream, _Stream())
        self._packets += 1
        if time is None:
            own.packets += 1
            own.untimed += 1
            return own.offset
        if not own.timed or not own.last - BACK <= time + own.offset <= own.end + GAP:
            offset = self._offset(own, time)
            if offset != own.offset:
                own.correct(offset)
        own.last = time + own.offset
        duration = min(duration, GAP)  # MP4 states a gap as the duration of the packet before it
        own.end = max(own.last + duration, own.end) if own.timed else own.last + duration
        own.packets += 1
        own.timed, own.untimed = True, 0
        own.seen = self._packets
        return own.offset

    def corrections(self) -> list[Correction]:
        """The corrections, by stream, then packet."""
        return [
            Correction(index, packet, round(offset, 6))
            for index, own in sorted(self._streams.items())
            for packet, offset in own.corrections
        ]

    def _offset(self, own: _Stream, time: float) -> float:
        """The offset of a stream's next packet, which is its first or leaves the order of its times."""
        stated = time + own.offset
        other = self._beside(own, stated)
        if not own.timed:
            return other.offset if other else 0.0
        if other is None:
            if abs(time + own.previous - own.end) <= JOINED:  # back from a single wrong time
                return own.previous
            return own.offset if own.end < stated <= own.end + LONE_GAP else own.end - time
        if other.jumped and abs(late := time + other.offset - own.end) <= JOINED:
            return self._joined(other, late)
        real = own.last <= stated and abs(stated - other.last) < abs(own.end - other.last)
        return own.offset if real else own.end - time

    def _joined(self, other: _Stream, late: float) -> float:
        """The offset of the other stream, which has just jumped, so that neither stream overlaps its own past."""
        if late < 0:
            other.delay(-late)
        return other.offset

    def _beside(self, own: _Stream, stated: float) -> _Stream | None:
        """The other stream with the latest packet in the file; None if that is long ago, or tells of another time."""
        others = [one for one in self._streams.values() if one is not own and one.timed]
        latest = max(others, key=lambda one: one.seen, default=None)
        if latest is None or self._packets - latest.seen > RECENT:
            return None
        near = not own.timed or min(abs(time - latest.last) for time in (own.end, stated)) <= GAP
        return latest if near else None
