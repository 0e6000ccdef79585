"""The files of the media folder: publishing them atomically, and folders for unfinished downloads."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stages.base import VideoFailed
from stages.download.fetch import Bounds
from stages.media.source import NAME_DIGITS, RECORD_SUFFIX, MediaSource, read_record, record_of
from storyloom.fs.atomic import remove_leftovers, temporary
from storyloom.fs.cache import machine_cache
from storyloom.fs.files import Entry, Files
from storyloom.fs.url import scheme_of

TURN_PAUSE = 0.2
"""Seconds between two tries to get a lock (our choice)."""

PARTIAL, LOCK_SUFFIX = ".partial", ".lock"
"""Suffixes of a folder with an unfinished download, and of the lock of a file that clips share."""

VALIDATOR_SUFFIX = ".validator"
"""Suffix of the file that identifies the content of a partial download; without it, nothing can be resumed."""


LEFT = 24 * 3600.0
"""Seconds after which nobody goes on with an unfinished download in a machine's cache (our choice)."""


def fetched_before(files: Files, folder: str, name: str) -> tuple[str, MediaSource, float] | None:
    """The file that was last found at its source among the contents of `name`, its record, and when that was written.

    Links, damaged files and what stays in a store are left out; the file may be in the machine's cache alone.

    Args:
        files: The media folder.
        folder: Of the video's files in it.
        name: The beginning of their names.
    """
    content = re.compile(rf"{re.escape(name)}-[0-9a-f]{{{NAME_DIGITS}}}\.")
    inside = [one for one in files.entries(folder, f"{name}-") if content.match(one.name.rpartition("/")[2])]
    there = {record_of(one.name): one for one in inside if not one.name.endswith(RECORD_SUFFIX)}
    records = [one for one in inside if one.name.endswith(RECORD_SUFFIX)]
    for entry in sorted(records, key=lambda one: (one.modified, one.name), reverse=True):
        known, file = read_record(files, entry.name), there.get(entry.name)
        if known and not known.stored and _has(files, file, known):
            return file.name if file else entry.name.removesuffix(RECORD_SUFFIX), known, entry.modified
    return None


def from_web(record: MediaSource) -> bool:
    """Whether a file came from the web, so that it can be had again anywhere."""
    return not record.stored and scheme_of(record.url) in ("http", "https")


def other_before(files: Files, folder: str, name: str, source: MediaSource) -> bool:
    """Whether another content of a name was there before, from the same address."""
    content = re.compile(rf"{re.escape(name)}-[0-9a-f]{{{NAME_DIGITS}}}{re.escape(RECORD_SUFFIX)}")
    records = [one.name for one in files.entries(folder, f"{name}-") if content.fullmatch(one.name.rpartition("/")[2])]
    found = (read_record(files, one) for one in records)
    return any(one and one.address == source.address and one.sha256 != source.sha256 for one in found)


def _has(files: Files, file: Entry | None, record: MediaSource) -> bool:
    """Whether a file has the content of its record; without a file, whether this machine's cache has it."""
    if file is None:
        with suppress(FileNotFoundError), machine_cache().kept(record.sha256):
            return True
        return False
    if file.size != record.size or files.keeps_bytes:
        return file.size == record.size
    with files.local(file.name) as path:
        return not path.is_symlink() and record.matches(path)


def publish(files: Files, name: str, file: Path, sha256: str) -> None:
    """Give a finished download its final name, durably.

    An existing file with this content is kept: another worker may have been faster. Anything else, such as a link or a
    damaged file, is replaced.
    """
    if not files.create(name, file, identity=sha256):
        files.replace(name, file)


def record(files: Files, name: str, source: MediaSource) -> None:
    """Write the record of an existing media file."""
    files.replace(record_of(name), source.model_dump_json().encode())


@contextmanager
def unfinished(folder: Path, key: str) -> Iterator[Path]:
    """Yield a folder to download into, with an earlier attempt's files; it is kept only if a later one can resume.

    While another worker uses it, a fresh folder is yielded: then both download, and the first to finish wins.
    """
    folder.mkdir(parents=True, exist_ok=True)
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


def remove_left(folder: Path) -> None:
    """Remove unfinished downloads and locks that nobody has touched for `LEFT` from the cache's folders.

    Args:
        folder: Of the cache; each work folder has one in it.
    """
    before = time.time() - LEFT
    for place in folder.glob("*/*"):
        remove_leftovers(place)
    for one in (*folder.glob(f"*/*/*{PARTIAL}"), *folder.glob(f"*/*/*{LOCK_SUFFIX}")):
        with suppress(FileNotFoundError):  # its worker has ended
            if max(touched.stat().st_mtime for touched in (one, *one.rglob("*"))) >= before:
                continue
            if one.is_dir():
                shutil.rmtree(one.rename(temporary(one)), ignore_errors=True)
            else:
                one.unlink()


@contextmanager
def alone(folder: Path, name: str, bounds: Bounds) -> Iterator[None]:
    """Wait until no other worker fetches the file of this name; at once where the file system has no locks.

    Raises:
        VideoFailed: ``too_slow``: the other one still fetches it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}{LOCK_SUFFIX}").open("wb") as lock:
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
