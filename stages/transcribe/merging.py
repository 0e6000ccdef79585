"""A transcript made of what was heard and of a subtitle track, place by place.

What both have is written as the track has it, at the times at which it was heard. What was heard and the track lacks
stays. What the track has and nobody heard is left out, unless the recognizer was unsure there. So a track of half a
talk adds its half; a translation in every cue, sounds in brackets and cues beyond the end add nothing. The places are
in `stages.transcribe.places`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise, zip_longest

from schemas.rows import Segment, Word
from stages.media.subtitles.cues import Cue
from stages.media.words import TimedWord
from stages.transcribe.agreement import TOLERANCE, HeardWord, ends_sentence, heard_words, plain, written_otherwise
from stages.transcribe.places import Places, Shown, in_video_time
from stages.transcribe.recognizer import DECIMALS
from stages.transcribe.speech_segments import SpeechSegment
from stages.transcribe.subtitle_clock import Clock, estimated
from storyloom.format.model import to_milliseconds

MAX_RATIO = 10
"""A track with more than this many times the recognized words while they were said is not matched (our choice)."""

FEW = 2
"""Words that a track may have more than were heard, or fewer, in a sentence that both have (our choice)."""

MANY = 4
"""Times as many words of that sentence both must have, for the track to have more (our choice)."""

UNSURE = 0.5
"""Probability below which a recognized word is a guess (our choice)."""

SURE = 0.8
"""Probability from which a recognized word is replaced by no other one, only by another writing (our choice)."""

WORD_SPEECH = 0.2
"""Least seconds of speech per word for words that the recognizer missed: five a second are fast (our choice)."""

NEAR = 1.0
"""Most seconds between words of one run of speech, and between a cue and what was said under it (our choice)."""

REPLACEMENT = "\ufffd"
"""Stands for a byte that could not be decoded."""


@dataclass(frozen=True)
class Merged:
    """A transcript of what was heard and a subtitle track.

    Attributes:
        segments: In time order, not overlapping; the recognizer's own where nothing came from the track.
        agreement: Twice the words that both have in places that agree, over the words of both, 0 to 1 (Dice's
            coefficient; difflib's ratio).
        clock: What turned the track's times into the video's.
        shared: Words that both have, over the fewer of both, 0 to 1.
        words: Of the track, but for those in brackets and speakers' names that were not heard.
        left_out: Of these, the words that nobody heard.
        ends_heard: Sentence ends that the recognizer marked in what was replaced.
        ends_shown: Sentence ends in what replaced it.
    """

    segments: list[Segment]
    agreement: float
    clock: Clock
    shared: float
    words: int
    left_out: int
    ends_heard: int
    ends_shown: int


@dataclass
class _Out:
    """The transcript so far.

    Attributes:
        words: Each with its segment: the recognizer's, or the cue as a negative number.
        replaced: Recognized words that the track's stand for.
    """

    words: list[tuple[int, TimedWord]] = field(default_factory=list)
    replaced: list[HeardWord] = field(default_factory=list)

    def heard(self, words: Sequence[HeardWord]) -> None:
        self.words += [(word.segment, word) for word in words]

    def both(self, shown: Shown, heard: HeardWord) -> None:
        """A word that both have; as it was heard where a byte of the track could not be decoded."""
        text = heard.text if REPLACEMENT in shown.text else shown.text
        self.words.append((-1 - shown.cue, replace(heard, text=text)))
        self.replaced.append(heard)

    def closed(self) -> None:
        """The last word, which both have, ends its sentence if it was heard so: the track's goes on unheard."""
        segment, word = self.words[-1]
        heard = self.replaced[-1]
        if ends_sentence(heard) and plain(heard.text) == plain(word.text):
            self.words[-1] = (segment, replace(word, text=heard.text))

    def shown(self, words: Sequence[Shown], heard: Sequence[HeardWord], times: Iterable[tuple[float, float]]) -> None:
        """Words of the track instead of recognized ones, with their times; these stay if bytes of those are lost."""
        if heard and any(REPLACEMENT in word.text for word in words):
            self.heard(heard)
            return
        for word, (start, end) in zip(words, times, strict=True):
            self.words.append((-1 - word.cue, replace(word, start=start, end=end)))
        self.replaced += heard


def merged(
    cues: Sequence[Cue], segments: Sequence[Segment], speech: Sequence[SpeechSegment], duration: float, least: float
) -> Merged:
    """Merge a track with what was heard.

    Args:
        cues: Of the track, in time order.
        segments: Recognized, in time order.
        speech: Where speech was detected.
        duration: Seconds of audio.
        least: Share of a place's words that track and recognizer must have in common, 0 to 1.
    """
    heard = heard_words(segments)
    clock = estimated(_plain_times(word for cue in cues for word in cue), _plain_times(heard))
    track = list(in_video_time(cues, clock, {plain(word.text) for word in heard}))
    around = [word for word in track if -TOLERANCE <= word.start <= duration + TOLERANCE]
    places = Places(around if len(around) <= MAX_RATIO * len(heard) else [], heard, least)
    out = _Merger(places, heard, speech, duration).run()
    words = sum(places.spoken(word) for word in places.track) + len(track) - len(places.track)
    shown = [word for segment, word in out.words if segment < 0]
    return Merged(
        segments=_segments(out.words, segments) if shown else list(segments),
        agreement=round(2 * len(places.matches) / max(1, words + len(heard)), DECIMALS),
        clock=clock,
        shared=len(places.matches) / max(1, min(words, len(heard))),
        words=words,
        left_out=words - len(shown),
        ends_heard=sum(map(ends_sentence, out.replaced)),
        ends_shown=sum(map(ends_sentence, shown)),
    )


def _plain_times(words: Iterable[TimedWord]) -> list[tuple[str, float]]:
    return [(text, word.start) for word in words if (text := plain(word.text))]


class _Merger:
    """Walks through what lies between the matches."""

    def __init__(
        self, places: Places, heard: Sequence[HeardWord], speech: Sequence[SpeechSegment], duration: float
    ) -> None:
        self._places = places
        self._heard = heard
        self._speech = speech
        self._duration = duration
        self._reliable = places.reliable(duration)
        self._out = _Out()

    def run(self) -> _Out:
        track, heard = self._places.track, self._heard
        edges = [(-1, -1), *self._places.matches, (len(track), len(heard))]
        for (index, place), (following, next_place) in pairwise(edges):
            before = track[index].place if index >= 0 else -1
            after = track[following].place if following < len(track) else -1
            earliest = heard[place].end if place >= 0 else 0.0
            latest = heard[next_place].start if next_place < len(heard) else self._duration
            gap = _Gap(heard[place + 1 : next_place], earliest, max(earliest, latest))
            self._between(track[index + 1 : following], gap, before, after)
            if following < len(track):
                self._out.both(track[following], heard[next_place])
        return self._out

    def _between(self, run: Sequence[Shown], gap: _Gap, before: int, after: int) -> None:
        """Merge the words between two matches, the places of which are `before` and `after`."""
        head = [word for word in run if word.place == before]
        tail = [word for word in run if word.place == after != before]
        middle = run[len(head) : len(run) - len(tail)]
        ends, heard = [*head, *tail], gap.heard
        if ends and gap.near(ends) and gap.joins(head, tail) and _stands_for(ends, heard):
            self._out.shown(ends, heard, _over(heard, len(ends)))
        elif head and not heard and self._slips(head):
            self._out.shown(head, [], gap.after_start(len(head)))
            self._lines(middle, gap)
        else:
            if head:
                self._out.closed()
            if ends and not middle and (heard or len(ends) > FEW):
                self._unheard(ends, gap)
            else:
                self._lines(middle, gap)

    def _slips(self, run: list[Shown]) -> bool:
        """Whether words that nobody heard belong to a sentence that else was heard: recognizers slip over some.

        At the beginning of a sentence, sounds and names are no such words.
        """
        return len(run) <= FEW and len(run) * MANY <= self._places.common[run[0].place]

    def _lines(self, middle: Sequence[Shown], gap: _Gap) -> None:
        """Merge places none of whose words match, each with what was heard under it."""
        heard = list(gap.heard)
        places = [list(group) for _, group in groupby(middle, key=lambda word: word.place)]
        earliest = gap.earliest
        for place, following in zip_longest(places, places[1:]):
            before = _while(heard, place[0].start - NEAR)
            self._out.heard(heard[:before])
            until = place[-1].end + NEAR
            if following:
                until = min(until, max(following[0].start, place[-1].end))
            under = before + _while(heard[before:], until)
            earliest = heard[before - 1].end if before else earliest
            latest = heard[under].start if under < len(heard) else gap.latest
            self._unheard(
                place, replace(gap, heard=heard[before:under], earliest=earliest, latest=max(earliest, latest))
            )
            earliest = heard[under - 1].end if under else earliest
            del heard[:under]
        self._out.heard(heard)

    def _unheard(self, run: Sequence[Shown], gap: _Gap) -> None:
        """Words of the track with little to match: taken only where the recognizer was unsure."""
        heard = gap.heard
        believed = self._reliable and run[0].place not in self._places.asides and _unsure(heard)
        if believed and gap.near(run) and _stands_for(run, heard):
            self._out.shown(run, heard, _over(heard, len(run)))
            return
        start, end = max(gap.earliest, run[0].start), min(gap.latest, run[-1].end)
        if believed and not heard and self._spoken_in(start, end) >= WORD_SPEECH * len(run):
            self._out.shown(run, [], _spread(len(run), start, end))
            return
        self._out.heard(heard)

    def _spoken_in(self, start: float, end: float) -> float:
        """Seconds of speech in an interval."""
        return sum(max(0.0, min(end, until) - max(start, since)) for since, until in self._speech)


@dataclass(frozen=True)
class _Gap:
    """What was heard between two matches.

    Attributes:
        heard: The words.
        earliest: End of the match before it, in seconds.
        latest: Start of the match after it.
    """

    heard: Sequence[HeardWord]
    earliest: float
    latest: float

    def near(self, run: Sequence[TimedWord]) -> bool:
        """Whether words of a track are shown at about the time of these."""
        return bool(self.heard) and (
            abs(self.heard[0].start - run[0].start) <= TOLERANCE and abs(self.heard[-1].end - run[-1].end) <= TOLERANCE
        )

    def joins(self, head: Sequence[TimedWord], tail: Sequence[TimedWord]) -> bool:
        """Whether these words follow those before them without a pause, if `head` is to, and lead on to `tail`."""
        begins = self.heard[0].start - self.earliest <= NEAR
        ends = self.latest - self.heard[-1].end <= NEAR
        return (begins or not head) and (ends or not tail)

    def after_start(self, count: int) -> Iterator[tuple[float, float]]:
        """Times of `count` short words at the beginning."""
        return _spread(count, self.earliest, min(self.latest, self.earliest + count * WORD_SPEECH))


def _stands_for(run: Sequence[TimedWord], heard: Sequence[TimedWord]) -> bool:
    """Whether words of a track are recognized ones in another writing, or may be what was said instead of them."""
    fewer, more = sorted((len(run), len(heard)))
    about_as_many = fewer > 0 and more <= max(fewer + FEW, fewer * 3 / 2)
    return (about_as_many and all(word.probability < SURE for word in heard)) or written_otherwise(run, heard)


def _unsure(heard: Sequence[TimedWord]) -> bool:
    """Whether the recognizer guessed these words, or heard none."""
    return sum(word.probability for word in heard) <= UNSURE * len(heard)


def _while(heard: Sequence[HeardWord], until: float) -> int:
    """Number of words at the start whose middle is before a time."""
    return next((n for n, word in enumerate(heard) if (word.start + word.end) / 2 >= until), len(heard))


def _over(heard: Sequence[TimedWord], count: int) -> Iterator[tuple[float, float]]:
    """Times of `count` words said instead of the recognized ones."""
    for number in range(count):
        yield _at(heard, number, count), _at(heard, number + 1, count, ends=True)


def _at(heard: Sequence[TimedWord], share: int, shares: int, *, ends: bool = False) -> float:
    """The time, in seconds, at which `share` of `shares` equal parts of the words end; pauses do not count.

    Between two words, `ends` selects the end of the earlier one instead of the start of the later.
    """
    whole, rest = divmod(share * len(heard), shares)
    if rest == 0 and ends:
        return heard[whole - 1].end
    word = heard[whole]
    return word.start + (word.end - word.start) * rest / shares


def _spread(count: int, start: float, end: float) -> Iterator[tuple[float, float]]:
    """Times of `count` words spread evenly."""
    bounds = [start + (end - start) * number / max(1, count) for number in range(count + 1)]
    yield from pairwise(bounds)


def _segments(words: Sequence[tuple[int, TimedWord]], recognized: Sequence[Segment]) -> list[Segment]:
    """Segments of the words that lie together in a recognized segment or a cue; times rounded, not overlapping."""
    starts: list[float] = []
    for _, word in words:
        starts.append(max(to_milliseconds(word.start), starts[-1] if starts else 0.0))
    ceilings = [*starts[1:], float("inf")]
    timed = [
        (
            segment,
            Word(
                start=start,
                end=max(start, min(to_milliseconds(word.end), ceiling)),
                text=word.text,
                probability=word.probability,
            ),
        )
        for (segment, word), start, ceiling in zip(words, starts, ceilings, strict=True)
    ]
    return [
        _segment(key, [word for _, word in group], recognized)
        for key, group in groupby(timed, key=lambda pair: pair[0])
    ]


def _segment(key: int, words: list[Word], recognized: Sequence[Segment]) -> Segment:
    if key >= 0:
        return recognized[key].model_copy(update={"start": words[0].start, "end": words[-1].end, "words": words})
    measures = {"avg_logprob": 0.0, "no_speech_prob": 0.0, "compression_ratio": 0.0}
    return Segment(start=words[0].start, end=words[-1].end, words=words, source="subtitles", **measures)
