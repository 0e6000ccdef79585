"""Fetching the content of URLs and local files as the config says: by scheme, within bounds, in turn at each host."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from stages.base import VideoFailed
from stages.download.fetch import Bounds, chunks_of, local_file, save, server_of
from stages.download.pace import Pace, turn_at
from stages.download.settings import DownloadConfig
from stages.media.held import Held
from stages.media.source import MediaSource, Validators
from stages.timing import Timings
from stages.turns import Turns
from storyloom.fs.objects import StoredObject
from storyloom.fs.url import scheme_of


class Fetcher:
    """Fetches what lines of the manifest name.

    Args:
        config: Bounds, and what may be fetched.
        turns: Of all workers at the hosts.
        timings: Where the time of fetching is added.
        stopped: Set when the run was interrupted.
    """

    def __init__(self, config: DownloadConfig, turns: Turns, timings: Timings, stopped: threading.Event) -> None:
        self._config = config
        self._turns = turns
        self._timings = timings
        self._stopped = stopped

    def scheme(self, url: str) -> str:
        """The URL's scheme, checked against the allowed ones."""
        scheme = scheme_of(url)
        if scheme not in self._config.schemes:
            raise VideoFailed("scheme_refused", f"{scheme} is not among download.schemes {self._config.schemes}")
        return scheme

    def turn(self, host: str) -> AbstractContextManager[Pace]:
        """The turn to hold while fetching from a host or site."""
        config = self._config
        return turn_at(self._turns, host, config.per_host, config.min_interval, self._stopped)

    def bounds(self, max_bytes: int, pace: Pace | None = None) -> Bounds:
        """The limits of a fetch that begins now."""
        config = self._config
        return Bounds(
            max_bytes,
            time.monotonic() + config.max_seconds,
            timeout=config.timeout,
            attempts=config.attempts,
            pause=config.retry_pause,
            stopped=self._stopped,
            pace=pace,
        )

    def local(self, url: str) -> AbstractContextManager[Held]:
        """The local file at a path or ``file://`` URL, held open."""
        return local_file(url, self._config.local_root)

    def stored(self, url: str) -> StoredObject | None:
        """The object at a URL that can stay in its store; None for what has to be copied."""
        if self.scheme(url) in ("file", "http", "https"):
            return None
        from stages.download.storage import stored_object

        with self._timings.on("fetch"), self.turn(server_of(url)) as pace:
            bounds = self.bounds(self._config.max_bytes, pace)
            return stored_object(url, bounds, instance_credentials=self._config.instance_credentials)

    @contextmanager
    def brought(self, known: StoredObject) -> Iterator[Path]:
        """A file of this machine with the content of an object."""
        from stages.download.storage import object_here

        with ExitStack() as stack:
            with self._timings.on("fetch"), self.turn(server_of(known.url)) as pace:
                file = stack.enter_context(object_here(known, self.bounds(self._config.max_bytes, pace)))
            yield file

    def copy(
        self,
        url: str,
        file: Path,
        max_bytes: int,
        known: MediaSource | None = None,
        part: tuple[int, int] | None = None,
    ) -> Validators | None:
        """Copy the content at a URL or path into `file`, unless it is the known one.

        Args:
            url: Of the content.
            file: The copy.
            max_bytes: Most bytes of it.
            known: The content from an earlier run.
            part: First byte and number of bytes to copy; None for all. Not over http(s).

        Returns:
            Validators of the content; None when it is the known one.
        """
        config, scheme = self._config, self.scheme(url)
        if scheme == "file":
            with self.local(url) as source, source.path.open("rb") as content, file.open("wb") as copied:
                save(chunks_of(content, part), copied, 0, self.bounds(max_bytes))
            return Validators()
        with self._timings.on("fetch"), self.turn(server_of(url)) as pace:
            bounds = self.bounds(max_bytes, pace)
            if scheme in ("http", "https"):
                from stages.download.web import from_http

                return from_http(url, file, bounds, known, allow_private=config.allow_private_addresses)
            from stages.download.storage import from_storage

            credentials = config.instance_credentials
            return from_storage(url, file, bounds, known, instance_credentials=credentials, part=part)
