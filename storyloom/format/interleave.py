"""Where frames stand among the words that were said: before whole sentences, at the word, or interval by interval.

One rule for the readers and the exports. The words and their order are the same in all modes. All times are the
clock's: a sentence that the aligner gave to a frame at another time is not moved.

- ``sentence``: the document as it is.
- ``word``: a frame stands before the word during which it appears. Between two words it stands before the next one, by
  the rule that the format has for sentences (`storyloom.format.sample.frames_first`). Emu3.5 orders frames and words by
  their times, too (arXiv 2510.26583).
- ``stream``: the time from the document's start is cut into intervals of 1/fps seconds. The frames of an interval
  stand before the words that end in it, so that no word stands before a frame of an interval in which it was not
  over; where no word ends in an interval with a frame, `SILENCE` follows its frames. LiveCC's loader gives out words by
  their ends, too (`get_phrase_before_timestamp` in data/lmm_dataset.py of github.com/showlab/livecc).

So in mode ``word`` a frame is moved by less than the word during which it appears: it stands at its time or at that
word's start. In mode ``stream`` frames, and the ends of the words that follow them, lie at most half of 1/fps from the
middle of their interval.

A sentence in which a frame stands is split there. Its parts have the times of their own words. Their texts, with the
spaces between them, are the sentence's. A sentence without word times stays whole.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, get_args

from storyloom.errors import UsageError
from storyloom.format.texts import Texts

if TYPE_CHECKING:
    from storyloom.format.sample import TimedWord

Mode = Literal["sentence", "word", "stream"]

STREAM_FPS = (1.0, 2.0)
"""Intervals a second: LiveCC's and StreamingVLM's turns are a second long, their frames half a second."""

SILENCE = "..."
"""Stands for an interval in which no word ends, as in LiveCC."""

SILENT = "silence"
"""Source of a text that is `SILENCE`."""

OPENING = re.compile(r"(?<=\s)\S*$")
"""What stands before a word without a space, such as a bracket."""

REACH = 16
"""Characters of a text that may stand before a word of it and belong to no word, such as brackets (our choice)."""


class Interleaving(NamedTuple):
    """A mode, and for ``stream`` its intervals a second."""

    mode: Mode = "sentence"
    fps: float = 1.0

    def __str__(self) -> str:
        return f"stream at {self.fps:g} fps" if self.mode == "stream" else self.mode


AS_STORED = Interleaving()
"""Frames where the shards have them."""


class Said(NamedTuple):
    """A text of a document, with its times in seconds; `words` is empty without word times."""

    text: str
    start: float
    end: float
    words: Sequence[TimedWord] = ()


class Part(NamedTuple):
    """A text, or a part of one.

    Attributes:
        number: Of the text in the document as it is; -1 for `SILENCE`.
        text: What stands there.
        start: Seconds, of its first word.
        end: Seconds, of its last word.
        words: Its words; empty without word times.
        whole: Whether it is the whole text.
    """

    number: int
    text: str
    start: float
    end: float
    words: Sequence[TimedWord]
    whole: bool


class CountsWords(Protocol):
    """The counts of a shard that say whether it has word times."""

    @property
    def timed_words(self) -> int:
        """Words with times."""


def check_mode(mode: str, fps: float) -> Interleaving:
    """A mode and its intervals a second.

    Raises:
        UsageError: There is no such mode, or none at so many intervals.
    """
    if mode not in get_args(Mode):
        raise UsageError(f"interleave is {mode!r}, but must be one of {', '.join(get_args(Mode))}")
    if fps not in STREAM_FPS:
        raise UsageError(f"fps is {fps:g}, but must be {' or '.join(f'{one:g}' for one in STREAM_FPS)}")
    return Interleaving(mode, fps)  # type: ignore[arg-type]  # one of them


def check_interleaving(
    mode: str, fps: float, texts: Texts, shards: Iterable[CountsWords], address: str
) -> Interleaving:
    """A mode that a dataset can be read in.

    Raises:
        UsageError: There is no such mode, the dataset has no word times, or the texts are not what was said.
    """
    found = check_mode(mode, fps)
    if found.mode == "sentence":
        return found
    if texts != "text":
        raise UsageError(f"interleave {mode} is about words that were said: it needs texts 'text', not {texts!r}")
    if not any(shard.timed_words for shard in shards):
        raise UsageError(f"{address} has no word times, which interleave {mode} needs: make it with write.words: true")
    return found


def interleaved(
    how: Interleaving,
    is_image: Sequence[bool],
    image_times: Sequence[float],
    said: Sequence[Said],
    span: tuple[float, float],
) -> list[int | Part]:
    """The positions of a document in a mode: an image by its number, or a part of a text.

    Args:
        how: The mode.
        is_image: Of each position of the document as it is.
        image_times: Seconds, in time order.
        said: The texts, in their order.
        span: Seconds, start and end of the document.
    """
    if how.mode == "sentence":
        images, numbers = iter(range(len(image_times))), iter(range(len(said)))
        return [next(images) if image else _whole_text(said, next(numbers)) for image in is_image]
    units = [(number, word) for number, one in enumerate(said) for word in range(len(one.words) or 1)]
    times = [(word.start, word.end) for one in said for word in one.words or (one,)]
    ends = [*units, (len(said), 0)]
    if how.mode == "word":
        stands = _before_words(image_times, times)
        inserted: list[tuple[int, int | Part]] = list(zip(stands, range(len(image_times)), strict=True))
    else:
        inserted = list(_by_intervals(how.fps, image_times, [end for _, end in times], span))
    places = _splittable(said, [ends[stand] for stand, _ in inserted], nearest=how.mode == "word")
    return list(_merged(said, list(zip(places, (item for _, item in inserted), strict=True))))


def part_numbers(items: Sequence[int | Part], image_times: Sequence[float], text_of: Sequence[int]) -> list[int]:
    """For each image the number, among the parts, of its own; -1 without one.

    That is the part that it stands before if that is of its text, else the part of its text that is nearest in time.

    Args:
        items: The positions.
        image_times: Seconds.
        text_of: Index of each image's text in the document as it is; -1 without one.
    """
    parts = [item for item in items if isinstance(item, Part)]
    of_text: dict[int, list[int]] = {}
    for number, part in enumerate(parts):
        if part.number >= 0:
            of_text.setdefault(part.number, []).append(number)
    found = [-1] * len(text_of)
    passed = 0
    for item in items:
        if isinstance(item, Part):
            passed += 1
        elif own := of_text.get(text_of[item]):
            time = image_times[item]
            nearest = min(own, key=lambda number: max(parts[number].start - time, time - parts[number].end, 0.0))
            found[item] = passed if passed in own else nearest
    return found


def _before_words(image_times: Sequence[float], words: Sequence[tuple[float, float]]) -> list[int]:
    """How many words stand before each image, by the format's rule for sentences."""
    from storyloom.format.sample import frames_first  # pydantic, for which the command line does not wait

    starts = accumulate((start for start, _ in words), max)  # a text without words may start before those of the last
    order = frames_first(image_times, [(start, end) for start, (_, end) in zip(starts, words, strict=True)])
    passed = accumulate((not image for image in order), initial=0)
    return [count for count, image in zip(passed, order, strict=False) if image]


def _by_intervals(
    fps: float, image_times: Sequence[float], word_ends: Sequence[float], span: tuple[float, float]
) -> Iterator[tuple[int, int | Part]]:
    """Images, and the silences after them, each with how many words stand before it."""
    start, step = _milliseconds(span[0]), round(1000 / fps)
    of_word = list(accumulate((max(0, -((start - _milliseconds(end)) // step) - 1) for end in word_ends), max))
    of_image = [(_milliseconds(time) - start) // step for time in image_times]
    for image, interval in enumerate(of_image):
        stand = bisect_left(of_word, interval)
        yield stand, image
        last = image + 1 == len(of_image) or of_image[image + 1] > interval
        if last and not (stand < len(of_word) and of_word[stand] == interval):
            begin = start + interval * step
            end = min(begin + step, _milliseconds(span[1]))
            yield stand, Part(-1, SILENCE, begin / 1000, end / 1000, (), whole=True)


def _milliseconds(seconds: float) -> int:
    """Milliseconds: times have no finer part, and whole numbers meet the ends of intervals exactly."""
    return round(seconds * 1000)


def _splittable(said: Sequence[Said], places: Sequence[tuple[int, int]], *, nearest: bool) -> list[tuple[int, int]]:
    """Places, each a text and a word before which something stands, moved to where the texts can be split.

    Args:
        said: The texts.
        places: By text and word, in order.
        nearest: To the nearest such word, the earlier of two; else to the last one before.
    """
    able = {number: sorted(_offsets(said[number])) for number in {number for number, word in places if word}}
    moved = [(number, _moved(able[number], word, nearest=nearest) if word else 0) for number, word in places]
    return [(number + 1, 0) if word and word == len(said[number].words) else (number, word) for number, word in moved]


def _moved(able: Sequence[int], word: int, *, nearest: bool) -> int:
    if nearest:
        return min(able, key=lambda one: (abs(one - word), one))
    return able[bisect_right(able, word) - 1]


def _merged(said: Sequence[Said], inserted: Sequence[tuple[tuple[int, int], int | Part]]) -> Iterator[int | Part]:
    """The texts, split where something stands in them, with what stands there."""
    splits: dict[int, set[int]] = {}
    for (number, word), _ in inserted:
        splits.setdefault(number, set()).add(word)
    passed = 0
    for number in range(len(said)):
        for first, part in _parts(said, number, sorted(splits.get(number, set()) - {0})):
            while passed < len(inserted) and inserted[passed][0] <= (number, first):
                yield inserted[passed][1]
                passed += 1
            yield part
    for _, item in inserted[passed:]:
        yield item


def _parts(said: Sequence[Said], number: int, splits: Sequence[int]) -> Iterator[tuple[int, Part]]:
    """The parts of a text that is split before these words, each with the number of its first word."""
    one = said[number]
    if not splits:
        yield 0, _whole_text(said, number)
        return
    offsets = _offsets(one)
    for first, last in pairwise([0, *splits, len(one.words)]):
        words = one.words[first:last]
        text = one.text[offsets[first] : offsets[last]].strip()
        yield first, Part(number, text, words[0].start, max(word.end for word in words), words, whole=False)


def _whole_text(said: Sequence[Said], number: int) -> Part:
    one = said[number]
    return Part(number, one.text, one.start, one.end, one.words, whole=True)


def _offsets(one: Said) -> dict[int, int]:
    """Where a text can be split: the character at which a word begins, by the word's number; and the text's end.

    Words are looked for in the text one after another. One that is not there as it is spelt, nor near where it has to
    be, is no place to split at. What stands between two words and belongs to none stays with the first up to the last
    space, and with the second from there: an opening bracket is not left behind.
    """
    found = {0: 0}
    cursor = unknown = 0
    for number, word in enumerate(one.words):
        place = one.text.find(word.text, cursor, cursor + unknown + len(word.text) + REACH)
        if place < 0:
            unknown += len(word.text) + 1
            continue
        opening = OPENING.search(one.text[cursor:place])
        split = cursor + opening.start() if opening else place
        if number and one.text[max(found.values()) : split].strip():
            found[number] = split
        cursor, unknown = place + len(word.text), 0
    return found | {len(one.words): len(one.text)}
