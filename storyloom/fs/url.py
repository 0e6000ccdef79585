"""URLs: their schemes and local paths, and how they may be shown and published, without the secrets that they hold."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import unquote, unquote_plus, urlsplit

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL)
"""Scheme, authority, path and query, as RFC 3986, appendix B, takes them apart."""

HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:[0-9]*)?")
"""A host and its port."""

LIKE_URL = re.compile(r"[\"'(<\[]*(?://|\\\\|[A-Za-z][A-Za-z0-9+.-]+[:;][/\\]|https?(?:[:;]|[/\\]{2}))[/\\]*")
"""Begin of what was to be a URL: without a scheme, or with a mistyped ``://``."""

NEXT_OF_CHAIN = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.-]*://)")
"""Between the URLs of a chain of fsspec's, such as ``zip://a.mp4::https://example.org/b.zip``."""

SECRET_LENGTH = 4
"""Characters from which a part of a URL is looked for in a text: shorter ones are in every other word (our choice)."""

SCHEME_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+.-"
"""Letters of a URL's scheme."""

HIDDEN = "…"
"""Stands for what cannot be told from a password."""


def scheme_of(url: str) -> str:
    """The URL's scheme in lower case; ``file`` for a path."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    return found[1].lower() if found else "file"


def local_path(url: str) -> Path:
    """The path of a path or ``file://`` URL.

    Raises:
        ValueError: The URL names another machine, or is invalid.
    """
    if not (scheme := re.match("file://", url, re.IGNORECASE)):
        return Path(url)
    if (urlsplit(url).hostname or "") not in ("", "localhost"):
        raise ValueError(f"{url} names another machine; write file:///path")
    return Path(unquote(url[scheme.end() :].removeprefix("localhost")))


def published(url: str, parameters: Collection[str] = ()) -> str:
    """A URL as datasets and messages have it: without userinfo and fragment, and without its query's secrets.

    Args:
        url: A URL, a chain of fsspec's, or a path, which stays as it is unless it looks like a mistyped URL.
        parameters: Names of the query's parameters that stay.
    """
    if not any(mark in url for mark in "@?#"):
        return url
    return "::".join(_published(one, parameters) for one in NEXT_OF_CHAIN.split(url))


def redacted(url: str) -> str:
    """A URL for messages: `published` without any parameter."""
    return published(url)


def _published(url: str, parameters: Collection[str]) -> str:
    found = URL.fullmatch(url)
    if found is None or not (found[2] or found[1].lower() == "file"):
        return _mistyped(url)
    scheme, authority, path, query = found.groups()
    host = authority.rpartition("@")[2]
    if scheme.lower() == "file":
        return f"{scheme}://{host}{url[found.start(3) :]}"  # in a path, ? and # are characters like others
    if "@" in url[found.end(2) :] and not HOST.fullmatch(host):
        return f"{scheme}://{HIDDEN}"  # a password with a slash or a question mark in it
    kept = [one for one in re.split("[&;]", query or "") if unquote(one.partition("=")[0]) in parameters]
    return f"{scheme}://{host}{path}{'?' if kept else ''}{'&'.join(kept)}"


def without_secrets(text: str, *urls: str) -> str:
    """A message, such as another package's, without userinfo and query of every URL that it quotes.

    Args:
        text: The message.
        urls: URLs that it is about. Their passwords and queries go wherever they stand, also out of their URL, in the
            spelling of the URL and decoded.
    """
    found = text
    if any(mark in text for mark in "@?#"):
        found = "".join(map(_redacted_word, re.split(r"([\s<>]+)", text)))
    for secret in sorted({one for url in urls for one in _secrets(url)}, key=len, reverse=True):
        found = found.replace(secret, HIDDEN)
    return found


def _redacted_word(word: str) -> str:
    """Text without white space, each URL in it `redacted`, up to the query of the first one that has any."""
    first = word.find("://")
    if first < 0:
        return _mistyped(word) if "@" in word or "=" in word else word
    marks = (place for place in range(first, len(word)) if word[place] in "?#" and not _in_path(word, place))
    end = next(marks, len(word))
    if "@" in word[end:] and not HOST.fullmatch(word[first + 3 : end].partition("/")[0].rpartition("@")[2]):
        return f"{word[:first]}://{HIDDEN}"
    before, *pieces = word[:end].split("://")
    return "://".join([before, *map(_without_userinfo, pieces)])


def _in_path(word: str, place: int) -> bool:
    """Whether a character lies in a ``file://`` URL, where ? and # are characters like others."""
    begin = word.rfind("://", 0, place)
    return word[len(word[:begin].rstrip(SCHEME_LETTERS)) : begin].lower() == "file"


def _mistyped(text: str) -> str:
    """A path or a word; without userinfo and query where it looks like a mistyped URL or has ``user:password@host``."""
    parts = re.split(r"([/\\])", text)
    for number, part in enumerate(parts):
        user, at, host = part.rpartition("@")
        if at and host and ":" in user and not any(map(str.isspace, user)) and (number < len(parts) - 1 or ":" in host):
            parts[number] = host
    bare = "".join(parts)
    if begin := LIKE_URL.match(bare):
        host, _, rest = bare[begin.end() :].partition("/")
        if "@" in rest and not HOST.fullmatch(host.rpartition("@")[2]):
            return f"{begin[0]}{HIDDEN}"  # a password with a slash in it
    return re.split("[?#]", bare, maxsplit=1)[0] if begin or bare != text else text


def _as_url(text: str) -> re.Match[str] | None:
    """A URL or a mistyped one, taken apart; None for a path."""
    if _mistyped(text) == text:
        return URL.fullmatch(text)
    return URL.fullmatch("mistyped://" + LIKE_URL.sub("", text, count=1))


def _without_userinfo(piece: str) -> str:
    """What follows ``://``, without userinfo."""
    authority, slash, path = piece.partition("/")
    host = authority.rpartition("@")[2]
    if "@" in path and not HOST.fullmatch(host):
        return HIDDEN
    return f"{host}{slash}{path}"


def _secrets(url: str) -> Iterator[str]:
    """Passwords, queries and their values in a URL, as they stand there and decoded."""
    for one in NEXT_OF_CHAIN.split(url):
        if (found := _as_url(one)) is None:
            continue
        userinfo = found[2].rpartition("@")[0]
        query, fragment = found[4] or "", found.string.partition("#")[2]
        values = [pair.partition("=")[2] for pair in re.split("[&;]", query)]
        for part in (userinfo, userinfo.partition(":")[2], query, fragment, *values):
            yield from (form for form in {part, unquote(part), unquote_plus(part)} if len(form) >= SECRET_LENGTH)
