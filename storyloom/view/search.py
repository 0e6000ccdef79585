"""Searching the index: words, filters, orders, pages of documents, and how many there are of each kind."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from storyloom.stats.flags import Flag
from storyloom.view.dataset import Address
from storyloom.view.index_rows import BITS, spaced

PAGE = 24
"""Documents of a page (our choice)."""

MOST_WORDS = 400
"""Characters of a search that are looked at (our choice)."""

LISTED = 10
"""Names of a kind that the page offers as filters (our choice)."""

ORDERS = {
    "order": ("id", False, "order in the dataset"),
    "score-low": ("score", False, "lowest score first"),
    "score": ("score", True, "highest score first"),
    "words": ("words", True, "most words first"),
    "words-low": ("words", False, "fewest words first"),
    "alone": ("alone", True, "most frames without a sentence first"),
    "images": ("images", True, "most pictures first"),
}
"""Column, whether it falls, and title of each order. Documents without a score come before the lowest one."""

FACETS = ("language", "license", "source", "site", "split")
"""Filters by name, in the page's order."""

UNKNOWN = "unknown"
"""Stands for the empty name in an address."""


@dataclass(frozen=True)
class Search:
    """What is looked for.

    Attributes:
        words: Words that title, sentences or ids hold, all of them; ``"several words"`` stand together.
        named: Wanted name by kind: `FACETS` and ``video``; ``not-language`` takes all but one.
        flag: Wanted flag; None for any.
        low: Least mean score; None for any, also without a score.
        high: Largest mean score; None for any.
        order: Of `ORDERS`.
    """

    words: str = ""
    named: Mapping[str, str] = field(default_factory=dict)
    flag: Flag | None = None
    low: float | None = None
    high: float | None = None
    order: str = "order"

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """The search that a page's address states; what it states wrongly counts as not stated."""
        order = query.get("sort", "")
        flag = query.get("flag", "")
        return cls(
            words=query.get("q", "").strip()[:MOST_WORDS],
            named={kind: query[kind] for kind in (*FACETS, "video", "not-language") if query.get(kind)},
            flag=Flag(flag) if flag in set(Flag) else None,
            low=_number(query.get("from", "")),
            high=_number(query.get("to", "")),
            order=order if order in ORDERS else "order",
        )

    def query(self, **changes: str) -> str:
        """The search as an address states it, ``?q=…``; a change to an empty text leaves a key out."""
        values = {
            "q": self.words,
            **self.named,
            "flag": self.flag or "",
            "from": "" if self.low is None else f"{self.low:g}",
            "to": "" if self.high is None else f"{self.high:g}",
            "sort": "" if self.order == "order" else self.order,
            **changes,
        }
        stated = {key: value for key, value in values.items() if value}
        return f"?{urlencode(stated, errors='backslashreplace')}" if stated else ""

    def __hash__(self) -> int:
        return hash(self.query())

    def without(self, kind: str) -> Search:
        """The search without a filter by name."""
        return replace(self, named={key: value for key, value in self.named.items() if key != kind})

    @property
    def narrowed(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.words or self.named or self.flag) or self.low is not None or self.high is not None


@dataclass(frozen=True)
class Found:
    """A page of documents.

    Attributes:
        documents: Where they lie.
        before: Cursor of the page before; empty where there is none.
        after: Cursor of the next page; likewise.
    """

    documents: list[Address]
    before: str
    after: str


def find(base: sqlite3.Connection, search: Search, *, after: str = "", before: str = "", most: int = PAGE) -> Found:
    """A page of the documents that are looked for, after or before a place.

    Args:
        base: The index.
        search: What is looked for.
        after: Cursor of the last document of the page before.
        before: Cursor of the first document of the next page.
        most: Documents of the page.
    """
    column, falls, _ = ORDERS[search.order]
    cursor = _cursor(before or after)
    backwards = bool(before) and cursor is not None
    tables, conditions, values = _conditions(search)
    keys = ["d.id"] if column == "id" else [f"d.{column}", "d.id"]
    if cursor:
        places = cursor[-len(keys) :]
        conditions.append(f"({', '.join(keys)}) {'<' if falls != backwards else '>'} ({', '.join('?' * len(keys))})")
        values += places
    direction = " DESC" if falls != backwards else ""
    if tables != DOCUMENTS and column == "id":
        keys = ["texts.rowid"]  # the order in which FTS5 finds them
    order = ", ".join(f"{key}{direction}" for key in keys)
    rows = base.execute(
        f"SELECT d.id, d.shard, d.number, d.key, d.{column} AS value FROM {tables}{_where(conditions)}"  # noqa: S608
        f" ORDER BY {order} LIMIT {most + 1}",
        values,
    ).fetchall()
    more = len(rows) > most
    rows = rows[:most]
    if backwards:
        rows.reverse()
    return Found(
        [Address(row["id"], row["shard"], row["number"], row["key"]) for row in rows],
        before=_place(rows[0]) if rows and (more if backwards else cursor) else "",
        after=_place(rows[-1]) if rows and (more or backwards) else "",
    )


@dataclass(frozen=True)
class Counts:
    """How many documents a search finds.

    Attributes:
        count: All of them.
        facets: The most frequent names of each kind with their counts, among what is found but for that kind's filter.
        flags: Those with each flag, but for the filter by flag; flags of none are absent.
    """

    count: int
    facets: dict[str, list[tuple[str, int]]]
    flags: dict[Flag, int]


def counted(base: sqlite3.Connection, facts: NDArray[np.void], search: Search) -> Counts:
    """Count what is found.

    Args:
        base: The index.
        facts: Of all documents, as the index gives them.
        search: What is looked for.
    """
    kept = dict(_kept(base, facts, search))

    def but_for(kind: str) -> NDArray[np.bool_]:
        found = np.ones(len(facts), np.bool_)
        for one, mask in kept.items():
            if one != kind:
                found &= mask
        return found

    everything = but_for("")
    facets = {kind: _names(base, facts[kind][but_for(kind) if kind in kept else everything]) for kind in FACETS}
    flags = facts["flags"][but_for("flag") if "flag" in kept else everything]
    times = {flag: int(np.count_nonzero(flags & bit)) for flag, bit in BITS.items()}
    return Counts(int(np.count_nonzero(everything)), facets, {flag: count for flag, count in times.items() if count})


def _kept(base: sqlite3.Connection, facts: NDArray[np.void], search: Search) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Which documents each part of a search leaves, by the part's name."""
    for kind, name in search.named.items():
        column = kind.removeprefix("not-")
        row = base.execute("SELECT id FROM names WHERE kind = ? AND name = ?", (column, _stored(name))).fetchone()
        is_it = facts[column] == (row[0] if row else 0)
        yield kind, ~is_it if kind != column else is_it
    if search.flag:
        yield "flag", facts["flags"] & BITS[search.flag] != 0
    if search.low is not None:
        yield "low", facts["score"] >= search.low
    if search.high is not None:
        yield "high", (facts["score"] <= search.high) & (facts["score"] >= -1)
    if match := _match(search.words):
        rows = base.execute("SELECT rowid FROM texts WHERE texts MATCH ?", (match,))
        found = np.fromiter((row[0] for row in rows), np.int64)
        hit = np.zeros(int(facts["id"].max(initial=0)) + 1, np.bool_)
        hit[found[found < len(hit)]] = True
        yield "words", hit[facts["id"]]


def _names(base: sqlite3.Connection, numbers: NDArray[np.int32]) -> list[tuple[str, int]]:
    """The most frequent names among these numbers, with their counts."""
    times = np.bincount(numbers)
    most = [int(number) for number in np.argsort(-times, kind="stable")[:LISTED] if times[number]]
    names = [base.execute("SELECT name FROM names WHERE id = ?", (number,)).fetchone()[0] for number in most]
    return [(name, int(times[number])) for name, number in zip(names, most, strict=True)]


def _stored(name: str) -> str:
    return "" if name == UNKNOWN else name


def terms_of(words: str) -> list[str]:
    """The words and quoted phrases of a search."""
    return [phrase or word for phrase, word in re.findall(r'"([^"]+)"|([^\s"]+)', words)]


DOCUMENTS = "documents AS d"


def _conditions(search: Search) -> tuple[str, list[str], list[object]]:
    """Tables, conditions and their values."""
    tables, conditions, values = DOCUMENTS, list[str](), list[object]()
    if match := _match(search.words):
        tables = f"texts JOIN {DOCUMENTS} ON d.id = texts.rowid"
        conditions.append("texts MATCH ?")
        values.append(match)
    for kind, name in search.named.items():
        inverted = kind.startswith("not-")
        column = kind.removeprefix("not-")
        conditions.append(
            f"d.{column} {'IS NOT' if inverted else '='} (SELECT id FROM names WHERE kind = ? AND name = ?)"  # noqa: S608
        )
        values += [column, _stored(name)]
    if search.flag:
        conditions.append("d.flags & ? != 0")
        values.append(BITS[search.flag])
    if search.low is not None:
        conditions.append("d.score >= ?")
        values.append(search.low)
    if search.high is not None:
        conditions.append("d.score <= ? AND d.score >= -1")
        values.append(search.high)
    return tables, conditions, values


def _match(words: str) -> str:
    """The search in the language of FTS5: every word is the begin of one, a phrase stands as it is."""
    found = []
    for phrase, word in re.findall(r'"([^"]+)"|([^\s"]+)', words.replace("\0", "")):
        text = spaced(phrase or word).strip()
        if any(map(str.isalnum, text)):
            found.append(f'"{text}"{"" if phrase or len(text) == 1 else " *"}')
    return " ".join(found)


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _place(row: sqlite3.Row) -> str:
    return f"{row['value']!r}:{row['id']}"


def _cursor(text: str) -> list[float] | None:
    """Value and id of the document that a cursor names; None for none, or nonsense."""
    value, colon, number = text.partition(":")
    found = _number(value)
    return [found, int(number)] if colon and found is not None and re.fullmatch("[0-9]{1,15}", number) else None


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text) else None
