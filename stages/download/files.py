"""The files of the media folder: how one appears there, and where it is before it is whole."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.base import VideoFailed
from storyloom.fs.atomic import sync_folder, temporary

PARTIAL = ".partial"
"""Ends the name of a folder with an unfinished download."""

VALIDATOR_SUFFIX = ".validator"
"""Ends the name of the file that says which content a partial download is of; without it, nothing can be resumed."""


def present(folder: Path, key: str) -> Path | None:
    """The video's file from an earlier run."""
    found = sorted(file for file in folder.glob(f"{key}.*") if file.is_file())
    return found[0] if found else None


def link(source: Path, final: Path) -> None:
    """Let `final` be a symbolic link to a local file, whatever it was before."""
    unfinished_link = temporary(final)
    unfinished_link.symlink_to(source)
    unfinished_link.replace(final)


def publish(source: Path, final: Path) -> bool:
    """Give a finished download its name, durably; False when the name is taken, which leaves what is there."""
    with source.open("rb") as content:
        os.fsync(content.fileno())
    if final.is_symlink() and not final.exists():  # a link to a local file that has gone
        final.unlink(missing_ok=True)
    try:
        os.link(source, final)
    except FileExistsError:
        return False
    sync_folder(final.parent)
    return True


@contextmanager
def unfinished(folder: Path, key: str) -> Iterator[Path]:
    """A folder to download into, with what an earlier attempt left; it stays only if a later one may go on from it.

    While another worker has it, the folder is a fresh one: then both download, and the first to finish wins.
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
                # First out of sight, so that nobody starts to work in a folder that is being removed.
                shutil.rmtree(place.rename(temporary(place)), ignore_errors=True)


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Whether this process is the one to use a folder; False too where the file system has no locks."""
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / "lock").open("wb")
    except FileNotFoundError:  # its user has just removed it
        yield False
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(lock.fileno()), (folder / "lock").stat())
        except OSError:
            held = False
        yield held
