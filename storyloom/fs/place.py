"""Places that a user names: folders and files of this machine's file systems."""

from __future__ import annotations


def local_place(place: str) -> str:
    """A place as it is, unless it is a URL: as a path, ``s3://bucket/x`` would be a folder ``s3:``.

    Raises:
        ValueError: It is a URL.
    """
    scheme, found, _ = place.partition("://")
    if found:
        raise ValueError(f"only folders and files of this machine's file systems serve here, not {scheme}://")
    return place
