"""What every kind of list is read into, and what is told of it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import pyarrow as pa

from pipeline.config import Column
from schemas.text import MAX_TEXT, clean_text
from storyloom.fs.url import without_secrets
from storyloom.view.counts import count_of

COLUMNS = get_args(Column)
"""The columns of a list that mean something to us."""

PLACE = ("member", "offset", "size")
"""The columns that say where in a tar a video is: its member's name, and its bytes."""

EXACT = ("url", "id", "subtitles", "member")
"""Those that must be what is written: nothing is cleaned."""

BATCH = 1 << 16
"""Lines that are read at once (our choice)."""

MAX_VALUE = 1 << 14
"""Most characters of a text among a line's other columns (our choice: a description at YouTube has up to 5,000)."""

MAX_EXTRA = 1 << 16
"""Most characters of a line's other columns, as JSON (our choice: each document of the video repeats them)."""

OF_URLS = "of URLs' passwords and queries"
"""What texts are cleaned of, as it is told."""

MAX_SENTENCES = 20
MAX_SENTENCE = 400
"""Most sentences that are told of a manifest, and most characters of one (our choice)."""


@dataclass
class Batch:
    """Some lines of a list.

    Attributes:
        columns: Those of `COLUMNS` and `PLACE` that the list has, without nulls; text as written.
        places: Number of each line in its list, from 1.
        extra: The other columns of each line as a JSON object; None when there are none.
        problems: By the index of a line, why it cannot be used.
    """

    columns: dict[str, pa.Array]
    places: Sequence[int]
    extra: pa.Array | None = None
    problems: dict[int, str] = field(default_factory=dict)


class Told:
    """What is told of a manifest at a run's start: what was passed over, changed and cleaned.

    Attributes:
        looked: Whether lines were read by what lies on the disk beside the list.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}
        self.sentences: list[str] = []
        self.looked = False

    def count(self, what: str, example: str = "", times: int = 1) -> None:
        """Count something that happened to lines or files, with the first one as an example."""
        if times:
            self.counts[what] += times
            self.first.setdefault(what, example)

    def say(self, sentence: str) -> None:
        """Tell something once."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)

    def lines(self) -> list[str]:
        """All of it, a line for each kind."""
        counted = [
            f"{what}: {count_of(times, 'lines')}" + (f", the first: {self.first[what]}" if self.first[what] else "")
            for what, times in self.counts.items()
        ]
        all_ = [safe_text(sentence, MAX_SENTENCE)[0] for sentence in [*self.sentences, *counted]]
        return all_ if len(all_) <= MAX_SENTENCES else [*all_[:MAX_SENTENCES], f"and {len(all_) - MAX_SENTENCES} more"]


@dataclass
class Line:
    """A line of a list that is read one by one.

    Attributes:
        place: Its number in the list, from 1.
        columns: Text of those of `COLUMNS` and `PLACE` that it has.
        extra: Its other columns.
        problem: Why it cannot be used; empty for one that can.
    """

    place: int
    columns: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def batches(lines: Iterable[Line], told: Told) -> Iterator[Batch]:
    """Lines in batches of `BATCH`."""
    some: list[Line] = []
    for line in lines:
        some.append(line)
        if len(some) == BATCH:
            yield _batch(some, told)
            some = []
    if some:
        yield _batch(some, told)


def _batch(lines: Sequence[Line], told: Told) -> Batch:
    names = set[str]().union(*(line.columns.keys() for line in lines))
    return Batch(
        columns={
            name: told_texts([line.columns.get(name, "") for line in lines], name, told)
            for name in (*COLUMNS, *PLACE)
            if name in names
        },
        places=[line.place for line in lines],
        extra=texts([extra_json(line.extra, told) for line in lines]) if any(line.extra for line in lines) else None,
        problems={number: problem for number, line in enumerate(lines) if (problem := line.problem or _wrong(line))},
    )


def _wrong(line: Line) -> str:
    """What is wrong with the places and the id that a line names; empty when nothing is."""
    for name in EXACT:
        text = line.columns.get(name, "")
        if (not text.isascii() or "\0" in text) and (problem := not_text(text)):
            return f"`{name}` {problem}"
    return ""


def not_text(text: str) -> str:
    """What is wrong with a text that must stay as it is; empty when nothing is."""
    if "\0" in text:
        return "has NUL bytes; save the list as UTF-8"
    if any("\udc80" <= character <= "\udcff" for character in text):  # as opened.py has bytes that are no UTF-8
        return "is not UTF-8; save the list as UTF-8, or rename the file"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "has half of a character (a lone surrogate)"
    return ""


def texts(values: Sequence[str]) -> pa.Array:
    """Texts as a column, lone surrogates as U+FFFD: a URL or path has none, since readers refuse them."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([clean_surrogates(value) for value in values], pa.string())


def told_texts(values: Sequence[str], name: str, told: Told) -> pa.Array:
    """One of `COLUMNS` as `texts` has it, what that changes told; where it must be exact readers refuse such lines."""
    if name not in EXACT and not all(map(str.isascii, values)):
        what = (
            f"`{name}` has bytes that are not UTF-8, or half characters, which become U+FFFD (save the list as UTF-8)"
        )
        told.count(what, times=sum(clean_surrogates(value) != value for value in values))
    return texts(values)


def safe_text(text: str, longest: int = MAX_TEXT) -> tuple[str, bool]:
    """A text as `clean_text` leaves it and without the secrets of URLs in it, and whether anything was changed."""
    clean = without_secrets(clean_text(text, len(text))[0])[:longest]  # cut last: half a URL does not look like one
    return clean, clean != text


def clean_surrogates(text: str) -> str:
    """A text with U+FFFD for each lone surrogate."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def extra_json(values: Mapping[str, Any], told: Told) -> str:
    """Other columns as one JSON object with sorted keys, without nulls; the longest are left out until the rest fits.

    Texts and keys are cleaned as titles are. Numbers that JSON has not, and those over 64 bits, become texts.
    """
    if not values:
        return "{}"
    kept = {safe_text(key)[0]: _plain(value, told) for key, value in values.items() if value is not None}
    found = _dumped(kept)
    if len(found) <= MAX_EXTRA:
        return found
    lengths = {key: len(_dumped({key: value})) - 1 for key, value in kept.items()}  # a brace less, a comma more
    total = 1 + sum(lengths.values())
    for key in sorted(lengths, key=lengths.__getitem__, reverse=True):
        if total <= MAX_EXTRA:
            break
        told.count(f"the longest of other columns left out where they have over {MAX_EXTRA:,} characters", key)
        total -= lengths[key]
        del kept[key]
    return _dumped(kept)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _plain(value: Any, told: Told) -> Any:
    """A value as JSON has it."""
    if isinstance(value, str):
        clean, changed = safe_text(value, MAX_VALUE)
        if changed:
            told.count(
                f"other columns cleaned of control characters, {OF_URLS}, and what is over {MAX_VALUE:,} characters"
            )
        return clean
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {safe_text(str(key))[0]: _plain(one, told) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, told) for one in value]
    return safe_text(str(value))[0]
