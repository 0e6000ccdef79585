"""Fetching from object stores through fsspec, with the credentials that were configured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from stages.base import VideoFailed, of_the_machine
from stages.download.fetch import Bounds, chunks_of, save, waited, with_retries
from stages.media.source import MediaSource, Validators
from storyloom.fs import access
from storyloom.fs.cache import machine_cache
from storyloom.fs.objects import StoredObject, looked_up
from storyloom.fs.url import redacted, scheme_of

T = TypeVar("T")


def stored_object(url: str, bounds: Bounds, *, instance_credentials: bool) -> StoredObject | None:
    """The object at a URL, which can stay in its store; None where the store does not tell its contents apart.

    Raises:
        VideoFailed: As `from_storage` does.
    """

    def look() -> StoredObject | None:
        filesystem = _opened(url, bounds, instance_credentials=instance_credentials)
        with _failures_typed(url):
            return waited(lambda: looked_up(url, filesystem, instance_credentials=instance_credentials), bounds)

    return _with_new_credentials(lambda: with_retries(look, bounds))


@contextmanager
def object_here(known: StoredObject, bounds: Bounds) -> Iterator[Path]:
    """A file of this machine with the content of an object, which is brought at most once a machine.

    Raises:
        VideoFailed: As `from_storage` does, or ``media_changed``.
    """
    credentials = known.instance_credentials

    def bring(file: Path) -> None:
        def copy() -> None:
            filesystem = _opened(known.url, bounds, instance_credentials=credentials)
            with file.open("wb") as copied:
                save(_stored(filesystem, known.url, None, bounds), copied, 0, bounds)

        _with_new_credentials(lambda: with_retries(copy, bounds))
        if stored_object(known.url, bounds, instance_credentials=credentials) != known:
            raise VideoFailed("media_changed", f"{known.url} was replaced while it was read; run again", retryable=True)

    with machine_cache().file(known.identity, known.size, bring, noted=True) as file:
        yield file


def from_storage(
    url: str,
    file: Path,
    bounds: Bounds,
    known: MediaSource | None,
    *,
    instance_credentials: bool,
    part: tuple[int, int] | None = None,
) -> Validators | None:
    """Copy an object that fsspec can open, e.g. from S3, with the credentials configured for fsspec or the store.

    Args:
        url: Of the object.
        file: The copy.
        bounds: Limits of the fetch.
        known: The content from an earlier run.
        instance_credentials: Whether the machine's metadata service may be asked for credentials.
        part: First byte and number of bytes to copy; None for all.

    Returns:
        Validators of the content; None when it is the known one, which is then not copied.

    Raises:
        VideoFailed: ``missing_package``, ``scheme_refused``, ``not_found``, ``forbidden``, ``storage_error`` or
            ``too_slow``.
        VideoDropped: ``too_large``.
    """

    def copy() -> Validators | None:
        filesystem = _opened(url, bounds, instance_credentials=instance_credentials)
        with _failures_typed(url):
            found = Validators(etag=waited(lambda: filesystem.ukey(url), bounds))
            if known and known.etag == found.etag:
                return None
        with file.open("wb") as copied:
            save(_stored(filesystem, url, part, bounds), copied, 0, bounds)
        return found

    return _with_new_credentials(lambda: with_retries(copy, bounds))


def _with_new_credentials(request: Callable[[], T]) -> T:
    """The answer to a request; one that is refused is sent again with credentials that are read anew.

    Raises:
        VideoFailed: ``forbidden`` may be tried again: credentials that are out of date are the machine's fault.
    """
    for last in (False, True):
        try:
            return request()
        except VideoFailed as failed:
            if failed.code != "forbidden":
                raise
            if last:
                raise VideoFailed(failed.code, failed.message, retryable=True) from failed
        access.filesystem.cache_clear()
    raise AssertionError("the last one returns or raises")


def unreadable(url: str, timeout: float, *, instance_credentials: bool) -> str:
    """Why no object of a URL's store can be read here, with the remedy; empty where that cannot be told beforehand.

    The package must be there, and a store that is asked without credentials must answer: an object that it shows
    nobody tells that credentials are missing, one that is not there says nothing of the others.
    """
    scheme = scheme_of(url)
    try:
        filesystem = _filesystem(scheme, timeout, instance_credentials=instance_credentials)
        if getattr(filesystem, "anon", False) or getattr(filesystem, "token", "") == "anon":
            filesystem.info(url)
    except VideoFailed as failed:
        return failed.message
    except PermissionError:
        bucket = "/".join(redacted(url).split("/")[:3])
        return (
            f"{bucket} shows {redacted(url)} to nobody without credentials, and none are set up on this machine:"
            " set the store's own (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for Google"
            " GOOGLE_APPLICATION_CREDENTIALS), or download.instance_credentials"
        )
    except Exception as reason:  # each store's package has its own exceptions; the video's row will say it
        if of_the_machine(reason):
            raise
    return ""


def _opened(url: str, bounds: Bounds, *, instance_credentials: bool) -> Any:
    scheme, timeout = scheme_of(url), bounds.timeout
    return waited(lambda: _filesystem(scheme, timeout, instance_credentials=instance_credentials), bounds)


def _filesystem(scheme: str, timeout: float, *, instance_credentials: bool) -> Any:
    try:
        return access.filesystem(scheme, timeout, instance_credentials=instance_credentials)
    except ImportError as missing:
        message = f"{scheme}:// needs a package that is not there: {missing} (s3: s3fs, gs: gcsfs)"
        raise VideoFailed("missing_package", message, retryable=True) from missing
    except Exception as reason:
        if type(reason) in (ValueError, TypeError):  # TypeError: one that needs a host or a token
            message = f"no package opens {scheme}:// URLs without further settings"
            raise VideoFailed("scheme_refused", message) from reason
        message = f"{scheme}:// cannot be opened as it is set up here: {type(reason).__name__}: {reason}"
        raise VideoFailed("storage_error", message, retryable=True) from reason  # each package has its own exceptions


def _stored(filesystem: Any, url: str, part: tuple[int, int] | None, bounds: Bounds) -> Iterator[bytes]:
    with _failures_typed(url), waited(lambda: filesystem.open(url, "rb"), bounds) as source:
        chunks = chunks_of(source, part)
        while chunk := waited(lambda: next(chunks, b""), bounds):
            yield chunk


@contextmanager
def _failures_typed(url: str) -> Iterator[None]:
    try:
        yield
    except (VideoFailed, MemoryError):
        raise
    except FileNotFoundError as reason:
        raise VideoFailed("not_found", f"there is nothing at {redacted(url)}") from reason
    except PermissionError as reason:
        raise VideoFailed("forbidden", f"{redacted(url)} may not be read: {reason}") from reason
    except Exception as reason:  # each store's package has its own exceptions
        if of_the_machine(reason):
            raise
        message = f"{redacted(url)} could not be read: {type(reason).__name__}: {reason}"
        raise VideoFailed("storage_error", message, retryable=True) from reason
