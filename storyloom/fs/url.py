"""URLs as they may be shown and published: without the secrets that userinfo and queries hold."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL)
"""Scheme, authority, path and query, as RFC 3986, appendix B, takes them apart."""

HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:[0-9]*)?")
"""A host and its port."""

NEXT_OF_CHAIN = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.-]*://)")
"""Between the URLs of a chain of fsspec's, such as ``zip://a.mp4::https://example.org/b.zip``."""

HIDDEN = "…"
"""Stands for what cannot be told from a password."""


def published(url: str, parameters: Collection[str] = ()) -> str:
    """A URL as datasets and messages have it: without userinfo and fragment, and without its query's secrets.

    Args:
        url: A URL, a chain of fsspec's, or a path, which stays as it is.
        parameters: Names of the query's parameters that stay.
    """
    return "::".join(_published(one, parameters) for one in NEXT_OF_CHAIN.split(url))


def redacted(url: str) -> str:
    """A URL for messages: `published` without any parameter."""
    return published(url)


def _published(url: str, parameters: Collection[str]) -> str:
    found = URL.fullmatch(url)
    if found is None:
        return url
    scheme, authority, path, query = found.groups()
    host = authority.rpartition("@")[2]
    if scheme.lower() == "file":
        return f"{scheme}://{host}{url[found.start(3) :]}"  # in a path, ? and # are characters like others
    if "@" in url[found.end(2) :] and not HOST.fullmatch(host):
        return f"{scheme}://{HIDDEN}"  # a password with a slash or a question mark in it
    kept = [one for one in re.split("[&;]", query or "") if unquote(one.partition("=")[0]) in parameters]
    return f"{scheme}://{host}{path}{'?' if kept else ''}{'&'.join(kept)}"
