"""Places that a user names: folders and files of this machine's file systems, and folders of object stores."""

from __future__ import annotations

import os
import re
from pathlib import Path

from storyloom.fs.url import URL, local_path, redacted, scheme_of

LONGEST_NAME, LONGEST_PATH = 255, 4095
"""Bytes of a name and of a path that Linux's file systems take (limits.h)."""

STORES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az", "memory": "memory"}
"""Schemes of stores that create a file only where there is none, as fsspec's packages of them do: of several writers
one wins. With others that would be silently untrue. Each with its usual name."""

CREDENTIALS = "credentials belong into the environment or the files of the store's own tools"


def local_place(place: str) -> str:
    """A place as it is, unless it is a URL: as a path, ``s3://bucket/x`` would be a folder ``s3:``.

    Raises:
        ValueError: It is a URL, or no path can be so: it holds a NUL, is too long, or in the home of an unknown user.
    """
    scheme, found, _ = place.partition("://")
    if found:
        raise ValueError(f"only folders and files of this machine's file systems serve here, not {scheme}://")
    if "\0" in place:
        raise ValueError("a path holds no NUL")
    try:
        path = os.fsencode(Path(place).expanduser())
    except RuntimeError:
        raise ValueError(f"there is no user whose home {place.partition('/')[0]!r} is") from None
    except UnicodeEncodeError:
        raise ValueError("a path holds no lone surrogates") from None
    if len(path) > LONGEST_PATH or max(map(len, path.split(b"/"))) > LONGEST_NAME:
        raise ValueError(f"a path has {LONGEST_PATH:,} bytes at most, and each of its names {LONGEST_NAME}")
    return place


def folder_place(place: str) -> str:
    """A folder in which files are made: the path of one on a disk, or the URL of one in a store, in its usual form.

    Raises:
        ValueError: No folder can be there: see `local_place`; or the URL is of what is only read, or holds a password.
    """
    if scheme_of(place) == "file":
        return local_place(str(local_path(place)))
    found, shown = URL.fullmatch(place), redacted(place)
    if found is None or not found[2] or "::" in place:
        raise ValueError(f"a folder in a store is named as in s3://bucket/folder, got {shown}")
    if "@" in found[2] or found[4] is not None or "#" in place:
        raise ValueError(f"a URL with a password, a query or a fragment is none of a folder; {CREDENTIALS}")
    if {".", ".."} & set(found[3].split("/")):
        raise ValueError(f"a URL has no . and .. in its path, got {shown}")
    if (scheme := scheme_of(place)) not in STORES:
        known = ", ".join(f"{one}://" for one in dict.fromkeys(STORES.values()))
        raise ValueError(f"nothing is written to {scheme}://, but to paths, {known}")
    return re.sub(r"(?<!:)//+", "/", usual(place)).rstrip("/")  # which some stores take for one slash, too


def usual(url: str) -> str:
    """A URL with the usual name of its store: ``s3://…`` for ``s3a://…``."""
    scheme = scheme_of(url)
    return f"{STORES.get(scheme, scheme)}://{url.partition('://')[2]}"


def absolute(place: str) -> str:
    """A path as an absolute one; a URL as it is."""
    return place if "://" in place else str(Path(place).expanduser().absolute())
