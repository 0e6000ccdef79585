"""The choice among the streams of a file: what a viewer sees and hears."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stages.media.clock import GAP
from stages.media.scan import Scan

if TYPE_CHECKING:
    from av.stream import Stream

JOINT = 0.5
"""Most seconds by which a stream may begin before the end of the one that it goes on from (our choice)."""

SLOW = 5
"""A picture with this many times fewer packets than another is a still, or slides beside what moves (our choice)."""

STILL_CODECS = frozenset({"mjpeg", "png", "bmp", "gif", "tiff", "webp"})
"""Codecs of cover pictures; a stream with one such picture is not a video."""


def joined(streams: list[Stream], scan: Scan) -> list[list[Stream]]:
    """The streams, each with those that go on where it ends: a programme may change its streams, as for an advert."""
    left = [stream for stream in streams if scan.tracks[stream.index].packets]
    groups = []
    while left:
        group = [left.pop(0)]
        while following := [
            one
            for one in left
            if 0 <= scan.tracks[one.index].first - scan.tracks[group[-1].index].end + JOINT < GAP
            and one.language == group[0].language
        ]:
            group.append(min(following, key=lambda one: scan.tracks[one.index].first))
            left.remove(group[-1])
        groups.append(group)
    return groups


def _rank(stream: Stream, languages: Sequence[str]) -> tuple[bool, bool, bool, int]:
    """The place of a sound, the smallest first.

    Commentary and descriptions for the blind come last; before that counts the language, then the default flag.
    """
    from av.stream import Disposition

    aside = Disposition.comment | Disposition.visual_impaired | Disposition.descriptions | Disposition.karaoke
    foreign = (stream.language or "").lower() not in languages
    return bool(stream.disposition & aside), foreign, not stream.disposition & Disposition.default, stream.index


def preferred_sound(streams: list[Stream], languages: Sequence[str]) -> list[Stream]:
    """The streams in order of preference."""
    return sorted(streams, key=lambda stream: _rank(stream, languages))


def reasons(streams: list[Stream], languages: Sequence[str]) -> Callable[[Stream], str]:
    """What gives a stream its place."""

    def reason(stream: Stream) -> str:
        beside, foreign, optional, _ = _rank(stream, languages)
        if len(streams) == 1:
            return "only"
        return "aside" if beside else "language" if not foreign else "default" if not optional else "order"

    return reason


def preferred_picture(streams: list[Stream], scan: Scan) -> list[Stream]:
    """The moving pictures in order of preference: one that can be decoded, that moves, with the default flag.

    A still is no picture: a single one of a still codec, and of another codec where something else moves.
    """
    from av.stream import Disposition

    most = max((scan.tracks[stream.index].packets for stream in streams), default=0)

    def still(stream: Stream) -> bool:
        return stream.codec_context.codec.canonical_name in STILL_CODECS

    def rank(stream: Stream) -> tuple[bool, bool, bool, int]:
        undecoded = scan.tracks[stream.index].rotation is None
        slow = still(stream) or scan.tracks[stream.index].packets * SLOW < most
        return undecoded, slow, not stream.disposition & Disposition.default, stream.index

    moving = [s for s in streams if scan.tracks[s.index].packets > 1]
    return sorted(moving or [s for s in streams if not still(s) and scan.tracks[s.index].packets], key=rank)
