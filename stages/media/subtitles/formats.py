"""The formats of subtitle tracks: WebVTT, SubRip, SBV, SubStation Alpha, TTML, and YouTube's json3 and srv1 to 3.

Libraries for them (webvtt-py 0.6, pysubs2 1.8) give up a track for one malformed time, drop the times of words, or read
no frames and ticks; so each is read here, line by line or element by element, and what is malformed costs itself alone.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

MAX_DEPTH = 20
"""Most nested elements of TTML that are read: body, div, p and span are four (our choice)."""

LATEST = 10_000 * 3600.0
"""Seconds from which a time is malformed: SubRip's hours have up to four digits (our choice)."""

WORD_SECONDS = 0.3
"""Assumed seconds of a word in a cue that ends before it starts (our choice)."""

MARK = re.compile("\x02(-?[0-9]+)\x03")
"""The time of the text after it, in milliseconds, as `at` writes it."""

_STAMP = r"(-?(?:-?\d{1,4}\s?:\s?)?-?\d{1,2}\s?:\s?-?\d{1,2}(?:\s?[.,]\s?\d{1,9})?)"
STAMP = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9}))?")
TIMES = re.compile(rf"\s*{_STAMP}\s*(?:-{{1,3}}>|[–—]>?|→)\s*{_STAMP}(?=\s|$)")
TIMES_SBV = re.compile(r"(\d{1,2}:\d{2}:\d{2}\.\d{1,3}),(\d{1,2}:\d{2}:\d{2}\.\d{1,3})\s*$")
WORD_TIME = re.compile(r"<((?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3})>")

MARKUP = re.compile(r"<rt>[^<]*</rt>|</?[A-Za-z][^<>]*>")
"""Tags of WebVTT and SubRip, and ruby readings of Japanese characters."""

BREAK = re.compile(r"<br\s*/?>|\\n", re.IGNORECASE)
"""Line breaks of HTML and SubStation Alpha, which SubRip and WebVTT have too."""

ENDLESS_REFERENCE = re.compile(r"&#[0-9]{100,};?")
"""A reference to no character, of more digits than Python converts; 100 are far more than Unicode's seven."""

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters but tabs and line ends: they are never said, and XML must not contain them."""

OVERRIDE = re.compile(r"\{((?:[^{}]|\{[^{}]*\})*)\}")
"""Override codes of SubStation Alpha, and comments of those who wrote the track, which may have codes inside."""

DRAWING = re.compile(r"\\p(\d)")
KARAOKE = re.compile(r"\\[kK][fo]?\s*(\d{1,5})")
ASS_FIELDS = ("layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text")

CLOCK_TIME = re.compile(r"(\d{1,4}):(\d{2}):(\d{2})(?:(\.\d+)|:(\d{1,4})(?:\.\d+)?)?")
OFFSET_TIME = re.compile(r"(\d{1,15}(?:\.\d+)?)(h|ms|m|s|f|t)")


@dataclass(frozen=True)
class Shown:
    """A cue as it is shown; times in seconds, below 0 where the track says so.

    Attributes:
        start: When it appears.
        end: When it goes, after `start`.
        text: Its lines, without markup; before words with a time of their own stands a `MARK`.
    """

    start: float
    end: float
    text: str


def shown(text: str) -> Iterator[Shown]:
    """The cues of a track in the order of the file; none if the text is no subtitle track."""
    text = CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).lstrip("\ufeff \t\n")
    for start, end, line in _reader(text)(text):
        if line.strip() and max(abs(start), abs(end)) < LATEST:
            yield Shown(start, end if end > start else start + WORD_SECONDS * len(line.split()), line)


def at(seconds: float) -> str:
    """The `MARK` of a time."""
    return f"\x02{round(seconds * 1000)}\x03"


Cues = Iterator[tuple[float, float, str]]
"""Start, end and text of each cue."""


def _reader(text: str) -> Callable[[str], Cues]:
    if text.startswith("{"):
        return _json3
    if text.startswith("<") and not TIMES.match(text):
        return _xml
    if re.search(r"^(?:\[Script Info\]|Dialogue:)", text, re.MULTILINE | re.IGNORECASE):
        return _substation
    return _lines


def _lines(text: str) -> Cues:
    """WebVTT, SubRip and SBV: a line with two times, and the lines after it.

    In WebVTT a blank line ends a cue. In the others, blank lines within a cue occur, and the blank line after it may be
    missing: it ends at the next line with times.
    """
    ends_at_blank = text.startswith("WEBVTT")
    times: tuple[float, float] | None = None
    said: list[str] = []
    inside = False
    for line in text.split("\n"):
        found = TIMES.match(line) or TIMES_SBV.match(line)
        if found or "-->" in line:
            if times:
                yield *times, _line_text(_without_name(said) if inside else said)
            times = _both(*found.groups()) if found else None
            said, inside = [], True
        elif ends_at_blank and not line:
            inside = False
        elif inside:
            said.append(line)
    if times:
        yield *times, _line_text(said)


def _without_name(said: list[str]) -> list[str]:
    """The lines before one with times, without the number or name of the cue that begins there."""
    if not said:
        return said
    after_blank = len(said) > 1 and not said[-2].strip() and bool(said[-1].strip())
    return said[:-1] if said[-1].strip().isdecimal() or after_blank else said


def _both(first: str, second: str) -> tuple[float, float] | None:
    start, end = seconds_of(first), seconds_of(second)
    return None if start is None or end is None else (start, end)


def seconds_of(stamp: str) -> float | None:
    """A time of WebVTT, SubRip, SBV or SubStation Alpha in seconds; None if it is malformed.

    Some files omit hours or milliseconds, write a comma, or a minus before any of the numbers.
    """
    found = STAMP.fullmatch(re.sub(r"[\s-]", "", stamp))
    if not found:
        return None
    hours, minutes, seconds, fraction = found.groups(default="0")
    if int(minutes) > 59 or int(seconds) > 59:  # noqa: PLR2004 - of a clock
        return None
    value = int(hours) * 3600 + int(minutes) * 60 + int(f"{seconds}{fraction[:3]:0<3}") / 1000
    return -value if "-" in stamp else value


def _line_text(lines: list[str]) -> str:
    text = WORD_TIME.sub(lambda stamp: at(time) if (time := seconds_of(stamp[1])) is not None else "", "\n".join(lines))
    text = MARKUP.sub("", OVERRIDE.sub("", BREAK.sub("\n", text)))
    return _unescaped(text).replace("\xa0", " ")


def _unescaped(text: str) -> str:
    return html.unescape(ENDLESS_REFERENCE.sub("\ufffd", text))


def _substation(text: str) -> Cues:
    """SubStation Alpha: lines of fields. Comments and drawings are left out; syllables of karaoke have times."""
    fields: tuple[str, ...] = ASS_FIELDS
    for line in text.split("\n"):
        kind, _, values = line.partition(":")
        if kind.strip().lower() == "format" and "text" in values.lower():
            fields = tuple(name.strip().lower() for name in values.split(","))
        elif kind.strip().lower() == "dialogue":
            event = dict(zip(fields, values.split(",", len(fields) - 1), strict=False))
            times = _both(event.get("start", "").strip(), event.get("end", "").strip())
            if times:
                yield *times, _without_overrides(event.get("text", ""), times[0])


def _without_overrides(text: str, start: float) -> str:
    r"""The text of an event, without drawings (from a ``\p1`` to a ``\p0``).

    A ``\k`` states how long the syllable after it lasts, in hundredths of a second.
    """
    clock = start
    drawing = False
    said = []
    first, *rest = OVERRIDE.split(text)
    for override, piece in zip(["", *rest[::2]], [first, *rest[1::2]], strict=True):
        if scale := DRAWING.findall(override):
            drawing = scale[-1] != "0"
        if lengths := KARAOKE.findall(override):
            said.append(at(clock))
            clock += sum(map(int, lengths)) / 100
        if not drawing:
            said.append(piece)
    return BREAK.sub("\n", "".join(said)).replace(r"\h", " ")


def _json3(text: str) -> Cues:
    """YouTube's json3: events in milliseconds, whose segments have times after the event's start."""
    try:
        events = json.loads(text)["events"]
    except (ValueError, KeyError, RecursionError):
        return
    for event in events if isinstance(events, list) else []:
        try:
            start, segments = _thousandths(event["tStartMs"]), [(piece, piece["utf8"]) for piece in event["segs"]]
        except (KeyError, TypeError):
            continue  # an event that sets a window, or a malformed one
        if start is None:
            continue
        said = []
        for piece, text_said in segments:
            if isinstance(text_said, str):
                offset = _thousandths(piece.get("tOffsetMs"))
                said += [at(start + offset) if offset is not None else "", CONTROL.sub("", text_said)]
        yield start, start + (_thousandths(event.get("dDurationMs")) or 0.0), _characters("".join(said))


def _thousandths(value: object) -> float | None:
    """Milliseconds in seconds; None if the value is no time of a video."""
    try:
        seconds = float(value) / 1000  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if abs(seconds) < LATEST else None


def _characters(text: str) -> str:
    """The text with pairs of surrogates, as JSON may write a character, as one, and without single ones."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")


def _xml(text: str) -> Cues:
    """TTML, and YouTube's srv1 to srv3. Declared entities are refused: their expansion may be endless."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root = fromstring(text)
    except (ParseError, DefusedXmlException):
        return
    kind = _name(root)
    if kind == "tt":
        yield from _Ttml(root).cues(root, 0.0)
    elif kind == "timedtext":
        for cue in root.iter():
            if _name(cue) in ("p", "text"):
                yield from _timed(cue, "t", "d", 1000)
    elif kind == "transcript":
        for cue in root.iter("text"):
            yield from _timed(cue, "start", "dur", 1)


def _timed(cue: Any, start: str, length: str, scale: int) -> Cues:
    """A cue of srv1 to srv3; words of srv3 have times after the cue's start."""
    begin = _number(cue.get(start)) / scale
    said = [cue.text or ""]
    for piece in cue:
        offset = piece.get("t")
        said += [at(begin + _number(offset) / scale) if offset else "", piece.text or "", piece.tail or ""]
    yield begin, begin + _number(cue.get(length)) / scale, _unescaped("".join(said))  # srv1 escapes twice


def _number(text: str | None) -> float:
    return float(text) if text and re.fullmatch(r"\d{1,12}(?:\.\d+)?", text) else 0.0


def _name(element: Any) -> str:
    """The element's or attribute's name without its namespace."""
    return str(getattr(element, "tag", element)).rpartition("}")[2].lower()


class _Ttml:
    """The clock of a TTML document, and its cues. Times of an element count from the start of the one around it."""

    def __init__(self, root: Any) -> None:
        stated = {_name(key): value for key, value in root.attrib.items()}
        rate = Fraction(int(_number(stated.get("framerate"))) or 30)  # TTML1's default
        numbers = [int(part) for part in re.findall(r"\d{1,9}", stated.get("frameratemultiplier", ""))]
        if len(numbers) == 2 and all(numbers):  # noqa: PLR2004 - numerator and denominator
            rate *= Fraction(*numbers)
        ticks = _number(stated.get("tickrate")) or (float(rate) if "framerate" in stated else 1.0)
        self._frame = float(1 / rate)
        self._units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "f": self._frame, "t": 1 / ticks}

    def cues(self, element: Any, start: float, depth: int = 0) -> Cues:
        """The cues inside an element, which starts at `start`."""
        begin, end = self._span(element, start)
        if _name(element) == "p":
            yield begin, end, "".join(self._said(element, begin)).strip()
        elif depth < MAX_DEPTH:
            for inner in element:
                yield from self.cues(inner, begin, depth + 1)

    def _span(self, element: Any, start: float) -> tuple[float, float]:
        begin = start + (self._seconds(element.get("begin")) or 0.0)
        end, length = self._seconds(element.get("end")), self._seconds(element.get("dur"))
        if end is not None:
            return begin, start + end
        return begin, begin + (length or 0.0)

    def _said(self, element: Any, start: float, depth: int = 0) -> Iterator[str]:
        yield " ".join((element.text or "").split("\n"))
        for inner in element if depth < MAX_DEPTH else ():
            kind = _name(inner)
            if kind == "br":
                yield "\n"
            elif kind == "span":
                begin = start + (self._seconds(inner.get("begin")) or 0.0)
                if inner.get("begin"):
                    yield at(begin)
                yield from self._said(inner, begin, depth + 1)
            yield " ".join((inner.tail or "").split("\n"))

    def _seconds(self, time: str | None) -> float | None:
        """A time expression in seconds; None if there is none or it is malformed."""
        if clock := CLOCK_TIME.fullmatch((time or "").strip()):
            hours, minutes, seconds, fraction, frames = clock.groups(default="0")
            whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
            return whole + float(fraction) + int(frames) * self._frame
        if offset := OFFSET_TIME.fullmatch((time or "").strip()):
            return float(offset[1]) * self._units[offset[2]]
        return None
