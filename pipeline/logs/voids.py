"""What must not count any more of the logs: units that were invalidated, each call in a file of its own.

A log says what marks said when they were read. Who removes marks writes the units' names first, removes them, and
writes that it is over. A log counts for none of these units unless it was made of marks that were read after that: it
names what was over before. So neither a killed process nor a second driver makes a log count for what is not there.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from storyloom.fs.files import Entry, Files

LOGS = "logs"
"""Folder of the work folder."""

BEGUN = "begun"
"""File that is there once logs of a stage are written: without it nothing is void once it is over."""

VOID, OVER = ".void", ".over"

KILLED = b"killed"
"""Content of the file that says that it is over where another process says so; else it is empty."""

GIVEN_UP = 3_600.0
"""Seconds after which a process that is removing units is taken for killed (our choice)."""

KEPT = 86_400.0
"""Seconds for which it is kept what was void, since a log may yet come of marks that were read before (our choice)."""

MOST_NAMED = 10_000
"""Units that a file names; of more than these it says that every unit of the stage is void (our choice)."""


@dataclass(frozen=True)
class Void:
    """Units of a stage that were invalidated together.

    Attributes:
        stems: Of their files' names; None for all units of the stage.
        over: Whether their files are gone; otherwise they may go at any time.
    """

    stems: frozenset[str] | None
    over: bool


@contextmanager
def voided(files: Files, stage: str, stage_key: str, stems: Collection[str]) -> Iterator[None]:
    """Hold units out of the logs for good; their files are removed in the block.

    Args:
        files: The work folder's.
        stage: The stage's name.
        stage_key: Its key.
        stems: Of the units.
    """
    folder = f"{LOGS}/{stage}/{stage_key}"
    token = f"{folder}/{secrets.token_hex(8)}"
    named = sorted(stems) if len(stems) <= MOST_NAMED else None
    content = json.dumps(named).encode()
    files.create(token + VOID, content)
    yield
    if files.entry(f"{folder}/{BEGUN}") is None:  # the first log will be made of marks that are read after that
        files.remove(token + VOID)
    elif not files.create(token + OVER, b""):  # it took long, and another said that it was over
        with voided(files, stage, stage_key, stems):
            pass


def end_killed(files: Files, entries: Collection[Entry]) -> None:
    """Say that what killed processes were removing is over: what they left is there, and stays.

    Args:
        files: The work folder's.
        entries: The files of a stage's logs.
    """
    names, latest = {entry.name for entry in entries}, time.time() - GIVEN_UP
    for entry in entries:
        token = entry.name.removesuffix(VOID)
        if token != entry.name and token + OVER not in names and 0 < entry.modified < latest:
            files.create(token + OVER, KILLED)


def drop_answered(files: Files, entries: Collection[Entry], answers: Collection[Collection[str]]) -> None:
    """Remove what was void and has long been over, once every segment answers it.

    Args:
        files: The work folder's.
        entries: The files of a stage's logs.
        answers: What each of its segments answers.
    """
    latest = time.time() - KEPT
    for entry in entries:
        token = entry.name.removesuffix(OVER)
        if token != entry.name and 0 < entry.modified < latest and all(token in some for some in answers):
            files.remove(token + VOID)
            files.remove(token + OVER)


def voids_of(files: Files, entries: Collection[Entry], known: Mapping[str, Void]) -> dict[str, Void]:
    """What is void in the logs of a stage, by its token.

    Args:
        files: The work folder's.
        entries: The files of the stage's logs.
        known: Those that were read before; their files never change.
    """
    names = {entry.name for entry in entries}
    there = [name.removesuffix(VOID) for name in sorted(names) if name.endswith(VOID)]
    new = [token for token in there if token not in known]
    stems = {token: known[token].stems for token in there if token in known}
    stems |= {
        token: _stems(content)
        for token, content in zip(new, files.read_all([token + VOID for token in new]), strict=True)
    }
    return {token: Void(some, over=token + OVER in names) for token, some in stems.items()}


def _stems(content: bytes | None) -> frozenset[str] | None:
    """The stems in a file; None, which stands for all units, also of a damaged one."""
    try:
        found = json.loads(content or b"null")
    except (ValueError, RecursionError):
        return None
    return frozenset(found) if isinstance(found, list) and all(isinstance(one, str) for one in found) else None
