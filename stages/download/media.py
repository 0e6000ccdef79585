"""The media files of videos: linked, copied or fetched into the media folder, and probed."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from schemas.manifest import ManifestRow
from schemas.media import SiteTrack
from stages.base import VideoDropped, VideoFailed
from stages.download.embedded import from_parquet
from stages.download.fetcher import Fetcher
from stages.download.files import alone, fetched_before, from_web, other_before, publish, record, unfinished
from stages.download.probing import probe
from stages.download.settings import DownloadConfig
from stages.download.sites.extractors import listed_site
from stages.download.sites.fetch import from_site
from stages.download.sites.tracks import Offer
from stages.media.held import Held
from stages.media.source import (
    MediaSource,
    Validators,
    address_of,
    content_here,
    content_name,
    digest,
    steady,
    told_apart_by,
)
from stages.timing import Timings
from storyloom.fs.cache import machine_cache
from storyloom.fs.files import Files
from storyloom.fs.objects import StoredObject
from storyloom.fs.url import redacted

SUFFIXES = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "mkv", "mpegts": "ts"}
"""File extension by demuxer, where it is not the demuxer's name."""


@dataclass(frozen=True)
class Kept:
    """A video's file in the media folder.

    Attributes:
        name: Its name there.
        source: Its record.
        probed: The output of `probe`.
        warnings: Of fetching it.
    """

    name: str
    source: MediaSource
    probed: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


class MediaFiles:
    """Puts videos' files into the media folder.

    Args:
        files: The media folder.
        config: Bounds of the videos.
        fetcher: Fetches them.
        timings: Where the time of probing and of sites is added.
    """

    def __init__(self, files: Files, config: DownloadConfig, fetcher: Fetcher, timings: Timings) -> None:
        self._files = files
        self._config = config
        self._fetcher = fetcher
        self._timings = timings
        self._began = time.time()
        self._probed: dict[tuple[str, str], dict[str, Any]] = {}
        self._digests: dict[tuple[int, ...], str] = {}

    def kept(self, line: ManifestRow) -> Kept:
        """The file of a line's video, or of which it is a clip."""
        folder = self._files.folder_here(line.media_name[:2])
        scheme = self._fetcher.scheme(line.location)
        if scheme == "file" and not line.member:
            with self._fetcher.local(line.location) as file:
                return self._linked(file, line)
        if not line.is_clip:
            return self._fetched(line, scheme, folder)
        with alone(folder, line.media_name, self._fetcher.bounds(self._config.max_bytes)):
            before = self._before(line)
            # For another of its clips; but a site's page has tracks by language: `_of_site` knows which are there.
            at_site = listed_site(line.location, self._config.sites)
            if before is not None and not at_site and before[2] >= self._began:
                return self._again(*before[:2], line)
            found = self._fetched(line, scheme, folder)
            if not found.warnings:  # its source answered
                record(self._files, found.name, found.source)
            return found

    def bounded(self, probed: dict[str, Any]) -> dict[str, Any]:
        """The output of `probe` for a video or a clip, whose duration is checked against the configured bounds."""
        config, duration = self._config, probed["duration"]
        if duration > config.max_duration:
            raise VideoDropped("too_long", f"{duration:g} s, over download.max_duration = {config.max_duration:g}")
        if duration < config.min_duration:
            raise VideoDropped("too_short", f"{duration:g} s, under download.min_duration = {config.min_duration:g}")
        return probed

    def _fetched(self, line: ManifestRow, scheme: str, folder: Path) -> Kept:
        return self._copied_out(line, scheme, folder) if line.member else self._remote(line, folder)

    def _remote(self, line: ManifestRow, folder: Path) -> Kept:
        """The file of a video that is not on this machine."""
        url, name = line.location, line.media_name
        if site := listed_site(url, self._config.sites):
            return self._of_site(site, line, folder)
        if found := self._fetcher.stored(url):
            return self._left(found, line)
        before = self._before(line)
        known = before[1].at(url) if before else None
        warnings = []
        try:
            with unfinished(folder, name) as place:
                validators = self._fetcher.copy(url, place / "media", self._config.max_bytes, known)
                if validators is not None:
                    return self._published(place / "media", validators, line)
        except VideoFailed:
            if known is None or known.address != address_of(url):
                raise
            warnings = ["source_unchecked"]
        assert before is not None, "only what is there already is not fetched"
        if before[1].address != address_of(url):  # the same content by its tag, under a renewed URL
            record(self._files, before[0], before[1].model_copy(update={"address": address_of(url)}))
        return self._again(*before[:2], line, warnings)

    def _left(self, found: StoredObject, line: ManifestRow) -> Kept:
        """What is known of an object that stays in its store: it is read whole, and no copy is made of it."""
        self._check_size(found.size)
        with self._brought(found, line) as (file, sha256):
            probed = self._checked(file, sha256, line)
            source = MediaSource.of(file.stat(), sha256, found.url, Validators(found.version))
        asked = {"stored": True, "instance_credentials": found.instance_credentials}
        source = source.model_copy(update=asked)
        name = self._name(line.media_name, sha256, _extension_of(probed))
        record(self._files, name, source)
        return Kept(name, source, probed)

    @contextmanager
    def _brought(self, found: StoredObject, line: ManifestRow) -> Iterator[tuple[Path, str]]:
        """An object's content on this machine and its SHA-256; what its disk has made of it since is brought again.

        Raises:
            OSError: The disk gives other bytes than were written just now.
        """
        cache = machine_cache()
        with ExitStack() as stack:
            for _ in range(2):
                file = stack.enter_context(self._fetcher.brought(found))
                sha256 = self._digest(file, file.stat(), line)
                if sha256 == cache.note(found.identity):
                    yield file, sha256
                    return
                cache.forget(found.identity)
                stack.close()
        raise OSError(errno.EIO, f"the disk of the cache changes what is written ({file})")

    def _of_site(self, site: str, line: ManifestRow, folder: Path) -> Kept:
        """A site's video; of one that is there, the page alone when other subtitles are wanted."""
        url, config = line.location, self._config
        asked = f"{config.site_subtitles} {line.language}"
        before = self._before(line)
        known = before[:2] if before and before[1].at(url) and before[1].page else None
        if known and known[1].asked == asked and self._has_tracks(known[1]):
            return self._again(*known, line)
        try:
            with unfinished(folder, line.media_name) as place:
                with self._timings.on("fetch"), self._fetcher.turn(site) as pace:
                    bounds = self._fetcher.bounds(config.max_bytes, pace)
                    # Of a clip, its own duration counts.
                    asking = replace(config.site, max_duration=math.inf) if line.is_clip else config.site
                    found = from_site(url, place / "site", bounds, asking, line.language, media=known is None)
                if found.file:
                    kept = self._published(found.file, Validators(), line)
                else:
                    assert known is not None, "only of a video that is there the media is not fetched"
                    kept = self._again(*known, line)
                tracks = [self._site_track(*track, line, n) for n, track in enumerate(found.tracks, 1)]
        except VideoFailed:
            if known is None:
                raise
            return self._again(*known, line, ["source_unchecked"])
        page = found.page.model_copy(update={"tracks": tracks})
        source = kept.source.model_copy(update={"page": page, "asked": "" if found.problems else asked})
        record(self._files, kept.name, source)
        return replace(kept, source=source, warnings=[*kept.warnings, *found.problems])

    def _site_track(self, offer: Offer, file: Path, line: ManifestRow, number: int) -> SiteTrack:
        """Publish a subtitle track of a site."""
        sha256 = digest(file)
        name = self._name(f"{line.media_name}-site{number}", sha256, offer.extension)
        publish(self._files, name, file, sha256)
        return SiteTrack(file=name, language=offer.language, automatic=offer.automatic)

    def _has_tracks(self, source: MediaSource) -> bool:
        return source.page is not None and all(self._files.entry(one.file) for one in source.page.tracks)

    def _copied_out(self, line: ManifestRow, scheme: str, folder: Path) -> Kept:
        """A copy of a tar's member, or of what a row of a Parquet file holds."""
        url, bounds = line.location, self._fetcher.bounds(self._config.max_bytes)
        bounds.check_size(line.size)
        if scheme in ("http", "https") or (line.size < 0 and scheme != "file"):
            message = f"no videos are read out of tars over http(s), or of remote Parquet; copy {redacted(url)} first"
            raise VideoFailed("scheme_refused", message)
        with unfinished(folder, line.media_name) as place:
            file = place / "media"
            if line.size < 0:
                with self._fetcher.local(url) as table:
                    from_parquet(table, line.offset, file, bounds)
            else:
                self._fetcher.copy(url, file, self._config.max_bytes, part=(line.offset, line.size))
            if file.stat().st_size < line.size:
                message = f"the tar ends within {line.member}: was it replaced? Run again"
                raise VideoFailed("truncated_download", message)
            return self._published(file, Validators(), line)

    def _linked(self, file: Held, line: ManifestRow) -> Kept:
        """The link to a local file, which must not change while it is probed."""
        with steady(file) as stated:
            self._check_size(stated.st_size)
            sha256 = self._digest(file.path, stated, line)
            probed = self._checked(file.path, sha256, line)
            source = MediaSource.of(stated, sha256, str(file.real))
        name = self._name(line.video, sha256, _extension_of(probed))
        with steady(file):  # which may take long where its content is sent
            self._files.link(name, file.real, sha256)
        record(self._files, name, source)
        return Kept(name, source, probed)

    def _digest(self, file: Path, stated: os.stat_result, line: ManifestRow) -> str:
        """The SHA-256 of a file; one of clips is read once by a worker, as long as its status stays."""
        state = told_apart_by(stated)
        sha256 = self._digests.get(state) or digest(file)
        if line.is_clip:
            self._digests[state] = sha256
        return sha256

    def _published(self, file: Path, validators: Validators, line: ManifestRow) -> Kept:
        """Probe a fetched file and publish it under its final name."""
        sha256 = digest(file)
        probed = self._checked(file, sha256, line)
        name = self._name(line.media_name, sha256, _extension_of(probed))
        source = MediaSource.of(file.stat(), sha256, line.location, validators)
        if self._config.keep == "never" and from_web(source):
            machine_cache().adopt(sha256, file, given=True)
        else:
            publish(self._files, name, file, sha256)
            with self._files.local(name, sha256) as kept:
                source = MediaSource.of(kept.stat(), sha256, line.location, validators)
        changed = self._config.keep != "always" and other_before(self._files, name[:2], line.media_name, source)
        record(self._files, name, source)
        return Kept(name, source, probed, ["source_changed"] if changed else [])

    def _again(self, name: str, source: MediaSource, line: ManifestRow, warnings: list[str] | None = None) -> Kept:
        """A file from an earlier run."""
        with content_here(self._files, name, source) as file:
            probed = self._checked(file, source.sha256, line)
        return Kept(self._name(line.media_name, source.sha256, _extension_of(probed)), source, probed, warnings or [])

    def _before(self, line: ManifestRow) -> tuple[str, MediaSource, float] | None:
        return fetched_before(self._files, line.media_name[:2], line.media_name)

    def _name(self, name: str, sha256: str, extension: str) -> str:
        """The name of a content of a video in the media folder."""
        return f"{name[:2]}/{content_name(name, sha256, extension)}"

    def _checked(self, file: Path, sha256: str, line: ManifestRow) -> dict[str, Any]:
        """The output of `probe`, checked with the file's size against the configured bounds.

        A file of clips, whose bounds are each clip's own, is looked at once by a worker.

        Args:
            file: The media file.
            sha256: Of its content.
            line: The video's line of the manifest.
        """
        self._check_size(file.stat().st_size)
        if line.is_clip and (known := self._probed.get((sha256, line.language))):
            return known
        with self._timings.on("decode"):
            found = probe(file, self._config.probe_limits, line.language)
        if not line.is_clip:
            return self.bounded(found)
        self._probed[sha256, line.language] = found
        return found

    def _check_size(self, size: int) -> None:
        most = self._config.max_bytes
        if size > most:
            raise VideoDropped("too_large", f"{size} bytes, over download.max_bytes = {most}")


def _extension_of(probed: dict[str, Any]) -> str:
    """The file extension of the container; it depends on the content, not on the URL."""
    container: str = probed["container"]
    return SUFFIXES.get(container, container.partition(",")[0])
