"""Fetching media files: common code and local paths. See also web.py, storage.py and sites/."""

from __future__ import annotations

import errno
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import urlsplit

from stages.base import VideoDropped, VideoFailed, of_the_machine
from stages.download.pace import Pace
from stages.media.held import Held, held
from storyloom.fs.url import local_path, redacted, scheme_of

T = TypeVar("T")

CHUNK = 1 << 20
"""Bytes read from an object store or a tar at a time (our choice)."""

LONGEST_PAUSE = 60.0
"""Seconds up to which the pause between attempts grows (our choice)."""


LOOK = 0.2
"""Seconds after which `waited` looks at the clock again (our choice)."""

PAST_DEADLINE = 0.01
"""Seconds after the deadline at which waiting ends, so that it has surely come (our choice)."""


PORTS = {"http": 80, "https": 443}
"""Ports that a URL need not state (RFC 9110, section 4.2)."""


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
        pace: The turn at the host; None for what has none.
    """

    max_bytes: int
    deadline: float
    timeout: float
    attempts: int
    pause: float
    stopped: threading.Event = field(default_factory=threading.Event)
    pace: Pace | None = None

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

    def patience(self) -> float:
        """Seconds to wait for the next data: `timeout`, or what is left until the deadline.

        Raises:
            VideoFailed: ``too_slow``.
        """
        self.check_time()
        return min(self.timeout, self.deadline - time.monotonic() + PAST_DEADLINE)


def host_of(url: str) -> str:
    """The URL's host in lower case.

    Raises:
        VideoFailed: ``bad_url``.
    """
    try:
        return urlsplit(url).hostname or ""
    except ValueError as reason:
        raise VideoFailed("bad_url", f"{redacted(url)} is not a URL: {reason}") from reason


def server_of(url: str) -> str:
    """The URL's host in lower case, with its port unless that is the scheme's own.

    Raises:
        VideoFailed: ``bad_url``.
    """
    host = host_of(url).removesuffix(".")
    try:
        port = urlsplit(url).port
    except ValueError as reason:
        raise VideoFailed("bad_url", f"{redacted(url)} is not a URL: {reason}") from reason
    return f"{host}:{port}" if port and port != PORTS.get(scheme_of(url)) else host


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
    """Call until success or a permanent failure, with growing pauses or those of the server's Retry-After.

    Each attempt waits until the host may be asked; one that the server limits makes all workers leave it alone.
    """
    from tenacity import RetryCallState, Retrying, retry_if_exception, sleep_using_event, wait_exponential_jitter

    growing = wait_exponential_jitter(initial=bounds.pause, max=LONGEST_PAUSE, jitter=bounds.pause)

    def pause(state: RetryCallState) -> float:
        failed = state.outcome.exception() if state.outcome else None
        return failed.after if isinstance(failed, RetryAfter) else growing(state)

    def enough(state: RetryCallState) -> bool:
        return state.attempt_number >= bounds.attempts or time.monotonic() + state.upcoming_sleep > bounds.deadline

    def paced() -> T:
        if bounds.pace is None:
            return attempt()
        bounds.pace.wait(bounds.deadline)
        try:
            return attempt()
        except VideoFailed as failed:
            if isinstance(failed, RetryAfter) or failed.code == "rate_limited":
                bounds.pace.pause(failed.after if isinstance(failed, RetryAfter) else bounds.pause)
            raise

    worth_it = retry_if_exception(lambda error: isinstance(error, VideoFailed) and error.retryable)
    sleep = sleep_using_event(bounds.stopped)
    return Retrying(retry=worth_it, wait=pause, stop=enough, sleep=sleep, reraise=True)(paced)


def waited(work: Callable[[], T], bounds: Bounds) -> T:
    """What a call returns or raises that knows no time limit, in a thread that is left behind at the deadline.

    Raises:
        VideoFailed: ``too_slow``.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as reason:  # noqa: BLE001 - whatever it is, it is raised below
            done.set_exception(reason)

    threading.Thread(target=run, daemon=True).start()
    while not wait([done], LOOK).done:
        bounds.check_time()
    return done.result()


def save(chunks: Iterable[bytes], file: BinaryIO, have: int, bounds: Bounds) -> int:
    """Append chunks to a file that has `have` bytes, within bounds; returns its new size in bytes."""
    for chunk in chunks:
        have += len(chunk)
        bounds.check_size(have)
        file.write(chunk)
        bounds.check_time()
    return have


@contextmanager
def local_file(url: str, root: str) -> Iterator[Held]:
    """Hold the file behind a path or ``file://`` URL open: what is checked is what was opened, whatever its name.

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
    with ExitStack() as stack:
        try:
            file = stack.enter_context(held(path))
            mode = file.path.stat().st_mode
        except PermissionError as reason:
            message = f"{path}: it may not be read by this user, or a folder on the way may not be entered"
            raise VideoFailed("forbidden", message) from reason
        except (OSError, ValueError) as reason:  # ValueError: a null byte
            if of_the_machine(reason):
                raise
            if isinstance(reason, OSError) and reason.errno in (errno.ENXIO, errno.EOPNOTSUPP):
                raise VideoFailed("not_a_file", f"{path} is no regular file") from reason
            message = f"there is no file {str(path)!r}; is this machine meant to see it?"
            raise VideoFailed("not_found", message) from reason
        if root and not file.real.is_relative_to(Path(root).resolve()):
            raise VideoFailed("outside_root", f"{file.real} does not lie under download.local_root = {root}")
        if not stat.S_ISREG(mode):
            kind = "a folder; list its files, or give it as the manifest" if stat.S_ISDIR(mode) else "no regular file"
            raise VideoFailed("not_a_file", f"{file.real} is {kind}")
        yield file


def chunks_of(source: BinaryIO, part: tuple[int, int] | None) -> Iterator[bytes]:
    """The content of a file, or its bytes from one on, so many."""
    if part is None:
        while chunk := source.read(CHUNK):
            yield chunk
        return
    start, left = part
    source.seek(start)
    while chunk := source.read(min(left, CHUNK)):
        left -= len(chunk)
        yield chunk
