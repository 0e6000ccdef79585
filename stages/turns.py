"""Turns at the hosts that media come from, so that all workers together keep to a budget for each.

A stage sees `Turns` only. Without Ray they are locks in a folder of this machine, shared by all processes of the user.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

LONGEST = 3600.0
"""Most seconds for which a host can have itself left alone, whatever its Retry-After says (our choice)."""

_SPENDING = threading.Lock()


class Turns(Protocol):
    """The budgets of hosts. No method waits."""

    def take(self, host: str, most: int) -> Callable[[], None] | None:
        """Take one of a host's turns; it ends with the process, too.

        Args:
            host: Name of the host or site.
            most: Turns that may be taken at the same time.

        Returns:
            What gives it back; None while all are taken.
        """

    def due(self, host: str, interval: float) -> float:
        """Seconds until the host may be asked; if it may be now, 0.0, and the next one may in `interval` seconds."""

    def pause(self, host: str, seconds: float) -> None:
        """Have nobody ask the host for so long, at most `LONGEST` seconds."""

    def spend(self, account: str, amount: float) -> float:
        """Add to what all workers of the run have spent on an account; returns the sum."""


def _own_folder() -> Path:
    return Path(tempfile.gettempdir(), f"storyloom-hosts-{os.getuid()}")


@dataclass(frozen=True)
class FolderTurns:
    """Turns as locked files, which the system unlocks when a process dies.

    Attributes:
        folder: The user's own; files are named by a hash of the host.
        spent: By account, in this process: with one process, that is the run.
    """

    folder: Path = field(default_factory=_own_folder)
    spent: dict[str, float] = field(default_factory=dict, compare=False)

    def take(self, host: str, most: int) -> Callable[[], None] | None:
        """See `Turns.take`."""
        for number in range(most):
            path = self._file(host, f"slot{number}")
            if slot := _locked(path):
                return partial(_removed, path, slot)
        return None

    def due(self, host: str, interval: float) -> float:
        """See `Turns.due`."""
        if not interval and not self._file(host, "next").exists():
            return 0.0
        with self._next(host) as file:
            left = _left(file)
            if left <= 0.0:
                _put_off(file, interval)
            return max(0.0, left)

    def pause(self, host: str, seconds: float) -> None:
        """See `Turns.pause`."""
        with self._next(host) as file:
            _put_off(file, max(_left(file), min(seconds, LONGEST)))

    def spend(self, account: str, amount: float) -> float:
        """See `Turns.spend`."""
        with _SPENDING:
            self.spent[account] = self.spent.get(account, 0.0) + amount
            return self.spent[account]

    @contextmanager
    def _next(self, host: str) -> Iterator[BinaryIO]:
        """The locked file with the time from which on a host may be asked."""
        with self._file(host, "next").open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _file(self, host: str, what: str) -> Path:
        with suppress(FileExistsError):  # whatever it is, it is looked at below
            self.folder.mkdir(mode=0o700, parents=True)
        found = self.folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise PermissionError(f"{self.folder} is not a folder of this user alone; remove it, or set TMPDIR")
        return self.folder / f"{hashlib.sha256(host.encode(errors='replace')).hexdigest()[:20]}.{what}"


def _locked(path: Path) -> BinaryIO | None:
    """A file, made where it is missing, that nobody else has locked; None if somebody has, or has just removed it."""
    file = path.open("ab")
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    file.close()
    return None


def _removed(path: Path, locked: BinaryIO) -> None:
    """Remove a file and end its lock: there may be as many hosts as videos."""
    path.unlink(missing_ok=True)
    locked.close()


def _left(file: BinaryIO) -> float:
    """Seconds until the time in a file; 0.0 where it has none, or one that cannot be (the clock was set back)."""
    file.seek(0)
    with suppress(ValueError):
        left = float(file.read(40)) - time.time()
        return left if left <= LONGEST else 0.0
    return 0.0


def _put_off(file: BinaryIO, seconds: float) -> None:
    file.truncate(0)
    file.write(repr(time.time() + seconds).encode())
    file.flush()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of the Retry-After header, which may be a date (RFC 9110, section 10.2.3)."""
    stated = headers.get("Retry-After", "")
    if re.fullmatch("[0-9]+", stated):
        return float(stated)
    try:
        return max(0.0, (parsedate_to_datetime(stated) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):  # no date, one without a time zone, or far off
        return None
