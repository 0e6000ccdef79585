"""Fetching from object stores through fsspec, with the credentials that were configured."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.base import VideoFailed, of_the_machine
from stages.download.fetch import Bounds, chunks_of, save, waited, with_retries
from stages.media.source import MediaSource, Validators
from storyloom.fs.url import redacted, scheme_of

OF_INSTANCES = ("container-role", "iam-role")
"""botocore's providers that ask the machine's metadata service."""


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
    scheme, timeout = scheme_of(url), bounds.timeout
    filesystem = waited(lambda: _filesystem(scheme, timeout, instance_credentials=instance_credentials), bounds)

    def copy() -> Validators | None:
        with _failures_typed(url):
            found = Validators(etag=waited(lambda: filesystem.ukey(url), bounds))
            if known and known.etag == found.etag:
                return None
        with file.open("wb") as copied:
            save(_stored(filesystem, url, part, bounds), copied, 0, bounds)
        return found

    return with_retries(copy, bounds)


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


@functools.cache
def _filesystem(scheme: str, timeout: float, *, instance_credentials: bool) -> Any:
    import fsspec

    try:
        # Not url_to_fs: a chain such as zip://…::http://… must not be followed, nor a host in the URL connected to.
        options = {} if instance_credentials else _without_instance(scheme)
        return fsspec.filesystem(scheme, **options, **_patience(scheme, timeout))
    except ImportError as missing:
        message = f"{scheme}:// needs a package that is not there: {missing} (s3: s3fs, gs: gcsfs)"
        raise VideoFailed("missing_package", message, retryable=True) from missing
    except Exception as reason:
        if type(reason) in (ValueError, TypeError):  # TypeError: one that needs a host or a token
            message = f"no package opens {scheme}:// URLs without further settings"
            raise VideoFailed("scheme_refused", message) from reason
        message = f"{scheme}:// cannot be opened as it is set up here: {type(reason).__name__}: {reason}"
        raise VideoFailed("storage_error", message, retryable=True) from reason  # each package has its own exceptions


def _patience(scheme: str, timeout: float) -> dict[str, Any]:
    """Options that have S3's package close a connection after so many seconds without data; others' have none."""
    from fsspec.config import conf

    if scheme not in ("s3", "s3a"):
        return {}
    configured = conf.get(scheme, {}).get("config_kwargs", {})
    return {"config_kwargs": {"connect_timeout": timeout, "read_timeout": timeout, **configured}}


def _without_instance(scheme: str) -> dict[str, Any]:
    """Options that keep a store's package from the metadata service; without credentials it reads what is public.

    Other packages than S3's and Google's ask for them only where they are configured to.
    """
    from fsspec.config import conf

    if scheme in ("s3", "s3a"):
        if not {"key", "anon", "session"} & conf.get(scheme, {}).keys():
            return _without_instance_of_s3()
    elif scheme in ("gs", "gcs") and "token" not in conf.get(scheme, {}):
        named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
        kept = Path(os.environ.get("CLOUDSDK_CONFIG", "~/.config/gcloud"), "application_default_credentials.json")
        return {"token": "google_default" if named or kept.expanduser().exists() else "anon"}
    return {}


def _without_instance_of_s3() -> dict[str, Any]:
    import s3fs  # noqa: F401 - ImportError names it, rather than what it needs
    from aiobotocore.session import AioSession
    from botocore.session import Session

    session, looked = AioSession(), Session()
    for one in (session, looked):
        for provider in OF_INSTANCES:
            one.get_component("credential_provider").remove(provider)
    return {"session": session, "anon": looked.get_credentials() is None}


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
