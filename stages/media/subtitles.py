"""Subtitle tracks, WebVTT or SubRip, from a file or embedded in the media: the words of their cues with times."""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from schemas.rows import MediaRow
from stages.media import ffmpeg
from stages.media.sandbox import ChildFailed, Limits, child
from stages.media.source import NAME_DIGITS, MediaMissing, reading
from stages.media.words import TimedWord

Cue = list[TimedWord]
"""The words of a cue in their order; no recognizer has confirmed them, so their probability is 0.0."""

MAX_BYTES = 8 * 2**20
"""Bytes of a track. YouTube's captions with word times have about 130 a second: 2 MB for four hours (our choice)."""

MAX_CUE_CHARACTERS = 10_000
"""A longer cue is left out: it does not fit a screen (our choice)."""

MAX_ROLLED_WORDS = 60
"""Most words of the previous cue that a rolling cue repeats: four long lines (our choice)."""

STAMP = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9}))?")
WORD_TIME = re.compile(r"<((?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3})>")
SPACE_BEFORE_TIME = re.compile(r" (<[\d:.,]+>)")

MARKUP = re.compile(r"<rt>[^<]*</rt>|</?[A-Za-z][^<>]*>|\{\\[^{}]*\}")
"""Tags of WebVTT and SubRip, ruby readings of Japanese characters, and override codes of SubStation Alpha."""

NOT_SAID = re.compile(
    r"[\[【][^\[\]【】]*[\]】]:?"  # [Music], 【拍手】
    r"|^[ \t]*[(（][^()（）]*[)）][ \t]*$"  # (applause), alone on its line: other brackets may be read aloud
    r"|[♩♪♫♬]"
    r"|[\u00ad\u200b\u200e\u200f\u2060\ufeff]",  # invisible
    re.MULTILINE,
)

SPEAKER = re.compile(
    r"^[ \t]*(?:(?:[-–—](?!\d)|(?:>|&gt;){2,})[ \t]*)*(?:[A-ZÀ-ÖØ-Þ][A-ZÀ-ÖØ-Þ0-9 .'’-]{1,30}:(?=\s))?", re.MULTILINE
)
"""Speaker marks at the start of a line: a dash, ``>>``, or a name in capitals and a colon."""

UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Japanese and Chinese
)
PIECE = re.compile(rf" ?(?:[{UNSPACED}]|[^\s{UNSPACED}]+)")


@dataclass(frozen=True)
class _Part:
    """The words of a cue that share a stated start, in seconds."""

    start: float
    words: list[str]


@dataclass(frozen=True)
class _Shown:
    """A cue as shown on screen; start and end in seconds."""

    start: float
    end: float
    parts: list[_Part]

    @property
    def words(self) -> list[str]:
        return [word.strip() for part in self.parts for word in part.words]


def cues(content: bytes) -> list[Cue]:
    """Parse a track of either format, in time order; unreadable cues are skipped.

    Sound descriptions, speakers' names, markup and the repetitions of rolling captions are removed. A word has the time
    stated in its cue; words without one are spread evenly over their common time.

    Returns:
        Cues with words; an empty list if the content is not a subtitle track.
    """
    shown = [cue for cue in _shown(_text(content)) if cue.words]
    shown.sort(key=lambda cue: cue.start)
    spread = [_spread(cue) for cue in _unrolled(shown)]
    return [cue for cue in spread if cue]


def tracks(media: MediaRow, folder: Path, limits: Limits) -> Iterator[list[Cue]]:
    """The cues of a video's subtitle tracks: the manifest's first, then the file's own in their order.

    Args:
        media: The video's row from `download`.
        folder: Folder of all media.
        limits: Bounds of the child that extracts a track from the file.

    Yields:
        The cues of each track; an empty list for an unreadable one.

    Raises:
        VideoFailed: As `reading` does.
        MediaMissing: The manifest's track or the media file is missing or damaged.
    """
    if media.subtitles:
        yield cues(_kept(media.video, folder / media.subtitles))
    for track in media.subtitle_tracks:
        try:
            with reading(folder, media) as file:
                content = embedded(file, track, limits)
        except ChildFailed:
            content = b""
        yield cues(content)


def _kept(video: str, file: Path) -> bytes:
    """The content of a track in the media folder, checked against the hash in its name."""
    try:
        content = file.read_bytes()
    except FileNotFoundError as gone:
        raise MediaMissing(video, file) from gone
    if not file.stem.endswith(hashlib.sha256(content).hexdigest()[:NAME_DIGITS]):
        raise MediaMissing(video, file)
    return content


def embedded(media: Path, track: int, limits: Limits) -> bytes:
    """A text track of a media file as WebVTT, on the clock of its frames and audio.

    Args:
        media: The file.
        track: Number among its subtitle tracks, from 0.
        limits: Bounds of the child that reads it.

    Raises:
        ChildFailed: ffmpeg cannot read it, or it exceeds `MAX_BYTES`.
    """
    output = ffmpeg.source(media)[f"s:{track}"].output("pipe:", f="webvtt")
    with child(ffmpeg.command(output), limits) as text:
        return text.read(MAX_BYTES)


def split_words(text: str) -> list[str]:
    """Words in a recognizer's form: with the space before them, or single characters in scripts without spaces.

    Separate punctuation is joined to the word before it.
    """
    words: list[str] = []
    ahead = ""
    for piece in PIECE.findall(re.sub(r"\s+", " ", text).rstrip()):
        if re.search(r"\w", piece):
            words.append(ahead + piece)
            ahead = ""
        elif words:
            words[-1] += piece
        else:
            ahead += piece
    return words


def is_unspaced(text: str) -> bool:
    """Whether a text contains characters of a script without spaces."""
    return re.search(f"[{UNSPACED}]", text) is not None


def _text(content: bytes) -> str:
    """The file's text; content that is not Unicode is decoded as Western European (our choice)."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _shown(text: str) -> Iterator[_Shown]:
    import webvtt

    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    text = "\n".join(STAMP.sub(_full_stamp, line) if "-->" in line else line for line in lines).lstrip()
    subrip = text[:1].isdigit() and "-->" not in text.partition("\n")[0]
    if not subrip and not text.startswith("WEBVTT"):
        text = f"WEBVTT\n\n{text}"
    try:
        captions = webvtt.from_buffer(io.StringIO(text), format="srt" if subrip else "vtt").captions
    except (webvtt.errors.MalformedFileError, webvtt.errors.MalformedCaptionError):
        return
    for caption in captions:
        start, end = _seconds(caption.start), _seconds(caption.end)
        if end > start and len(caption.raw_text) <= MAX_CUE_CHARACTERS:
            yield _Shown(start, end, _parts(caption.raw_text, start, end))


def _full_stamp(stamp: re.Match[str]) -> str:
    """A time in WebVTT's form: some files omit hours or milliseconds, or write a comma."""
    hours, minutes, seconds, fraction = stamp.groups(default="0")
    return f"{int(hours):02}:{int(minutes):02}:{int(seconds):02}.{fraction[:3]:0<3}"


def _seconds(stamp: str) -> float:
    """A time stamp of the formats in seconds."""
    found = STAMP.fullmatch(stamp)
    hours, minutes, seconds, fraction = found.groups(default="0") if found else ("0", "0", "0", "0")
    return int(hours) * 3600 + int(minutes) * 60 + int(f"{seconds}{fraction[:3]:0<3}") / 1000


def _parts(text: str, start: float, end: float) -> list[_Part]:
    """The words of a cue's text, split at the times between them, which are clamped to the cue."""
    text = " ".join(SPEAKER.sub("", NOT_SAID.sub(" ", MARKUP.sub("", text))).split())
    first, *rest = WORD_TIME.split(SPACE_BEFORE_TIME.sub(r"\1 ", text))
    space = "" if is_unspaced(first[:2]) else " "
    parts = [_Part(start, split_words(space + html.unescape(first)))]
    for stamp, piece in zip(rest[::2], rest[1::2], strict=True):
        time = min(max(parts[-1].start, _seconds(stamp)), end)
        parts.append(_Part(time, split_words(html.unescape(piece))))
    return parts


def _unrolled(shown: Sequence[_Shown]) -> list[_Shown]:
    """Remove the words that cues repeat from the previous one, if most cues do.

    Roll-up captions keep the last line on the screen while the next one fills, and write both into each cue. In other
    tracks a repetition was spoken.
    """
    repeated = [_repeated(before.words, cue.words) for before, cue in pairwise(shown)]
    if sum(count > 0 for count in repeated) * 2 <= len(repeated):
        return list(shown)
    return [*shown[:1], *(_without(cue, count) for cue, count in zip(shown[1:], repeated, strict=True))]


def _repeated(before: Sequence[str], words: Sequence[str]) -> int:
    """Number of words at the start of a cue that end the previous cue."""
    longest = min(len(before), len(words), MAX_ROLLED_WORDS)
    return next((count for count in range(longest, 0, -1) if before[-count:] == words[:count]), 0)


def _without(cue: _Shown, count: int) -> _Shown:
    """The cue without its first words."""
    parts = []
    for part in cue.parts:
        parts.append(_Part(part.start, part.words[count:]))
        count = max(0, count - len(part.words))
    return _Shown(cue.start, cue.end, parts)


def _spread(cue: _Shown) -> Cue:
    """The cue's words, spread evenly within each part until the next part starts."""
    spread = []
    ends = [part.start for part in cue.parts[1:]] + [cue.end]
    for part, end in zip(cue.parts, ends, strict=True):
        count = len(part.words)
        # One list of bounds: a word ends exactly where the next one starts.
        bounds = [min(end, part.start + (end - part.start) * number / max(1, count)) for number in range(count + 1)]
        spread += [TimedWord(*times, word, 0.0) for times, word in zip(pairwise(bounds), part.words, strict=True)]
    return spread
