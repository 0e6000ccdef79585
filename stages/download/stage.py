"""download: fetches or links each video's media file and subtitles, and probes its streams."""

from __future__ import annotations

import math
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from schemas.config import LEAST_MEMORY, LONGEST, MOST_MEMORY, OPERATIONAL, Resources, StageConfig
from schemas.row import Row
from schemas.rows import ManifestRow, MediaRow, SiteTrack
from stages.base import Input, Listing, Stage, Video, VideoDropped, VideoFailed
from stages.download.clip import clipped
from stages.download.embedded import from_parquet
from stages.download.fetch import Bounds, chunks_of, local_file, save, server_of
from stages.download.files import alone, fetched_before, link, publish, record, unfinished
from stages.download.pace import Pace, turn_at
from stages.download.probing import check, probe
from stages.download.sites.extractors import is_list, listed_site
from stages.download.sites.fetch import from_site
from stages.download.sites.lists import listing
from stages.download.sites.settings import SiteSettings, check_cookies
from stages.download.sites.tracks import Offer
from stages.media.held import Held
from stages.media.sandbox import Limits
from stages.media.source import (
    MediaSource,
    Validators,
    address_of,
    content_name,
    digest,
    record_of,
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
        allow_private_addresses: Fetch from hosts at any address: private, loopback and link-local ones too.
        instance_credentials: Let object stores' clients ask the machine's metadata service for credentials, such as
            those of an instance's role. Otherwise they use what is configured, and read public objects without any.
        sites: Hosts, with their subdomains, whose pages are read by yt-dlp; docs/sites.md says how.
        site_format: yt-dlp's format selector.
        site_subtitles: Which of a site's subtitle tracks in the language that is spoken are fetched: ``all``, those
            that people wrote (``human``), or ``none``.
        site_cookies: Netscape cookie file of an account, which every worker must see; empty for none.
        site_proxy: URL of a proxy for sites, which resolves names itself; empty for none.
        site_rate: Most bytes a second of one fetch from a site; 0 for no limit.
        site_sleep: Seconds between two requests of one fetch from a site.
        site_clients: YouTube's player clients that yt-dlp asks as, e.g. ``tv``; none for its own choice.
        site_extractor_args: yt-dlp's arguments by extractor and name, e.g. ``{youtube: {lang: [de]}}``.
        site_list_videos: Most videos of a playlist or channel, from its start.
        max_bytes: Most bytes of a file; a larger video is dropped.
        min_duration: Least seconds; a shorter video or clip is dropped.
        max_duration: Most seconds; a longer video or clip is dropped.
        max_seconds: Wall-clock limit of fetching one video, with all attempts.
        timeout: Seconds without data after which a connection is closed.
        attempts: Most attempts at one fetch, the first included.
        retry_pause: Seconds before the second attempt; doubles with each further one.
        concurrency: Videos fetched at once by one worker.
        per_host: Videos fetched at once from one host or site: by all workers of a run on Ray, otherwise by all
            processes of the user on the machine. Redirects to other hosts are not counted.
        min_interval: Least seconds between two requests of all those to one host or site; 0 for none.
        probe_seconds: Wall-clock limit of probing one file.
        probe_memory: Bytes of address space for probing one file.
    """

    schemes: tuple[str, ...] = ("file", "http", "https", "s3", "gs")
    local_root: str = ""
    allow_private_addresses: bool = False
    instance_credentials: Annotated[bool, OPERATIONAL] = False
    sites: tuple[str, ...] = ("youtube.com", "youtu.be", "vimeo.com", "dailymotion.com", "bilibili.com")
    site_format: str = "bv*[height<=720][ext=mp4]+ba[ext=m4a]/b[height<=720][ext=mp4]/bv*[height<=720]+ba/b"
    site_subtitles: Literal["all", "human", "none"] = "all"
    site_cookies: Annotated[str, OPERATIONAL] = ""
    site_proxy: Annotated[str, Field(repr=False), OPERATIONAL] = ""
    site_rate: Annotated[int, Field(ge=0, le=2**40), OPERATIONAL] = 0
    site_sleep: Annotated[float, Field(ge=0, le=LONGEST), OPERATIONAL] = 0.0
    site_clients: tuple[str, ...] = ()
    site_extractor_args: dict[str, dict[str, tuple[str, ...]]] = {}
    site_list_videos: Annotated[int, Field(ge=1, le=10**6), OPERATIONAL] = 1000
    max_bytes: Annotated[int, Field(gt=0, le=2**50)] = 4 * 2**30
    min_duration: Annotated[float, Field(ge=0, le=LONGEST)] = 0.0
    max_duration: Annotated[float, Field(gt=0, le=LONGEST)] = 4 * 3600.0
    max_seconds: Annotated[float, Field(gt=0, le=LONGEST), OPERATIONAL] = 3600.0
    timeout: Annotated[float, Field(gt=0, le=LONGEST), OPERATIONAL] = 30.0
    attempts: Annotated[int, Field(ge=1, le=1000), OPERATIONAL] = 5
    retry_pause: Annotated[float, Field(ge=0, le=3600), OPERATIONAL] = 1.0
    concurrency: Annotated[int, Field(ge=1, le=1000), OPERATIONAL] = 4
    per_host: Annotated[int, Field(ge=1, le=1000), OPERATIONAL] = 2
    min_interval: Annotated[float, Field(ge=0, le=3600), OPERATIONAL] = 0.0
    probe_seconds: Annotated[float, Field(gt=0, le=LONGEST), OPERATIONAL] = 60.0
    probe_memory: Annotated[int, Field(ge=LEAST_MEMORY, le=MOST_MEMORY), OPERATIONAL] = 4 * 2**30
    resources: Annotated[Resources, OPERATIONAL] = Resources(cpus=0.25)

    @property
    def site(self) -> SiteSettings:
        """How sites are asked."""
        clients = {"youtube": {"player_client": self.site_clients}} if self.site_clients else {}
        given = self.site_extractor_args
        return SiteSettings(
            quality=self.site_format,
            subtitles=self.site_subtitles,
            cookies=str(Path(self.site_cookies).expanduser()) if self.site_cookies else "",
            proxy=self.site_proxy,
            rate=self.site_rate,
            sleep=self.site_sleep,
            extractor_args={site: {**clients.get(site, {}), **given.get(site, {})} for site in {**clients, **given}},
            allow_private=self.allow_private_addresses,
            max_duration=self.max_duration,
        )


class Download(Stage[DownloadConfig, MediaRow]):
    """Puts a video's file at ``media/<2 hex>/<key>-<12 hex of its SHA-256>.<ext>``, its record beside it.

    Local files are linked; others appear whole or not at all. The manifest's subtitle track goes to
    ``<key>-subtitles-<12 hex>.<ext>`` beside it; it is optional. Further files beside a local video are kept as
    ``<key>-subtitles2-…`` and so on.

    A file from an earlier run is fetched again only when the server reports a change; a renewed signed URL fetches
    nothing. Clips of one URL share its file, which is fetched once. If the server does not answer, the file is kept
    with the warning ``source_unchecked``. A site's page is one upload, whose media is not requested again; its page is
    where other subtitles are asked for.
    """

    name: ClassVar[str] = "download"
    version: ClassVar[int] = 4
    reads: ClassVar[tuple[Input, ...]] = ()
    manifest_fields: ClassVar[tuple[str, ...]] = (
        "url",
        "folder",
        "subtitles",
        "other_subtitles",
        "language",
        "member",
        "offset",
        "size",
        "problem",
        "start",
        "end",
    )
    row: ClassVar[type[Row]] = MediaRow
    Config: ClassVar[type[StageConfig]] = DownloadConfig

    @classmethod
    def outside(cls, line: ManifestRow) -> str:
        """Size and modification time of the local files of the line."""
        if line.problem:
            return ""
        files = (line.location, line.subtitles_location, *line.other_subtitles_locations)
        return " ".join(source_state(url) for url in files if url)

    @classmethod
    def lists(cls, urls: Sequence[str], config: DownloadConfig) -> list[int]:
        """Playlists and channels of the listed sites; none where yt-dlp is not installed, which their rows then say."""
        hosts = "|".join(re.escape(site) for site in config.sites)
        of_site = re.compile(rf"https?://(?:[^/?#]*[.@])?(?:{hosts})(?:[:/?#]|$)", re.IGNORECASE)
        candidates = [position for position, url in enumerate(urls) if of_site.match(url)] if hosts else []
        if not candidates or find_spec("yt_dlp") is None:
            return []
        return [at for at in candidates if listed_site(urls[at], config.sites) and is_list(urls[at])]

    @classmethod
    def listed(cls, url: str, config: DownloadConfig) -> Listing:
        bounds = Bounds(
            config.max_bytes,
            time.monotonic() + config.max_seconds,
            timeout=config.timeout,
            attempts=config.attempts,
            pause=config.retry_pause,
        )
        return listing(url, bounds, config.site, config.site_list_videos)

    @classmethod
    def most_listed(cls, config: DownloadConfig) -> int:
        return config.site_list_videos

    def setup(self) -> None:
        self._stopped = threading.Event()
        self._began = time.time()
        self._probed: dict[tuple[str, str], dict[str, Any]] = {}
        check(self._probe_limits)
        check_cookies(self.config.site_cookies)

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
        if video.manifest.problem:
            raise VideoFailed("bad_line", f"the manifest's line cannot be used: {video.manifest.problem}")
        folder = self.context.media / video.key[:2]
        folder.mkdir(parents=True, exist_ok=True)
        media, source, whole, warnings = self._media(video.manifest)
        probed = self._bounded(clipped(whole, video.manifest)) if video.manifest.is_clip else whole
        track, problems = self._subtitles(video.manifest.subtitles_location, folder, f"{video.key}-subtitles")
        others = [
            self._subtitles(file, folder, f"{video.key}-subtitles{number}")
            for number, file in enumerate(video.manifest.other_subtitles_locations, 2)
        ]
        problems += [problem for _, found in others for problem in found]
        of_site = [one.file for one in source.page.tracks] if source.page else []
        files = [
            file.relative_to(self.context.media).as_posix() for file, _ in [(track, []), *others] if file
        ] + of_site
        return MediaRow(
            video=video.key,
            media=media.relative_to(self.context.media).as_posix(),
            sha256=source.sha256,
            size=source.size,
            subtitles=files[0] if files else "",
            other_subtitles=files[1:],
            site=source.page,
            **probed | {"warnings": list(dict.fromkeys([*probed["warnings"], *warnings, *problems]))},
        )

    def _media(self, line: ManifestRow) -> tuple[Path, MediaSource, dict[str, Any], list[str]]:
        """The video's file, its record, the output of `probe`, and warnings."""
        name = line.media_name
        folder = self.context.media / name[:2]
        folder.mkdir(parents=True, exist_ok=True)
        scheme = self._scheme(line.location)
        if line.member:
            return *self._held(line, folder), []
        if scheme == "file":
            with local_file(line.location, self.config.local_root) as file:
                return *self._linked(file, folder, line), []
        if not line.is_clip:
            return self._remote(line, scheme, folder)
        with alone(folder, name, self._bounds(self.config.max_bytes)):
            before = fetched_before(folder, name)
            if before is not None and record_of(before[0]).stat().st_mtime >= self._began:  # for another of its clips
                return *before, self._checked(before[0], before[1].sha256, line), []
            found = self._remote(line, scheme, folder)
            if not found[3]:  # its source answered
                record_of(found[0]).touch()
            return found

    def _remote(
        self, line: ManifestRow, scheme: str, folder: Path
    ) -> tuple[Path, MediaSource, dict[str, Any], list[str]]:
        """As `_media`, for a file that is not on this machine."""
        url, name = line.location, line.media_name
        if site := listed_site(url, self.config.sites):
            return self._of_site(site, line, folder)
        before = fetched_before(folder, name)
        known = before[1].at(url) if before else None
        warnings = []
        try:
            with unfinished(folder, name) as place:
                if found := self._fetched(url, scheme, place, known):
                    return *self._published(*found, folder, line), []
        except VideoFailed:
            if known is None or known.address != address_of(url):
                raise
            warnings = ["source_unchecked"]
        assert before is not None, "only what is there already is not fetched"
        if before[1].address != address_of(url):  # the same content by its tag, under a renewed URL
            record(before[0], before[1].model_copy(update={"address": address_of(url)}))
        return *before, self._checked(before[0], before[1].sha256, line), warnings

    def _of_site(
        self, site: str, line: ManifestRow, folder: Path
    ) -> tuple[Path, MediaSource, dict[str, Any], list[str]]:
        """A site's video, as `_media` has it; of one that is there, the page alone when other subtitles are wanted."""
        url, config = line.location, self.config
        asked = f"{config.site_subtitles} {line.language}"
        before = fetched_before(folder, line.media_name)
        known = before if before and before[1].at(url) and before[1].page else None
        if known and known[1].asked == asked and self._has_tracks(known[1]):
            return *known, self._checked(known[0], known[1].sha256, line), []
        try:
            with unfinished(folder, line.media_name) as place, self.timings.on("fetch"), self._turn(site) as pace:
                bounds = self._bounds(config.max_bytes, pace)
                asking = replace(config.site, max_duration=math.inf) if line.is_clip else config.site  # a clip's counts
                found = from_site(url, place / "site", bounds, asking, line.language, media=known is None)
                if found.file:
                    final, source, probed = self._published(found.file, Validators(), folder, line)
                else:
                    assert known is not None, "only of a video that is there the media is not fetched"
                    (final, source), probed = known, self._checked(known[0], known[1].sha256, line)
                tracks = [self._site_track(*track, folder, line, n) for n, track in enumerate(found.tracks, 1)]
        except VideoFailed:
            if known is None:
                raise
            return *known, self._checked(known[0], known[1].sha256, line), ["source_unchecked"]
        page = found.page.model_copy(update={"tracks": tracks})
        source = source.model_copy(update={"page": page, "asked": "" if found.problems else asked})
        record(final, source)
        return final, source, probed, found.problems

    def _site_track(self, offer: Offer, file: Path, folder: Path, line: ManifestRow, number: int) -> SiteTrack:
        """Publish a subtitle track of a site."""
        sha256 = digest(file)
        final = folder / content_name(f"{line.media_name}-site{number}", sha256, offer.extension)
        publish(file, final, sha256)
        return SiteTrack(
            file=final.relative_to(self.context.media).as_posix(), language=offer.language, automatic=offer.automatic
        )

    def _has_tracks(self, source: MediaSource) -> bool:
        return source.page is not None and all((self.context.media / one.file).is_file() for one in source.page.tracks)

    def _held(self, line: ManifestRow, folder: Path) -> tuple[Path, MediaSource, dict[str, Any]]:
        """A copy of a tar's member, or of what a row of a Parquet file holds."""
        url, part = line.location, (line.offset, line.size)
        self._bounds(self.config.max_bytes).check_size(line.size)
        scheme = self._scheme(url)
        if scheme in ("http", "https") or (line.size < 0 and scheme != "file"):
            message = f"no videos are read out of tars over http(s), or of remote Parquet; copy {redacted(url)} first"
            raise VideoFailed("scheme_refused", message)
        with unfinished(folder, line.media_name) as place:
            file = place / "media"
            if scheme != "file":
                self._copied(url, scheme, file, self.config.max_bytes, part=part)
            else:
                with local_file(url, self.config.local_root) as holder:
                    self._copied_out(holder.path, line, file)
            if file.stat().st_size < line.size:
                message = f"the tar ends within {line.member}: was it replaced? Run again"
                raise VideoFailed("truncated_download", message)
            return self._published(file, Validators(), folder, line)

    def _copied_out(self, holder: Path, line: ManifestRow, file: Path) -> None:
        """Copy a tar's member, or what a row of a Parquet file holds."""
        bounds = self._bounds(self.config.max_bytes)
        if line.size < 0:
            from_parquet(holder, line.offset, file, bounds)
            return
        with holder.open("rb") as tar, file.open("wb") as copied:
            save(chunks_of(tar, (line.offset, line.size)), copied, 0, bounds)

    def _linked(self, file: Held, folder: Path, line: ManifestRow) -> tuple[Path, MediaSource, dict[str, Any]]:
        """The link to a local file, which must not change while it is probed."""
        with steady(file) as stated:
            self._check_size(file.path)
            sha256 = digest(file.path)
            probed = self._checked(file.path, sha256, line)
            source = MediaSource.of(stated, sha256, str(file.real))
        final = folder / content_name(line.video, source.sha256, _extension_of(probed))
        link(file.real, final)
        record(final, source)
        return final, source, probed

    def _published(
        self, file: Path, validators: Validators, folder: Path, line: ManifestRow
    ) -> tuple[Path, MediaSource, dict[str, Any]]:
        """Probe a fetched file and publish it under its final name."""
        sha256 = digest(file)
        probed = self._checked(file, sha256, line)
        final = folder / content_name(line.media_name, sha256, _extension_of(probed))
        publish(file, final, sha256)
        source = MediaSource.of(final.stat(), sha256, line.location, validators)
        record(final, source)
        return final, source, probed

    def _fetched(self, url: str, scheme: str, place: Path, known: MediaSource | None) -> tuple[Path, Validators] | None:
        """The file, fetched into the folder `place`; None when the known one is current."""
        file = place / "media"
        validators = self._copied(url, scheme, file, self.config.max_bytes, known)
        return (file, validators) if validators else None

    def _copied(
        self,
        url: str,
        scheme: str,
        file: Path,
        max_bytes: int,
        known: MediaSource | None = None,
        part: tuple[int, int] | None = None,
    ) -> Validators | None:
        """Fetch the URL's content, or so many bytes from one on, into `file`, unless the known content is current."""
        with self.timings.on("fetch"), self._turn(server_of(url)) as pace:
            bounds = self._bounds(max_bytes, pace)
            if scheme in ("http", "https"):
                from stages.download.web import from_http

                return from_http(url, file, bounds, known, allow_private=self.config.allow_private_addresses)
            from stages.download.storage import from_storage

            credentials = self.config.instance_credentials
            return from_storage(url, file, bounds, known, instance_credentials=credentials, part=part)

    def _scheme(self, url: str) -> str:
        """The URL's scheme, checked against the allowed ones."""
        scheme = scheme_of(url)
        if scheme not in self.config.schemes:
            raise VideoFailed("scheme_refused", f"{scheme} is not among download.schemes {self.config.schemes}")
        return scheme

    def _turn(self, host: str) -> AbstractContextManager[Pace]:
        """The turn to hold while fetching from a host or site."""
        return turn_at(self.context.turns, host, self.config.per_host, self.config.min_interval, self._stopped)

    @property
    def _probe_limits(self) -> Limits:
        return Limits(self.config.probe_seconds, self.config.probe_memory)

    def _bounds(self, max_bytes: int, pace: Pace | None = None) -> Bounds:
        config = self.config
        deadline = time.monotonic() + config.max_seconds
        return Bounds(
            max_bytes,
            deadline,
            timeout=config.timeout,
            attempts=config.attempts,
            pause=config.retry_pause,
            stopped=self._stopped,
            pace=pace,
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
            with local_file(url, self.config.local_root) as source, source.path.open("rb") as content:
                self._bounds(MAX_BYTES).check_size(os.fstat(content.fileno()).st_size)
                with file.open("wb") as copied:
                    shutil.copyfileobj(content, copied)
        else:
            self._copied(url, scheme, file, MAX_BYTES)
        sha256 = digest(file)
        suffix = PurePosixPath(redacted(url).lower()).suffix[1:]
        extension = suffix if re.fullmatch("[a-z0-9]{1,5}", suffix) else "vtt"
        final = folder / content_name(name, sha256, extension)
        publish(file, final, sha256)
        record(final, MediaSource.of(final.stat(), sha256, url))
        return final

    def _checked(self, file: Path, sha256: str, line: ManifestRow) -> dict[str, Any]:
        """The output of `probe`, checked with the file's size against the configured bounds.

        A file of clips, whose bounds are each clip's own, is looked at once by a worker.

        Args:
            file: The media file.
            sha256: Of its content.
            line: The video's line of the manifest.
        """
        self._check_size(file)
        if line.is_clip and (known := self._probed.get((sha256, line.language))):
            return known
        with self.timings.on("decode"):
            found = probe(file, self._probe_limits, line.language)
        if not line.is_clip:
            return self._bounded(found)
        self._probed[sha256, line.language] = found
        return found

    def _check_size(self, file: Path) -> None:
        size, most = file.stat().st_size, self.config.max_bytes
        if size > most:
            raise VideoDropped("too_large", f"{size} bytes, over download.max_bytes = {most}")

    def _bounded(self, probed: dict[str, Any]) -> dict[str, Any]:
        """The output of `probe` for a video or a clip, whose duration is checked against the configured bounds."""
        config, duration = self.config, probed["duration"]
        if duration > config.max_duration:
            raise VideoDropped("too_long", f"{duration:g} s, over download.max_duration = {config.max_duration:g}")
        if duration < config.min_duration:
            raise VideoDropped("too_short", f"{duration:g} s, under download.min_duration = {config.min_duration:g}")
        return probed


def _extension_of(probed: dict[str, Any]) -> str:
    """The file extension of the container; it depends on the content, not on the URL."""
    container: str = probed["container"]
    return SUFFIXES.get(container, container.partition(",")[0])
