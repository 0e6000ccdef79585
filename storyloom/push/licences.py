"""Whether a dataset may be passed on, as far as the licences tell that its manifest names."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from storyloom.errors import RunFailed
from storyloom.format.manifest import Published
from storyloom.view.counts import count_of
from storyloom.view.text import LONGEST_NAME, shown

MOST_NAMES = 8
"""Licences that a message names (our choice)."""

FORBIDS = re.compile(r"\bnd\b|no[- ]?deriv|all rights reserved|standard youtube|proprietary|do not (copy|distribute)")
"""Licences that forbid what a dataset is: frames and words taken out of a video are an adaptation of it."""

VERSION = r"([- ]v?\d+(\.\d+)*)?"

ALLOWS = re.compile(
    rf"cc[- ]?(0|zero){VERSION}( universal)?( public domain dedication)?|pdm{VERSION}"
    rf"|(the )?public[- ]domain( dedication| mark{VERSION})?"
    rf"|(cc[- ])?by([- ](nc|sa))*{VERSION}([- ](igo|int|international|unported|[a-z]{{2}}))?"  # Vimeo leaves the CC out
    rf"|creative commons (attribution|zero|0)([- ](non-?commercial|share-?alike))*{VERSION}( international| unported"
    r"| universal)?( licen[sc]e)?( \(reuse allowed\))?"
    r"|https?://(www\.)?creativecommons\.org/(licenses/by(-nc)?(-sa)?|publicdomain/(zero|mark))/[\d.]+/?(\w\w/?)?"
    r"((deed|legalcode)(\.\w+)?)?"
    r"|mit( licen[sc]e)?|apache[- ](licen[sc]e[- ,]*(version )?)?2(\.0)?|bsd([- ]\d([- ]clause)?)?( licen[sc]e)?"
    rf"|(the )?unlicense|(odc[- ]by|odbl|pddl|cdla[- ](permissive|sharing)|ogl[- ]uk){VERSION}"
)
"""Licences that let one pass on an adaptation, if only without profit or under the same licence: their names and
nothing else, as a word before or behind may take it all back."""


class MayNotBePassedOn(RunFailed):
    """Documents of a dataset have a licence that is unknown, or forbids to pass them on."""


@dataclass(frozen=True)
class Licences:
    """Documents by licence, sorted by what it says: allowed, forbidden, unknown."""

    allowed: Counter[str] = field(default_factory=Counter)
    forbidden: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


def licences(published: Published) -> Licences:
    """Sort a dataset's licences by what they say of passing it on."""
    found = Licences()
    for totals in published.splits.values():
        for name, documents in totals.licenses.items():
            plain = " ".join(name.casefold().replace("_", "-").split())
            kind = (
                found.forbidden
                if FORBIDS.search(plain)
                else found.allowed
                if ALLOWS.fullmatch(plain)
                else found.unknown
            )
            kind[name] += documents
    return found


def check_licences(published: Published) -> None:
    """Check that every document may be passed on.

    Raises:
        MayNotBePassedOn: Some may not, or nobody knows.
    """
    found = licences(published)
    problems = [
        f"{count_of(some.total(), 'documents')} {what} ({_named(some)})"
        for some, what in (
            (found.forbidden, "under a licence that forbids it"),
            (found.unknown, "under a licence that is unknown or that storyloom does not know"),
        )
        if some
    ]
    if problems:
        total = sum(totals.nsamples for totals in published.splits.values())
        raise MayNotBePassedOn(
            f"of {count_of(total, 'documents')} not all may be passed on: {'; '.join(problems)}. Give the"
            " licences in the manifest (column license) and run again, or, if you have the right to pass all of them"
            " on, add --any-licence. Nothing was sent."
        )


def _named(some: Counter[str]) -> str:
    names = [f"{shown(name, LONGEST_NAME) or 'none'}: {count:,}" for name, count in some.most_common(MOST_NAMES)]
    return ", ".join([*names, *([f"and {len(some) - MOST_NAMES} more"] if len(some) > MOST_NAMES else [])])
