"""download: fetches or links each video's media file and subtitles, and probes its streams."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar

from pydantic import Field

from schemas.config import LEAST_MEMORY, LONGEST, MOST_MEMORY, OPERATIONAL, Resources, StageConfig
from schemas.row import Row
from schemas.rows import ManifestRow, MediaRow
from stages.base import Input, Stage, Video, VideoDropped, VideoFailed
from stages.download.fetch import Bounds, from_storage, host_of, local_file
from stages.download.files import fetched_before, link, publish, record, unfinished
from stages.download.probing import check, probe
from stages.media.sandbox import Limits
from stages.media.source import (
    MediaSource,
    Validators,
    address_of,
    content_name,
    digest,
    scheme_of,
    source_state,
    steady,
)
from stages.media.subtitles.tracks import MAX_BYTES
from storyloom.fs.url import redacted, without_secrets

SUFFIXES = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "mkv", "mpegts": "ts"}
"""File extension by demuxer, where it is not the demuxer's name."""


class DownloadConfig(StageConfig):
    """Settings of `download`. All numbers are our choice.

    Attributes:
        schemes: URL schemes that may be fetched; ``file`` stands for local paths too. Others are any of fsspec's.
        local_root: Folder under which local files must be, links resolved; empty for anywhere.
        allow_private_addresses: Fetch from hosts at private, loopback or link-local addresses too.
        sites: Hosts, with their subdomains, that are fetched with yt-dlp; their addresses are not checked.
        site_format: yt-dlp's format selector.
        max_bytes: Most bytes of a file; a larger video is dropped.
        min_duration: Least seconds; a shorter video is dropped.
        max_duration: Most seconds; a longer video is dropped.
        max_seconds: Wall-clock limit of fetching one video, with all attempts.
        timeout: Seconds without data after which a connection is closed.
        attempts: Most attempts at one fetch, the first included.
        retry_pause: Seconds before the second attempt; doubles with each further one.
        concurrency: Videos fetched at once by one worker.
        per_host: Videos fetched at once from one host by one worker.
        probe_seconds: Wall-clock limit of probing one file.
        probe_memory: Bytes of address space for probing one file.
    """

    schemes: tuple[str, ...] = ("file", "http", "https", "s3", "gs")
    local_root: str = ""
    allow_private_addresses: bool = False
    sites: tuple[str, ...] = ("youtube.com", "youtu.be", "vimeo.com", "dailymotion.com", "bilibili.com")
    site_format: str = "bv*[height<=720][ext=mp4]+ba[ext=m4a]/b[height<=720][ext=mp4]/bv*[height<=720]+ba/b"
    max_bytes: Annotated[int, Field(gt=0, le=2**50)] = 4 * 2**30
    min_duration: Annotated[float, Field(ge=0, le=LONGEST)] = 0.0
    max_duration: Annotated[float, Field(gt=0, le=LONGEST)] = 4 * 3600.0
    max_seconds: Annotated[float, Field(gt=0, le=LONGEST), OPERATIONAL] = 3600.0
    timeout: Annotated[float, Field(gt=0, le=LONGEST), OPERATIONAL] = 30.0
    attempts: Annotated[int, Field(ge=1, le=1000), OPERATIONAL] = 5
    retry_pause: Annotated[float, Field(ge=0, le=3600), OPERATIONAL] = 1.0
    concurrency: Annotated[int, Field(ge=1, le=1000), OPERATIONAL] = 4
    per_host: Annotated[int, Field(ge=1, le=1000), OPERATIONAL] = 2
    probe_seconds: Annotated[float, Field(gt=0, le=LONGEST), OPERATIONAL] = 60.0
    probe_memory: Annotated[int, Field(ge=LEAST_MEMORY, le=MOST_MEMORY), OPERATIONAL] = 4 * 2**30
    resources: Annotated[Resources, OPERATIONAL] = Resources(cpus=0.25)


class Download(Stage[DownloadConfig, MediaRow]):
    """Puts a video's file at ``media/<2 hex>/<key>-<12 hex of its SHA-256>.<ext>``, its record beside it.

    Local files are linked; others appear whole or not at all. The manifest's subtitle track goes to
    ``<key>-subtitles-<12 hex>.<ext>`` beside it; it is optional. Further files beside a local video are kept as
    ``<key>-subtitles2-…`` and so on.

    A file from an earlier run is fetched again only when the server reports a change; a renewed signed URL fetches
    nothing. If the server does not answer, the file is kept with the warning ``source_unchecked``. A site's page is one
    upload, which is not requested again.
    """

    name: ClassVar[str] = "download"
    version: ClassVar[int] = 3
    reads: ClassVar[tuple[Input, ...]] = ()
    manifest_fields: ClassVar[tuple[str, ...]] = ("url", "folder", "subtitles", "other_subtitles", "language")
    row: ClassVar[type[Row]] = MediaRow
    Config: ClassVar[type[StageConfig]] = DownloadConfig

    @classmethod
    def outside(cls, line: ManifestRow) -> str:
        """Size and modification time of the local files of the line."""
        files = (line.location, line.subtitles_location, *line.other_subtitles_locations)
        return " ".join(source_state(url) for url in files if url)

    def setup(self) -> None:
        self._hosts: dict[str, threading.BoundedSemaphore] = {}
        self._stopped = threading.Event()
        check(self._probe_limits)

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        """Process several videos at once: nearly all the time is spent waiting for servers."""
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            try:
                yield from pool.map(self.guarded, videos)
            except BaseException:  # Ctrl-C, SIGTERM: a slow server must not hold up the end
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def guarded(self, video: Video, work: Callable[[Video], MediaRow] | None = None) -> Row:
        """As every stage's; what an exception of another package says of a URL's secrets stays out of the message."""
        row = super().guarded(video, work)
        if row.error is None:
            return row
        line = video.manifest
        message = without_secrets(row.error.message, line.url, line.subtitles)
        return row.model_copy(update={"error": row.error.model_copy(update={"message": message})})

    def one(self, video: Video) -> MediaRow:
        folder = self.context.media / video.key[:2]
        folder.mkdir(parents=True, exist_ok=True)
        media, source, probed, warnings = self._media(video.manifest, folder)
        track, problems = self._subtitles(video.manifest.subtitles_location, folder, f"{video.key}-subtitles")
        others = [
            self._subtitles(file, folder, f"{video.key}-subtitles{number}")
            for number, file in enumerate(video.manifest.other_subtitles_locations, 2)
        ]
        problems += [problem for _, found in others for problem in found]
        return MediaRow(
            video=video.key,
            media=media.relative_to(self.context.media).as_posix(),
            sha256=source.sha256,
            size=source.size,
            subtitles=track.relative_to(self.context.media).as_posix() if track else "",
            other_subtitles=[file.relative_to(self.context.media).as_posix() for file, _ in others if file],
            **probed | {"warnings": list(dict.fromkeys([*probed["warnings"], *warnings, *problems]))},
        )

    def _media(self, line: ManifestRow, folder: Path) -> tuple[Path, MediaSource, dict[str, Any], list[str]]:
        """The video's file, its record, the output of `probe`, and warnings."""
        url, key = line.location, line.video
        scheme = self._scheme(url)
        if scheme == "file":
            return *self._linked(local_file(url, self.config.local_root), folder, line), []
        before = fetched_before(folder, key)
        known = before[1].at(url) if before else None
        warnings = []
        try:
            with unfinished(folder, key) as place:
                if found := self._fetched(url, scheme, place, known):
                    return *self._published(*found, folder, line), []
        except VideoFailed:
            if known is None or known.address != address_of(url):
                raise
            warnings = ["source_unchecked"]
        assert before is not None, "only what is there already is not fetched"
        if before[1].address != address_of(url):  # the same content by its tag, under a renewed URL
            record(before[0], before[1].model_copy(update={"address": address_of(url)}))
        return *before, self._checked(before[0], line.language), warnings

    def _linked(self, file: Path, folder: Path, line: ManifestRow) -> tuple[Path, MediaSource, dict[str, Any]]:
        """The link to a local file, which must not change while it is probed."""
        with steady(file) as stated:
            probed = self._checked(file, line.language)
            source = MediaSource.of(stated, digest(file), str(file))
        final = folder / content_name(line.video, source.sha256, _extension_of(probed))
        link(file, final)
        record(final, source)
        return final, source, probed

    def _published(
        self, file: Path, validators: Validators, folder: Path, line: ManifestRow
    ) -> tuple[Path, MediaSource, dict[str, Any]]:
        """Probe a fetched file and publish it under its final name."""
        probed, sha256 = self._checked(file, line.language), digest(file)
        final = folder / content_name(line.video, sha256, _extension_of(probed))
        publish(file, final, sha256)
        source = MediaSource.of(final.stat(), sha256, line.location, validators)
        record(final, source)
        return final, source, probed

    def _fetched(self, url: str, scheme: str, place: Path, known: MediaSource | None) -> tuple[Path, Validators] | None:
        """The file, fetched into the folder `place`; None when the known one is current."""
        config = self.config
        host = host_of(url)
        if scheme in ("http", "https") and any(host == site or host.endswith(f".{site}") for site in config.sites):
            if known:
                return None
            from stages.download.sites import from_site

            quality, longest = config.site_format, config.max_duration
            with self.timings.on("fetch"), self._turn(host):
                bounds = self._bounds(config.max_bytes)
                return from_site(url, place / "site", bounds, quality=quality, max_duration=longest), Validators()
        file = place / "media"
        validators = self._copied(url, scheme, file, config.max_bytes, known)
        return (file, validators) if validators else None

    def _copied(
        self, url: str, scheme: str, file: Path, max_bytes: int, known: MediaSource | None = None
    ) -> Validators | None:
        """Fetch the URL's content into `file`, unless the known content is current."""
        with self.timings.on("fetch"), self._turn(host_of(url)):
            bounds = self._bounds(max_bytes)
            if scheme in ("http", "https"):
                from stages.download.web import from_http

                return from_http(url, file, bounds, known, allow_private=self.config.allow_private_addresses)
            return from_storage(url, file, bounds, known)

    def _scheme(self, url: str) -> str:
        """The URL's scheme, checked against the allowed ones."""
        scheme = scheme_of(url)
        if scheme not in self.config.schemes:
            raise VideoFailed("scheme_refused", f"{scheme} is not among download.schemes {self.config.schemes}")
        return scheme

    def _turn(self, host: str) -> threading.BoundedSemaphore:
        """The semaphore to hold while fetching from a host."""
        return self._hosts.setdefault(host, threading.BoundedSemaphore(self.config.per_host))

    @property
    def _probe_limits(self) -> Limits:
        return Limits(self.config.probe_seconds, self.config.probe_memory)

    def _bounds(self, max_bytes: int) -> Bounds:
        config = self.config
        deadline = time.monotonic() + config.max_seconds
        return Bounds(
            max_bytes,
            deadline,
            timeout=config.timeout,
            attempts=config.attempts,
            pause=config.retry_pause,
            stopped=self._stopped,
        )

    def _subtitles(self, url: str, folder: Path, name: str) -> tuple[Path | None, list[str]]:
        """The manifest's subtitle track, or the one from an earlier run, and warnings; it is optional."""
        if not url:
            return None, []
        try:
            with unfinished(folder, name) as place:
                return self._track(url, place / "track", folder, name), []
        except VideoDropped:
            return None, ["subtitles_too_large"]
        except VideoFailed:
            before = fetched_before(folder, name)
            if before is None or before[1].address != address_of(url):
                return None, ["subtitles_unavailable"]
            return before[0], ["source_unchecked"]

    def _track(self, url: str, file: Path, folder: Path, name: str) -> Path:
        """The subtitle track at a URL, copied to `file` and from there into the folder."""
        scheme = self._scheme(url)
        if scheme == "file":
            source = local_file(url, self.config.local_root)
            self._bounds(MAX_BYTES).check_size(source.stat().st_size)
            shutil.copyfile(source, file)
        else:
            self._copied(url, scheme, file, MAX_BYTES)
        sha256 = digest(file)
        suffix = PurePosixPath(redacted(url).lower()).suffix[1:]
        extension = suffix if re.fullmatch("[a-z0-9]{1,5}", suffix) else "vtt"
        final = folder / content_name(name, sha256, extension)
        publish(file, final, sha256)
        record(final, MediaSource.of(final.stat(), sha256, url))
        return final

    def _checked(self, file: Path, language: str) -> dict[str, Any]:
        """The output of `probe`, checked with the file's size against the configured bounds.

        Args:
            file: The media file.
            language: BCP 47 code of the speech; empty if unknown.
        """
        config = self.config
        size = file.stat().st_size
        if size > config.max_bytes:
            raise VideoDropped("too_large", f"{size} bytes, over download.max_bytes = {config.max_bytes}")
        with self.timings.on("decode"):
            probed = probe(file, self._probe_limits, language)
        duration = probed["duration"]
        if duration > config.max_duration:
            raise VideoDropped("too_long", f"{duration:g} s, over download.max_duration = {config.max_duration:g}")
        if duration < config.min_duration:
            raise VideoDropped("too_short", f"{duration:g} s, under download.min_duration = {config.min_duration:g}")
        return probed


def _extension_of(probed: dict[str, Any]) -> str:
    """The file extension of the container; it depends on the content, not on the URL."""
    container: str = probed["container"]
    return SUFFIXES.get(container, container.partition(",")[0])
