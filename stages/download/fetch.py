"""Fetching media files: common code, local paths and object stores. See also web.py and sites.py."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from stages.base import VideoDropped, VideoFailed
from stages.media.source import MediaSource, Validators, local_path, scheme_of
from storyloom.fs.url import redacted

T = TypeVar("T")

CHUNK = 1 << 20
"""Bytes read from an object store at a time (our choice)."""

LONGEST_PAUSE = 60.0
"""Seconds up to which the pause between attempts grows (our choice)."""


class RetryAfter(VideoFailed):
    """A retryable failure with the server's Retry-After.

    Args:
        after: Seconds to wait.
    """

    def __init__(self, code: str, message: str, after: float) -> None:
        super().__init__(code, message, retryable=True)
        self.after = after


@dataclass(frozen=True)
class Bounds:
    """Limits of fetching one video.

    Attributes:
        max_bytes: Most bytes of its file.
        deadline: On `time.monotonic`'s clock, in seconds; for all attempts together.
        timeout: Seconds without data after which a connection is closed.
        attempts: Most attempts, the first included.
        pause: Seconds before the second attempt; doubles with each further one.
        stopped: Set when the run was interrupted.
    """

    max_bytes: int
    deadline: float
    timeout: float
    attempts: int
    pause: float
    stopped: threading.Event = field(default_factory=threading.Event)

    def check_size(self, size: int) -> None:
        """Raise VideoDropped ``too_large`` for a file of more than `max_bytes`."""
        if size > self.max_bytes:
            raise VideoDropped("too_large", f"{size} bytes or more, over download.max_bytes = {self.max_bytes}")

    def check_time(self) -> None:
        """Raise VideoFailed ``too_slow`` after the deadline, KeyboardInterrupt when the run was interrupted."""
        if self.stopped.is_set():
            raise KeyboardInterrupt
        if time.monotonic() > self.deadline:
            raise VideoFailed("too_slow", "not fetched within download.max_seconds", retryable=True)


def host_of(url: str) -> str:
    """The URL's host in lower case.

    Raises:
        VideoFailed: ``bad_url``.
    """
    try:
        return urlsplit(url).hostname or ""
    except ValueError as reason:
        raise VideoFailed("bad_url", f"{redacted(url)} is not a URL: {reason}") from reason


def status_failure(status: int, url: str, after: float | None = None) -> VideoFailed:
    """The failure for an HTTP status other than success; `after` is the server's Retry-After, in seconds."""
    answer = f"{host_of(url)} answered {status} for {redacted(url)}"
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return VideoFailed("not_found", f"{answer}: it is not, or no longer, there")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS):
        return VideoFailed("forbidden", f"{answer}: it is not for everybody, or a signed URL has expired")
    limited = status == HTTPStatus.TOO_MANY_REQUESTS
    if limited or status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        code = "rate_limited" if limited else "server_error"
        return VideoFailed(code, answer, retryable=True) if after is None else RetryAfter(code, answer, after)
    return VideoFailed("http_status", f"{answer}, which is no video")


def with_retries(attempt: Callable[[], T], bounds: Bounds) -> T:
    """Call until success or a permanent failure, with growing pauses or those of the server's Retry-After."""
    from tenacity import RetryCallState, Retrying, retry_if_exception, sleep_using_event, wait_exponential_jitter

    growing = wait_exponential_jitter(initial=bounds.pause, max=LONGEST_PAUSE, jitter=bounds.pause)

    def pause(state: RetryCallState) -> float:
        failed = state.outcome.exception() if state.outcome else None
        return failed.after if isinstance(failed, RetryAfter) else growing(state)

    def enough(state: RetryCallState) -> bool:
        return state.attempt_number >= bounds.attempts or time.monotonic() + state.upcoming_sleep > bounds.deadline

    worth_it = retry_if_exception(lambda error: isinstance(error, VideoFailed) and error.retryable)
    sleep = sleep_using_event(bounds.stopped)
    return Retrying(retry=worth_it, wait=pause, stop=enough, sleep=sleep, reraise=True)(attempt)


def save(chunks: Iterable[bytes], file: BinaryIO, have: int, bounds: Bounds) -> int:
    """Append chunks to a file that has `have` bytes, within bounds; returns its new size in bytes."""
    for chunk in chunks:
        have += len(chunk)
        bounds.check_size(have)
        file.write(chunk)
        bounds.check_time()
    return have


def local_file(url: str, root: str) -> Path:
    """The file behind a path or ``file://`` URL, symbolic links resolved.

    Args:
        url: Path, relative to the working directory unless absolute, or URL.
        root: Folder under which the file must be; empty for anywhere.

    Raises:
        VideoFailed: ``bad_url``, ``not_found``, ``outside_root``, ``not_a_file`` or ``forbidden``.
    """
    try:
        path = local_path(url)
    except ValueError as reason:
        raise VideoFailed("bad_url", str(reason)) from reason
    try:
        file = path.resolve(strict=True)
        mode = file.stat().st_mode
    except PermissionError as reason:
        raise VideoFailed("forbidden", f"{path}: a folder on the way may not be entered") from reason
    except (OSError, ValueError, RuntimeError) as reason:  # ValueError: a null byte; RuntimeError: a symlink loop
        raise VideoFailed("not_found", f"there is no file {str(path)!r}; is this machine meant to see it?") from reason
    if root and not file.is_relative_to(Path(root).resolve()):
        raise VideoFailed("outside_root", f"{file} does not lie under download.local_root = {root}")
    if not stat.S_ISREG(mode):
        kind = "a folder; list its files, or give it as the manifest" if stat.S_ISDIR(mode) else "no regular file"
        raise VideoFailed("not_a_file", f"{file} is {kind}")
    if not os.access(file, os.R_OK):
        raise VideoFailed("forbidden", f"{file} may not be read by this user")
    return file


def from_storage(url: str, file: Path, bounds: Bounds, known: MediaSource | None) -> Validators | None:
    """Copy an object that fsspec can open, e.g. from S3; credentials come from fsspec's own configuration.

    Args:
        url: Of the object.
        file: The copy.
        bounds: Limits of the fetch.
        known: The content from an earlier run.

    Returns:
        Validators of the content; None when it is the known one, which is then not copied.

    Raises:
        VideoFailed: ``missing_package``, ``scheme_refused``, ``not_found``, ``forbidden``, ``storage_error`` or
            ``too_slow``.
        VideoDropped: ``too_large``.
    """
    import fsspec

    scheme = scheme_of(url)
    try:
        filesystem = fsspec.filesystem(scheme)  # not url_to_fs: a chain such as zip://…::http://… must not be followed
    except ImportError as missing:
        message = f"{scheme}:// needs a package that is not there: {missing} (s3: s3fs, gs: gcsfs)"
        raise VideoFailed("missing_package", message, retryable=True) from missing
    except ValueError as unknown:
        raise VideoFailed("scheme_refused", f"no package opens {scheme}:// URLs") from unknown

    def copy() -> Validators | None:
        with _failures_typed(url):
            found = Validators(etag=filesystem.ukey(url))
            if known and known.etag == found.etag:
                return None
        with file.open("wb") as copied:
            save(_stored(filesystem, url), copied, 0, bounds)
        return found

    return with_retries(copy, bounds)


def _stored(filesystem: Any, url: str) -> Iterator[bytes]:
    with _failures_typed(url), filesystem.open(url, "rb") as source:
        while chunk := source.read(CHUNK):
            yield chunk


@contextmanager
def _failures_typed(url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as reason:
        raise VideoFailed("not_found", f"there is nothing at {redacted(url)}") from reason
    except PermissionError as reason:
        raise VideoFailed("forbidden", f"{redacted(url)} may not be read: {reason}") from reason
    except Exception as reason:  # each store's package has its own exceptions
        message = f"{redacted(url)} could not be read: {type(reason).__name__}: {reason}"
        raise VideoFailed("storage_error", message, retryable=True) from reason
