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
from stages.media.source import NAME_DIGITS, RECORD_SUFFIX, MediaSource, digest, read_record, record_of
from storyloom.fs.atomic import sync_folder, temporary, write_atomically

HEXADECIMAL = "[0-9a-f]"

PARTIAL = ".partial"
"""Ends the name of a folder with an unfinished download."""

VALIDATOR_SUFFIX = ".validator"
"""Ends the name of the file that says which content a partial download is of; without it, nothing can be resumed."""


def newest(folder: Path, name: str) -> Path | None:
    """The file in the folder that was written last of all contents of what is called `name`; a link does not count."""
    contents = folder.glob(f"{name}-{HEXADECIMAL * NAME_DIGITS}.*")
    files = [file for file in contents if not file.is_symlink() and not file.name.endswith(RECORD_SUFFIX)]
    return max(files, key=_written, default=None)


def fetched_before(folder: Path, name: str) -> tuple[Path, MediaSource] | None:
    """The file that `newest` finds, and its record; None where it is damaged."""
    file = newest(folder, name)
    record = read_record(record_of(file)) if file else None
    return (file, record) if file and record and record.matches(file) else None


def link(source: Path, final: Path) -> None:
    """Let `final` be a symbolic link to a local file, whatever it was before."""
    unfinished_link = temporary(final)
    unfinished_link.symlink_to(source)
    unfinished_link.replace(final)


def publish(source: Path, final: Path, sha256: str) -> None:
    """Give a finished download its name, durably.

    What has the name already stays when it is a file with this content: another worker may have been faster. Anything
    else, such as a link or a damaged file, is replaced.
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
    """Write the record of a media file that is there."""
    write_atomically(record_of(final), source.model_dump_json().encode())


def _written(file: Path) -> tuple[int, str]:
    """When a content was last found at its source: its record, where it has one, is written anew each time."""
    written = record_of(file)
    return (written if written.exists() else file).stat().st_mtime_ns, file.name


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
