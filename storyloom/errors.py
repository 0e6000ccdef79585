"""Errors that end a command, with the exit code that the command line documents."""

from __future__ import annotations

from typing import Any

FAILED = 1
USAGE = 2
INTERRUPTED = 130
TERMINATED = 143


class StoryloomError(Exception):
    """A problem that the user can fix; its message is printed without a traceback.

    Attributes:
        exit_code: 1 when the data or the run failed a check, 2 for wrong usage or config.
    """

    exit_code = FAILED


class UsageError(StoryloomError):
    """Wrong usage, config or manifest."""

    exit_code = USAGE


class RunFailed(StoryloomError):
    """The run ended without its result.

    Attributes:
        run: What it left behind, as `storyloom.run` returns it, with its `failures`; None of an error of another call.
    """

    run: Any = None


class BadDataset(RunFailed):
    """A file of a finished dataset is damaged, or not what the manifest says, or none that may be read."""


MAX_QUOTED = 400
"""Characters of a text that a message quotes: it may come from a stranger (our choice)."""


def printable(text: str) -> str:
    """A text without characters that control a terminal or break XML, cut to `MAX_QUOTED` characters."""
    cut = text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
