"""One video over time: what was seen, what was said, and what `filter` makes of both."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa

from pipeline.view.recorded import recorded_part
from pipeline.view.state import Place
from pipeline.view.tuning import Known, Retuned, results
from schemas.media import MediaRow
from schemas.row import Row
from schemas.rows import WORD_COLUMNS, AlignedRow, DocumentsRow, FramesRow, SampledFrame, Sentence, TranscriptRow
from stages.base import Context
from stages.filter.assign import UNPAIRED, Assignment
from stages.filter.stage import FilterConfig
from storyloom.fs.url import scheme_of

OF_ITS_OWN = frozenset({"black", "blurred", "low_similarity"})
"""Reasons that a frame has itself, whatever becomes of its document."""

BEGINS = {
    "": "the first of the video",
    "chapter": "a chapter of its site begins",
    "silence": "nobody spoke for longer than max_silence",
    "max_words": "the one before would have more than max_words",
    "max_images": "the one before would have more than max_images",
    "topic": "the topic changes at a cut",
}
"""Why a document begins, in words."""


@dataclass(frozen=True)
class Said:
    """A word: its times in seconds, and its text."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Line:
    """A sentence, or words that are in none.

    Attributes:
        time: Seconds, of its start.
        end: Seconds, of its end.
        text: The sentence; empty for words that are in none.
        words: Its words, as far as `transcribe` has them.
        reason: Why it is dropped; empty for a kept one, and while nothing is decided.
    """

    time: float
    end: float
    text: str
    words: list[Said]
    reason: str = ""


@dataclass(frozen=True)
class Shot:
    """A frame.

    Attributes:
        time: Seconds.
        number: Its index.
        width: Pixels.
        height: Pixels.
        decided: Whether `filter` can say what becomes of it.
        reason: Why it is dropped; empty for a kept one.
        sentence: Its sentence; empty for none.
        similarity: With it; None for none.
        needed: The least that would have been accepted; None for none, above 1.0 where nothing would.
        shift: Seconds by which the sentence is moved against the clock.
        lag: Seconds by which the speech is late here.
    """

    time: float
    number: int
    width: int
    height: int
    decided: bool = False
    reason: str = ""
    sentence: str = ""
    similarity: float | None = None
    needed: float | None = None
    shift: float = 0.0
    lag: float = 0.0


@dataclass(frozen=True)
class Cut:
    """Where a document begins.

    Attributes:
        time: Seconds.
        end: Seconds, of its end.
        number: In its video; -1 for one that is dropped.
        why: Why it begins there, in words.
        reason: Why it is dropped; empty for a kept one.
        words: Of it.
        images: Of it.
    """

    time: float
    end: float
    number: int
    why: str
    reason: str
    words: int
    images: int


@dataclass
class Timeline:
    """A video over time.

    Attributes:
        duration: Seconds.
        frames: In time order.
        lines: In time order.
        cuts: In time order.
        missing: Stages whose rows are not there yet, in their order.
        ended: The row with the error or drop, where the video came no further.
        lag: Median lag in seconds.
        lag_confidence: From 0 to 1.
        threshold: Similarity; None while nothing is decided.
        language: Of the speech.
        warnings: Codes of all stages.
    """

    duration: float = 0.0
    frames: list[Shot] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    ended: Row | None = None
    lag: float = 0.0
    lag_confidence: float = 0.0
    threshold: float | None = None
    language: str = ""
    warnings: list[str] = field(default_factory=list)

    def between(self, begin: float, end: float) -> list[Cut | Line | Shot]:
        """What begins in a stretch of time, in its order; a cut before its first sentence or frame."""
        order = {Cut: 0, Line: 1, Shot: 2}
        some: Sequence[Cut | Line | Shot] = [*self.cuts, *self.lines, *self.frames]
        return sorted((one for one in some if begin <= one.time < end), key=lambda one: (one.time, order[type(one)]))


def timeline(place: Place, media: MediaRow | None) -> Timeline:
    """The timeline of a video, as far as its stages are done."""
    found = Timeline(duration=max(0.0, media.duration) if media else 0.0)
    said = place.row("transcribe", TranscriptRow)
    seen = place.row("sample", FramesRow, without=("jpegs",))
    unshown = (*WORD_COLUMNS, "null_pairs", "null_texts", "null_text_pairs", "pairs")
    aligned = place.row("align", AlignedRow, without=unshown)
    decision = _decision(place)
    there = {"download": media, "transcribe": said, "sample": seen, "align": aligned, "score": decision}
    found.missing = [name for name, row in there.items() if row is None and name in place.workspace.graph.names]
    rows: list[Row] = [row for row in (media, said, seen, aligned, decision.row if decision else None) if row]
    found.ended = next((row for row in rows if not row.live), None)
    found.warnings = sorted({code for row in rows for code in row.warnings})
    found.language = said.language if said else ""
    frames = seen.frames if seen else []
    sentences = aligned.sentences if aligned else []
    words = [Said(w.start, w.end, w.text) for segment in (said.segments if said else []) for w in segment.words]
    found.lines = list(_lines(words, sentences))
    found.frames = [_shot(number, frame) for number, frame in enumerate(frames)]
    found.duration = max([found.duration, *(one.end for one in found.lines), *(one.time for one in found.frames)])
    if decision and decision.assignment is not None:
        _decide(found, decision, frames, sentences)
    return found


@dataclass(frozen=True)
class _Decision:
    stage: Retuned
    row: DocumentsRow
    assignment: Assignment | None
    cuts: list[tuple[str, list[tuple[int, float, float, int, list[int]]]]]


def _decision(place: Place) -> _Decision | None:
    """What `filter` makes of the video, by its recorded scores; None while it has none."""
    workspace = place.workspace
    if "filter" not in workspace.graph.names or not workspace.done("score", [place.part]):
        return None
    try:
        video = recorded_part(workspace, place.part)[place.position]
        context = Context(workspace.config.seed, workspace.job.store.media, results(workspace))
    except (OSError, pa.ArrowException):
        return None
    stage = Retuned(workspace.config.section(FilterConfig), context)
    row, assignment = stage.decided(video, Known({}, {}))
    if assignment is None:
        return _Decision(stage, row, None, [])
    own = {one.index for one in row.dropped_items if one.kind == "frame" and one.reason in OF_ITS_OWN}
    kept = [number for number in range(len(video.frames)) if number not in own]
    cuts = [
        (why, [(unit.sentence, unit.start, unit.end, unit.words, unit.frames) for unit in units])
        for why, units in stage.cut(video.video(), assignment, kept)
    ]
    return _Decision(stage, row, assignment, cuts)


def _decide(
    found: Timeline, decision: _Decision, frames: Sequence[SampledFrame], sentences: Sequence[Sentence]
) -> None:
    row, assignment = decision.row, decision.assignment
    assert assignment is not None
    found.threshold, found.lag, found.lag_confidence = row.threshold, row.lag, row.lag_confidence
    reasons = {(item.kind, item.index): item.reason for item in row.dropped_items}
    needed = decision.stage.needed(assignment)
    for number in range(len(frames)):
        paired = int(assignment.sentence[number])
        found.frames[number] = _shot(
            number,
            frames[number],
            decided=True,
            reason=reasons.get(("frame", number), ""),
            sentence=sentences[paired].text if paired != UNPAIRED else "",
            similarity=float(assignment.similarity[number]) if paired != UNPAIRED else None,
            needed=float(needed[number]) if paired != UNPAIRED else None,
            shift=float(assignment.shift[number]),
            lag=row.frame_lags[number] if row.frame_lags else 0.0,
        )
    dropped = {sentences[i].start: reason for (kind, i), reason in reasons.items() if kind == "sentence"}
    found.lines = [
        Line(one.time, one.end, one.text, one.words, dropped.get(one.time, "")) if one.text else one
        for one in found.lines
    ]
    number = 0
    for why, units in decision.cuts:
        inside = [frame for unit in units for frame in unit[4]]
        times = [frames[frame].time for frame in inside]
        reason = reasons.get(("document", units[0][0]), "")
        found.cuts.append(
            Cut(
                time=min([units[0][1], *times]),
                end=max([units[-1][2], *times]),
                number=-1 if reason else number,
                why=BEGINS[why],
                reason=reason,
                words=sum(unit[3] for unit in units),
                images=len(inside),
            )
        )
        number += not reason


def _shot(number: int, frame: SampledFrame, **decided: object) -> Shot:
    return Shot(frame.time, number, frame.width, frame.height, **decided)  # type: ignore[arg-type]


def _lines(words: Sequence[Said], sentences: Sequence[Sentence]) -> Iterator[Line]:
    """The sentences with their words, and the words between them, in time order."""
    starts = [word.start for word in words]
    place = 0
    for sentence in sentences:
        begin = max(place, bisect_left(starts, sentence.start))
        end = max(begin, bisect_left(starts, sentence.end))
        if words[place:begin]:
            yield Line(words[place].start, words[begin - 1].end, "", list(words[place:begin]))
        yield Line(sentence.start, sentence.end, sentence.text, list(words[begin:end]))
        place = end
    if words[place:]:
        yield Line(words[place].start, words[-1].end, "", list(words[place:]))


def site_link(url: str, seconds: float, site: str) -> str:
    """The address of a video at its site, at a time; empty for one that is at no address of the web.

    YouTube and Twitch take ``t=12s`` in the query, Dailymotion ``start=12``, others the fragment ``#t=12``, which is
    also what media files have (W3C Media Fragments 1.0).
    """
    if scheme_of(url) not in ("http", "https"):
        return ""
    parts, second = urlsplit(url), int(seconds)
    name = {"youtube": "t", "twitch": "t", "dailymotion": "start"}.get(re.split("[^a-z]", site.lower())[0])
    if name is None:
        return urlunsplit(parts._replace(fragment=f"t={second}"))
    value = f"{second}s" if name == "t" else str(second)
    query = [(key, one) for key, one in parse_qsl(parts.query, keep_blank_values=True) if key != name]
    return urlunsplit(parts._replace(query=urlencode([*query, (name, value)])))
