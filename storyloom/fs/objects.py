"""Objects that stay in the store where they lie, and are brought to this machine while they are used."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from storyloom.fs.access import filesystem
from storyloom.fs.cache import machine_cache
from storyloom.fs.connect import OF_CONTENT, version_of
from storyloom.fs.failure import why
from storyloom.fs.store import ATTEMPTS, PAUSE, StoreFailed
from storyloom.fs.url import redacted, scheme_of, without_secrets

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds without data after which a connection is closed (our choice)."""


@dataclass(frozen=True)
class StoredObject:
    """An object in a store.

    Attributes:
        url: Its URL, which holds no secret.
        version: Its ETag or what the store has in its place: another one for each content.
        size: Bytes.
        instance_credentials: Whether the machine's metadata service may be asked for credentials to read it.
    """

    url: str
    version: str
    size: int
    instance_credentials: bool = False

    @property
    def identity(self) -> str:
        """What tells this content of this object apart from every other."""
        return hashlib.sha256(f"{self.url}\n{self.version}".encode()).hexdigest()


def looked_up(url: str, opened: Any, *, instance_credentials: bool) -> StoredObject | None:
    """The object at a URL; None where its store does not tell contents apart, or where the URL may hold a secret.

    Args:
        url: Its URL.
        opened: fsspec's file system.
        instance_credentials: As `StoredObject` has it.

    Raises:
        FileNotFoundError: There is none.
        Exception: Whatever the store's package raises.
    """
    if redacted(url) != url or "::" in url:
        return None
    found = opened.info(url)
    version = version_of(found, OF_CONTENT)
    if not version or found.get("size") is None or found["type"] == "directory":
        return None
    return StoredObject(url, version, int(found["size"]), instance_credentials)


@contextmanager
def brought(known: StoredObject) -> Iterator[Path]:
    """A file of this machine with the content of an object, as long as the block lasts; it is brought once a machine.

    Raises:
        FileNotFoundError: It is gone, or has another content by now.
        StoreFailed: The store failed, refused, or could not be reached.
    """

    def opened() -> Any:
        return filesystem(scheme_of(known.url), PATIENCE, instance_credentials=known.instance_credentials)

    def look() -> StoredObject | None:
        return looked_up(known.url, opened(), instance_credentials=known.instance_credentials)

    def check() -> None:
        if _tried(look, known.url) != known:
            raise FileNotFoundError(f"{known.url} was replaced: its content is another one by now")

    def bring(file: Path) -> None:
        _tried(lambda: opened().get_file(known.url, str(file)), known.url)
        check()

    check()
    with machine_cache().file(known.identity, known.size, bring, noted=True) as file:
        yield file


def _tried(request: Callable[[], T], url: str) -> T:
    """The answer to a request that is sent several times, once it was refused with credentials that are read anew.

    Raises:
        FileNotFoundError: There is no such object.
        StoreFailed: Anything else.
    """
    for attempt in range(ATTEMPTS):
        try:
            return request()
        except FileNotFoundError:
            raise
        except Exception as reason:
            if attempt == ATTEMPTS - 1:
                raise StoreFailed(f"{url}: {without_secrets(why(reason), url)}") from reason
            if isinstance(reason, PermissionError):
                filesystem.cache_clear()
        time.sleep(PAUSE * 2**attempt)
    raise AssertionError("the last attempt raises")
