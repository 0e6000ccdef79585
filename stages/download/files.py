"""The files of the media folder: publishing them atomically, and folders for unfinished downloads."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.base import VideoFailed
from stages.download.fetch import Bounds
from stages.media.source import NAME_DIGITS, RECORD_SUFFIX, MediaSource, digest, read_record, record_of
from storyloom.fs.atomic import sync_folder, temporary, write_atomically

TURN_PAUSE = 0.2
"""Seconds between two tries to get a lock (our choice)."""

HEXADECIMAL = "[0-9a-f]"

PARTIAL = ".partial"
"""Suffix of a folder with an unfinished download."""

VALIDATOR_SUFFIX = ".validator"
"""Suffix of the file that identifies the content of a partial download; without it, nothing can be resumed."""


def newest(folder: Path, name: str) -> Path | None:
    """The most recently written file in the folder among the contents of `name`; links are ignored."""
    contents = folder.glob(f"{name}-{HEXADECIMAL * NAME_DIGITS}.*")
    files = [file for file in contents if not file.is_symlink() and not file.name.endswith(RECORD_SUFFIX)]
    return max(files, key=_written, default=None)


def fetched_before(folder: Path, name: str) -> tuple[Path, MediaSource] | None:
    """The file that `newest` finds, and its record; None if missing or damaged."""
    file = newest(folder, name)
    record = read_record(record_of(file)) if file else None
    return (file, record) if file and record and record.matches(file) else None


def link(source: Path, final: Path) -> None:
    """Make `final` a symbolic link to a local file, replacing anything there."""
    unfinished_link = temporary(final)
    unfinished_link.symlink_to(source)
    unfinished_link.replace(final)


def publish(source: Path, final: Path, sha256: str) -> None:
    """Rename a finished download to its final name, durably.

    An existing file with this content is kept: another worker may have been faster. Anything else, such as a link or a
    damaged file, is replaced.
    """
    with source.open("rb") as content:
        os.fsync(content.fileno())
    try:
        os.link(source, final)
    except FileExistsError:
        if not final.is_symlink() and digest(final) == sha256:
            return
        replacement = temporary(final)
        os.link(source, replacement)
        replacement.replace(final)
    sync_folder(final.parent)


def record(final: Path, source: MediaSource) -> None:
    """Write the record of an existing media file."""
    write_atomically(record_of(final), source.model_dump_json().encode())


def _written(file: Path) -> tuple[int, str]:
    """Sort key for the time when a content was last found at its source: its record is rewritten each time."""
    written = record_of(file)
    return (written if written.exists() else file).stat().st_mtime_ns, file.name


@contextmanager
def unfinished(folder: Path, key: str) -> Iterator[Path]:
    """Yield a folder to download into, with an earlier attempt's files; it is kept only if a later one can resume.

    While another worker uses it, a fresh folder is yielded: then both download, and the first to finish wins.
    """
    shared = folder / f"{key}{PARTIAL}"
    with _lock(shared) as locked:
        place = shared if locked else Path(tempfile.mkdtemp(dir=folder, prefix=f"{key}.", suffix=PARTIAL))
        worth_another = False
        try:
            yield place
        except VideoFailed as failed:
            worth_another = failed.retryable
            raise
        except (OSError, KeyboardInterrupt):
            worth_another = True
            raise
        finally:
            resumable = any(file.stat().st_size for file in place.glob(f"*{VALIDATOR_SUFFIX}"))
            if not (locked and worth_another and resumable):
                # Rename first, so that no worker starts in a folder that is being removed.
                shutil.rmtree(place.rename(temporary(place)), ignore_errors=True)


@contextmanager
def alone(folder: Path, name: str, bounds: Bounds) -> Iterator[None]:
    """Wait until no other worker fetches the file of this name; at once where the file system has no locks.

    Raises:
        VideoFailed: ``too_slow``: the other one still fetches it.
    """
    with (folder / f"{name}.lock").open("wb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                bounds.check_time()
                time.sleep(TURN_PAUSE)
                continue
            except OSError:
                pass
            break
        yield


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Yield whether this process holds the lock of a folder; False too where the file system has no locks."""
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / "lock").open("wb")
    except FileNotFoundError:  # another worker has just removed it
        yield False
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(lock.fileno()), (folder / "lock").stat())
        except OSError:
            held = False
        yield held
