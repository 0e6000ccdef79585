"""The words of a subtitle track's cues, with times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import pairwise

from stages.media.subtitles.encoding import decoded
from stages.media.subtitles.formats import MARK, Shown, shown
from stages.media.words import TimedWord

MAX_CUE_CHARACTERS = 10_000
"""A longer cue is left out: it does not fit a screen (our choice)."""

MAX_ROLLED_WORDS = 60
"""Most words of the previous cue that a rolling cue repeats: four long lines (our choice)."""

MAX_ROLLING_PAUSE = 0.5
"""Seconds between two cues from which the second does not roll on from the first (our choice)."""

NOT_SAID = re.compile(
    r"[\[【][^\[\]【】]*[\]】]:?"  # [Music], 【拍手】
    r"|(?<!\S)\*[^\s*][^*\n]*\*(?!\S)"  # *laughs*
    r"|(?<!\S)\#(?!\S)"  # a note, on British television
    r"|[♩♪♫♬]"
)

INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
"""Soft hyphens, marks of direction, spaces without width; not U+200C and U+200D, which are spelling, as in Persian."""

BRACKET_PAIRS = (("[", "]"), ("【", "】"), ("(", ")"), ("（", "）"))

SPEAKER = re.compile(
    r"^[ \t]*(?:(?:[-–—](?!\d)|>{2,})[ \t]*)*(?:[A-ZÀ-ÖØ-Þ][A-ZÀ-ÖØ-Þ0-9 .'’-]{1,30}(?:\([^()]*\))?:(?=\s))?",
    re.MULTILINE,
)
"""Speaker marks at the start of a line: a dash, ``>>``, or a name in capitals and a colon."""

SPEAKER_WITHIN = re.compile(r"(?<=[.!?…])[ \t]+[-–—][ \t]*(?=[^\W\d])")
"""The dash of a second speaker on the line of the first."""

UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Japanese and Chinese
)
PIECE = re.compile(rf" ?(?:[{UNSPACED}]|[^\s{UNSPACED}]+)")

BRACKETS = re.compile(rf"(?<![^\s{UNSPACED}\x03])[(（][^()（）]*[)）][^\w\s\x02]*")
NAME = re.compile(r"^[ \t]*[A-Z][\w.'’-]{0,30}(?: [A-Z][\w.'’-]{0,30}){0,2}:(?=\s)", re.MULTILINE)
SENTENCE_END = re.compile(
    rf"(?<!\b[A-Z])(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bvs)[.!?…][\"'”’»)\]]*(?=(?:{MARK.pattern})?\s)|[。！？｡][”’」』）]*"
)
SEPARATOR = re.compile(r"(?<=\s)[/|](?=\s)|\t")
SPACE_BEFORE_MARK = re.compile(rf"(?<!\s)(\s+)({MARK.pattern})")
MARK_INSIDE = re.compile(rf"(?<=[^\s{UNSPACED}\x03]){MARK.pattern}(?=[^\s{UNSPACED}\x02])")


@dataclass(frozen=True)
class CueWord(TimedWord):
    """A word of a cue.

    Attributes:
        line: Number of the line of the cue that it stands in. Sentences, text in brackets and a speaker's name count as
            lines of their own: the parts of a cue of which one may be spoken and another not.
    """

    line: int = 0


Cue = list[CueWord]
"""The words of a cue in their order; no recognizer has confirmed them, so their probability is 0.0."""


@dataclass(frozen=True)
class _Part:
    """The words of a cue, each with its line, that share a stated start in seconds."""

    start: float
    words: list[tuple[str, int]]


@dataclass(frozen=True)
class _Parted:
    """A cue in parts; start and end in seconds."""

    start: float
    end: float
    parts: list[_Part]

    @property
    def words(self) -> list[str]:
        return [word.strip() for part in self.parts for word, _ in part.words]


def cues(content: bytes, heard: AbstractSet[str] = frozenset()) -> list[Cue]:
    """Parse a track, in time order; unreadable cues are skipped.

    Sound descriptions in square brackets, speakers' names in capitals, markup, doubled layers and the repetitions of
    rolling captions are removed. A word has the time stated in its cue; words without one are spread evenly over their
    common time.

    Args:
        content: Of the file.
        heard: Recognized words in lower case, which tell the encoding of a track that is not Unicode.

    Returns:
        Cues with words; an empty list if the content is not a subtitle track.
    """
    read = [cue for cue in shown(decoded(content, heard)) if len(cue.text) <= MAX_CUE_CHARACTERS]
    found = map(_parted, _closed(read))
    ordered = sorted((cue for cue in found if cue.words), key=lambda cue: cue.start)
    return [cue for cue in map(_spread, _unrolled(_single(ordered))) if cue]


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


def _closed(found: Sequence[Shown]) -> list[Shown]:
    """The cues; brackets that the next cue closes are closed in the one and opened in the other."""
    texts = [cue.text for cue in found]
    for number in range(1, len(texts)):
        for opening, closing in BRACKET_PAIRS:
            opened = texts[number - 1].rpartition(opening)
            closes = texts[number].partition(closing)
            if opened[1] and closing not in opened[2] and closes[1] and opening not in closes[0]:
                texts[number - 1] += closing
                texts[number] = opening + texts[number]
    return [replace(cue, text=text) for cue, text in zip(found, texts, strict=True)]


def _parted(cue: Shown) -> _Parted:
    """The words of a cue's text, split at the times between them, which are clamped to the cue."""
    text = SPEAKER_WITHIN.sub("\n", SPEAKER.sub("", NOT_SAID.sub(" ", INVISIBLE.sub("", cue.text))))
    text = SPACE_BEFORE_MARK.sub(r"\2\1", text)
    text = MARK_INSIDE.sub("", text)
    parts = [_Part(cue.start, [])]
    for number, line in enumerate(_lines(text)):
        first, *rest = MARK.split(line)
        ahead = True
        for stamp, piece in [("", first), *zip(rest[::2], rest[1::2], strict=True)]:
            if stamp:
                parts.append(_Part(min(max(parts[-1].start, int(stamp) / 1000), cue.end), []))
            if ahead and piece.strip():
                piece = piece.lstrip()  # noqa: PLW2901
                piece, ahead = piece if is_unspaced(piece[:2]) else f" {piece}", False  # noqa: PLW2901
            parts[-1].words.extend((word, number) for word in split_words(piece))
    return _Parted(cue.start, cue.end, parts)


def _lines(text: str) -> Iterator[str]:
    """The lines of a text, as `CueWord.line` counts them."""
    text = BRACKETS.sub(lambda found: f"\n{' '.join(found[0].split())}\n", text)
    text = NAME.sub(r"\g<0>" + "\n", text)
    for line in SEPARATOR.sub("\n", text).split("\n"):
        if line.rstrip().endswith(":"):
            yield line
        else:
            yield from SENTENCE_END.sub(lambda found: f"{found[0]}\n", line).split("\n")


def _single(found: Iterable[_Parted]) -> list[_Parted]:
    """The cues without those of the same words that overlap: layers of one text, for a glow or karaoke.

    Of two, the one with more times is kept.
    """
    kept: dict[int, _Parted] = {}
    last: dict[tuple[str, ...], int] = {}
    for number, cue in enumerate(found):
        words = tuple(cue.words)
        before = last.get(words)
        if before is not None and cue.start < kept[before].end:
            kept[before] = max(kept[before], cue, key=lambda one: len(one.parts))
            continue
        kept[number] = cue
        last[words] = number
    return list(kept.values())


def _unrolled(found: Sequence[_Parted]) -> list[_Parted]:
    """Remove the words that cues repeat from the previous one, if most cues do.

    Roll-up captions keep the last line on the screen while the next one fills, and write both into each cue. In other
    tracks a repetition was spoken: after a pause, or of nothing but whole cues.
    """
    repeated = [
        _repeated(before.words, cue.words) if cue.start < before.end + MAX_ROLLING_PAUSE else 0
        for before, cue in pairwise(found)
    ]
    adds = any(0 < count < len(cue.words) for count, cue in zip(repeated, found[1:], strict=True))
    if not adds or sum(count > 0 for count in repeated) * 2 <= len(repeated):
        return list(found)
    return [*found[:1], *(_without(cue, count) for cue, count in zip(found[1:], repeated, strict=True))]


def _repeated(before: Sequence[str], words: Sequence[str]) -> int:
    """Number of words at the start of a cue that end the previous cue."""
    longest = min(len(before), len(words), MAX_ROLLED_WORDS)
    return next((count for count in range(longest, 0, -1) if before[-count:] == words[:count]), 0)


def _without(cue: _Parted, count: int) -> _Parted:
    """The cue without its first words."""
    parts = []
    for part in cue.parts:
        parts.append(_Part(part.start, part.words[count:]))
        count = max(0, count - len(part.words))
    return _Parted(cue.start, cue.end, parts)


def _spread(cue: _Parted) -> Cue:
    """The cue's words, spread evenly within each part until the next part starts."""
    spread = []
    ends = [part.start for part in cue.parts[1:]] + [cue.end]
    for part, end in zip(cue.parts, ends, strict=True):
        count = len(part.words)
        # One list of bounds: a word ends exactly where the next one starts.
        bounds = [min(end, part.start + (end - part.start) * number / max(1, count)) for number in range(count + 1)]
        words = zip(pairwise(bounds), part.words, strict=True)
        spread += [CueWord(*times, word, 0.0, line) for times, (word, line) in words]
    return spread
