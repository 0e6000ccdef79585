"""The file system behind a URL: the one place that asks fsspec for it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from storyloom.errors import UsageError
from storyloom.fs.place import STORES
from storyloom.fs.url import redacted, scheme_of, without_secrets

EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure"}
"""The extra that brings the package of a store, by the store's usual scheme."""

OF_CONTENT = ("ETag", "etag", "generation", "md5", "md5Hash")
"""Those of `VERSIONS` that differ between any two contents; times may not."""

VERSIONS = (*OF_CONTENT, "last_modified", "LastModified", "mtime", "created")
"""Where the stores of fsspec have what changes with a file's content, the surest first."""

ENVIRONMENT = ("AWS_", "FSSPEC_", "GOOGLE_", "GCSFS_", "STORAGE_", "AZURE_")
"""Begins of the names of variables that tell the stores' packages of servers and credentials."""

_known: dict[tuple[str, int, frozenset[tuple[str, str]]], Any] = {}
"""fsspec's file systems by scheme, process and environment: to make one takes a third of a second."""


def connected(url: str, options: Mapping[str, Any] | None = None, *, anew: bool = False) -> tuple[Any, str]:
    """The file system of a URL, and the URL's path in it. Nothing is remembered of what it lists: others change that.

    Args:
        url: For fsspec, such as ``s3://bucket/folder``.
        options: fsspec's, e.g. credentials.
        anew: Whether a new one is made, for all of this process, which looks for credentials again.

    Raises:
        UsageError: The URL's store needs a package that is missing, or is none that fsspec knows.
    """
    try:
        if options or scheme_of(url) not in STORES or "@" in url or "::" in url:  # what else the URL or the caller says
            return _made(url, skip_instance_cache=anew, **(options or {}))
        told = frozenset(pair for pair in os.environ.items() if pair[0].startswith(ENVIRONMENT))
        place = scheme_of(url), os.getpid(), told
        if anew or place not in _known:
            _known[place], _ = _made(url, skip_instance_cache=True)
        return _known[place], _known[place]._strip_protocol(url)  # noqa: SLF001 - as fsspec itself takes URLs apart
    except (ImportError, ValueError) as reason:
        said = without_secrets(str(reason), url)
        extra = EXTRAS.get(STORES.get(scheme_of(url), "")) if isinstance(reason, ImportError) else None
        way_out = f": pip install 'storyloom[{extra}]'" if extra else ""
        raise UsageError(f"{redacted(url)} cannot be opened: {said}{way_out}") from reason


def _made(url: str, **options: Any) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    found: tuple[Any, str] = url_to_fs(url, use_listings_cache=False, **options)
    # Its package prints warnings and traces of what it tries again, unless somebody wants to have them.
    logging.getLogger(type(found[0]).__module__.partition(".")[0]).addHandler(logging.NullHandler())
    return found


def version_of(found: Mapping[str, Any], keys: Sequence[str] = VERSIONS) -> str:
    """What tells a file's content from another one under the same name, from what fsspec says of the file."""
    return next((str(found[key]).strip('"') for key in keys if found.get(key)), "")
