"""Errors that end a command, with the exit code that the command line documents."""

from __future__ import annotations

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
    """The run ended without its result."""
