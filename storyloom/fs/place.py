"""Places that a user names: folders and files of this machine's file systems."""

from __future__ import annotations

import os
from pathlib import Path

LONGEST_NAME, LONGEST_PATH = 255, 4095
"""Bytes of a name and of a path that Linux's file systems take (limits.h)."""


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


def absolute(place: str) -> str:
    """A path as an absolute one; a URL as it is."""
    return place if "://" in place else str(Path(place).expanduser().absolute())
