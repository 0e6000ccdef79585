"""download: fetches or links each video's media file and subtitles, and probes its streams."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from typing import ClassVar

from schemas.config import StageConfig
from schemas.manifest import ManifestRow
from schemas.media import MediaRow
from schemas.row import Row
from stages.base import Input, Listing, Stage, Video, VideoFailed
from stages.download.clip import clipped
from stages.download.fetcher import Fetcher
from stages.download.files import from_web, remove_left
from stages.download.media import MediaFiles
from stages.download.probing import check
from stages.download.ready import missing_for
from stages.download.settings import DownloadConfig
from stages.download.sites.extractors import is_list, listed_site
from stages.download.sites.lists import listing
from stages.download.sites.settings import check_cookies
from stages.download.tracks import kept_track
from stages.media.source import read_record, record_of, source_state
from stages.timing import Timings
from stages.turns import FolderTurns
from storyloom.fs.cache import machine_cache
from storyloom.fs.url import without_secrets


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
    version: ClassVar[int] = 5
    reads: ClassVar[tuple[Input, ...]] = ()
    outside_of = "local"
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
        return [at for at in candidates if _is_list_of(urls[at], config.sites)]

    @classmethod
    def listed(cls, url: str, config: DownloadConfig) -> Listing:
        def shown(failed: VideoFailed) -> VideoFailed:
            message = without_secrets(failed.message, url, config.site_proxy)
            return VideoFailed(failed.code, message, retryable=failed.retryable)

        fetcher = Fetcher(config, FolderTurns(), Timings(), threading.Event())
        try:
            with fetcher.turn(listed_site(url, config.sites)) as pace:
                bounds = fetcher.bounds(config.max_bytes, pace)
                found = listing(url, bounds, config.site, config.site_list_videos)
        except VideoFailed as failed:
            raise shown(failed) from failed
        return replace(found, unread=tuple(map(shown, found.unread)))

    @classmethod
    def most_listed(cls, config: DownloadConfig) -> int:
        return config.site_list_videos

    def missing(self, urls: Collection[str]) -> list[str]:
        return missing_for(self.config, urls)

    def setup(self) -> None:
        self._stopped = threading.Event()
        self._fetcher = Fetcher(self.config, self.context.turns, self.timings, self._stopped)
        self._files = MediaFiles(self.context.media, self.config, self._fetcher, self.timings)
        check(self.config.probe_limits)
        check_cookies(self.config.site_cookies)
        if self.context.media.cached:
            remove_left(machine_cache().folders)

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
        message = without_secrets(row.error.message, line.url, line.subtitles, self.config.site_proxy)
        return row.model_copy(update={"error": row.error.model_copy(update={"message": message})})

    def one(self, video: Video) -> MediaRow:
        line = video.manifest
        if line.problem:
            raise VideoFailed("bad_line", f"the manifest's line cannot be used: {line.problem}")
        kept = self._files.kept(line)
        probed = self._files.bounded(clipped(kept.probed, line)) if line.is_clip else kept.probed
        tracks, problems = self._tracks(line)
        tracks += [one.file for one in kept.source.page.tracks] if kept.source.page else []
        return MediaRow(
            video=video.key,
            media=kept.name,
            sha256=kept.source.sha256,
            size=kept.source.size,
            subtitles=tracks[0] if tracks else "",
            other_subtitles=tracks[1:],
            site=kept.source.page,
            **probed | {"warnings": list(dict.fromkeys([*probed["warnings"], *kept.warnings, *problems]))},
        )

    def spent(self, rows: Iterable[MediaRow]) -> None:
        """Remove media files from the web; one that other clips share stays."""
        for row in rows:
            record = read_record(self.context.media, record_of(row.media)) if row.live and not row.clip else None
            if record is not None and from_web(record):
                self.context.media.remove(row.media)

    def _tracks(self, line: ManifestRow) -> tuple[list[str], list[str]]:
        """The manifest's subtitle tracks in the media folder, and warnings."""
        urls = {f"{line.video}-subtitles": line.subtitles_location}
        urls |= {f"{line.video}-subtitles{n}": url for n, url in enumerate(line.other_subtitles_locations, 2)}
        found = [kept_track(url, self.context.media, name, self._fetcher) for name, url in urls.items()]
        return [name for name, _ in found if name], [problem for _, problems in found for problem in problems]


def _is_list_of(url: str, sites: Collection[str]) -> bool:
    """Whether a URL is that of a list of one of the sites; one that is no URL fails as a line of its own."""
    try:
        return bool(listed_site(url, sites)) and is_list(url)
    except VideoFailed:
        return False
