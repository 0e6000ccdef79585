"""Download: fetches or links each video's media file and subtitles, makes sure it is media, describes its streams."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from schemas.config import OPERATIONAL, Resources, StageConfig
from schemas.row import Row
from schemas.rows import MediaRow
from stages.base import Input, Stage, Video, VideoDropped, VideoFailed
from stages.download.fetch import Bounds, from_storage, host_of, local_file, scheme_of
from stages.download.files import link, present, publish, unfinished
from stages.download.probing import check, probe
from stages.media.sandbox import Limits
from stages.media.subtitles import MAX_BYTES
from stages.timing import mapped, spent

SUFFIXES = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "mkv", "mpegts": "ts"}
"""Demuxers whose name is not what their files are called."""


class DownloadConfig(StageConfig):
    """Settings of `download`. All numbers are our choice.

    Attributes:
        schemes: URL schemes that may be fetched; ``file`` stands for local paths too. Others are any of fsspec's.
        local_root: Folder under which local files must lie, links resolved; empty for anywhere.
        allow_private_addresses: Fetch from hosts at private, loopback or link-local addresses too.
        sites: Hosts, with their subdomains, whose pages go through yt-dlp; their addresses are not checked.
        site_format: yt-dlp's format selector.
        max_bytes: Of a file; a larger video is dropped.
        min_duration: Seconds; a shorter video is dropped.
        max_duration: Seconds; a longer video is dropped. One whose container states no duration is kept.
        max_seconds: Wall-clock time for fetching one video, with all attempts.
        timeout: Seconds of a server's silence after which the connection is given up.
        attempts: Tries of one fetch, the first included.
        retry_pause: Seconds before the second attempt; doubles with each further one.
        concurrency: Videos fetched at once by one worker.
        per_host: Of these, from one host.
        probe_seconds: Wall-clock time for looking at one file.
        probe_memory: Bytes of address space for it.
    """

    schemes: tuple[str, ...] = ("file", "http", "https", "s3", "gs")
    local_root: str = ""
    allow_private_addresses: bool = False
    sites: tuple[str, ...] = ("youtube.com", "youtu.be", "vimeo.com", "dailymotion.com", "bilibili.com")
    site_format: str = "bv*[height<=720][ext=mp4]+ba[ext=m4a]/b[height<=720][ext=mp4]/bv*[height<=720]+ba/b"
    max_bytes: Annotated[int, Field(gt=0)] = 4 * 2**30
    min_duration: Annotated[float, Field(ge=0)] = 0.0
    max_duration: Annotated[float, Field(gt=0)] = 4 * 3600.0
    max_seconds: Annotated[float, Field(gt=0), OPERATIONAL] = 3600.0
    timeout: Annotated[float, Field(gt=0), OPERATIONAL] = 30.0
    attempts: Annotated[int, Field(ge=1), OPERATIONAL] = 5
    retry_pause: Annotated[float, Field(ge=0), OPERATIONAL] = 1.0
    concurrency: Annotated[int, Field(ge=1), OPERATIONAL] = 4
    per_host: Annotated[int, Field(ge=1), OPERATIONAL] = 2
    probe_seconds: Annotated[float, Field(gt=0), OPERATIONAL] = 60.0
    probe_memory: Annotated[int, Field(gt=0), OPERATIONAL] = 4 * 2**30
    resources: Annotated[Resources, OPERATIONAL] = Resources(cpus=0.25)


class Download(Stage[DownloadConfig, MediaRow]):
    """Puts a video's file at ``media/<2 hex>/<key>.<ext>``: local files as links, others whole or not at all.

    The manifest's subtitle track goes to ``<key>-subtitles.<ext>`` beside it; a video can do without. A file that is
    there already is used as it is: the key stands for the manifest's id, so a new signed URL of the same video fetches
    nothing.
    """

    name: ClassVar[str] = "download"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[Input, ...]] = ()
    row: ClassVar[type[Row]] = MediaRow
    Config: ClassVar[type[StageConfig]] = DownloadConfig

    def setup(self) -> None:
        self._hosts: dict[str, threading.BoundedSemaphore] = {}
        check(self._probe_limits)

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        """Several videos at once: nearly all of the time goes into waiting for servers."""
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            yield from mapped(pool, self.guarded, videos)

    def one(self, video: Video) -> MediaRow:
        url = video.manifest.location
        scheme = scheme_of(url)
        if scheme not in self.config.schemes:
            raise VideoFailed("scheme_refused", f"{scheme} is not among download.schemes {self.config.schemes}")
        folder = self.context.media / video.key[:2]
        folder.mkdir(parents=True, exist_ok=True)
        if scheme == "file":
            source = local_file(url, self.config.local_root)
            probed = self._checked(source)
            final = folder / f"{video.key}.{_extension(source.name, _of_container(probed))}"
            link(source, final)
        elif earlier := present(folder, video.key):
            final, probed = earlier, self._checked(earlier)
        else:
            with unfinished(folder, video.key) as place:
                source = self._fetched(url, scheme, place)
                probed = self._checked(source)
                final = folder / f"{video.key}.{_extension(urlsplit(url).path, _of_container(probed))}"
                if not publish(source, final):  # another worker was faster: its file counts
                    probed = self._checked(final)
        return self._described(video, final, probed)

    def _fetched(self, url: str, scheme: str, place: Path) -> Path:
        """The file, somewhere in the folder `place`."""
        config = self.config
        host = host_of(url)
        if scheme in ("http", "https") and any(host == site or host.endswith(f".{site}") for site in config.sites):
            from stages.download.sites import from_site

            quality, longest = config.site_format, config.max_duration
            with spent("wait"), self._turn(host):
                bounds = self._bounds(config.max_bytes)
                return from_site(url, place / "site", bounds, quality=quality, max_duration=longest)
        return self._copied(url, scheme, place / "media", config.max_bytes)

    def _copied(self, url: str, scheme: str, file: Path, max_bytes: int) -> Path:
        """`file`, with what lies at the URL."""
        with spent("wait"), self._turn(host_of(url)):
            bounds = self._bounds(max_bytes)
            if scheme in ("http", "https"):
                from stages.download.web import from_http

                from_http(url, file, bounds, allow_private=self.config.allow_private_addresses)
            else:
                from_storage(url, file, bounds)
        return file

    def _turn(self, host: str) -> threading.BoundedSemaphore:
        """What is held while a host is asked for something."""
        return self._hosts.setdefault(host, threading.BoundedSemaphore(self.config.per_host))

    @property
    def _probe_limits(self) -> Limits:
        return Limits(self.config.probe_seconds, self.config.probe_memory)

    def _bounds(self, max_bytes: int) -> Bounds:
        config = self.config
        deadline = time.monotonic() + config.max_seconds
        return Bounds(max_bytes, deadline, timeout=config.timeout, attempts=config.attempts, pause=config.retry_pause)

    def _subtitles(self, video: Video) -> tuple[str, list[str]]:
        """Path of the manifest's subtitle track as the row states it, and warnings; no track costs a video."""
        url = video.manifest.subtitles_location
        if not url:
            return "", []
        try:
            file = self._track(url, self.context.media / video.key[:2], f"{video.key}-subtitles")
        except VideoFailed:
            return "", ["subtitles_unavailable"]
        except VideoDropped:
            return "", ["subtitles_too_large"]
        return file.relative_to(self.context.media).as_posix(), []

    def _track(self, url: str, folder: Path, name: str) -> Path:
        """The subtitle track at a URL, brought into the folder under a name that gets an extension."""
        scheme = scheme_of(url)
        if scheme not in self.config.schemes:
            raise VideoFailed("scheme_refused", f"{scheme} is not among download.schemes {self.config.schemes}")
        if scheme == "file":
            source = local_file(url, self.config.local_root)
            if source.stat().st_size > MAX_BYTES:
                raise VideoDropped("too_large", f"over {MAX_BYTES} bytes")
            final = folder / f"{name}.{_extension(source.name, 'vtt')}"
            link(source, final)
            return final
        if earlier := present(folder, name):
            return earlier
        with unfinished(folder, name) as place:
            source = self._copied(url, scheme, place / "track", MAX_BYTES)
            final = folder / f"{name}.{_extension(urlsplit(url).path, 'vtt')}"
            publish(source, final)
        return final

    def _checked(self, file: Path) -> dict[str, Any]:
        """What `probe` found, once it and the file's size are within the configured bounds."""
        config = self.config
        size = file.stat().st_size
        if size > config.max_bytes:
            raise VideoDropped("too_large", f"{size} bytes, over download.max_bytes = {config.max_bytes}")
        probed = probe(file, self._probe_limits)
        duration = probed["duration"]
        if duration > config.max_duration:
            raise VideoDropped("too_long", f"{duration:g} s, over download.max_duration = {config.max_duration:g}")
        if 0 <= duration < config.min_duration:
            raise VideoDropped("too_short", f"{duration:g} s, under download.min_duration = {config.min_duration:g}")
        return probed

    def _described(self, video: Video, file: Path, probed: dict[str, Any]) -> MediaRow:
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        media = file.relative_to(self.context.media).as_posix()
        subtitles, warnings = self._subtitles(video)
        found = probed | {"subtitles": subtitles, "warnings": probed["warnings"] + warnings}
        return MediaRow(video=video.key, media=media, sha256=sha256, size=file.stat().st_size, **found)


def _extension(path: str, otherwise: str) -> str:
    """That of the path in the URL, where it looks like one."""
    suffix = PurePosixPath(path.lower()).suffix[1:]
    return suffix if re.fullmatch("[a-z0-9]{1,5}", suffix) else otherwise


def _of_container(probed: dict[str, Any]) -> str:
    """The extension that files of the container have."""
    container: str = probed["container"]
    return SUFFIXES.get(container, container.partition(",")[0])
