"""The settings of `download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from schemas.config import LEAST_MEMORY, LONGEST, MOST_MEMORY, OPERATIONAL, Resources, StageConfig
from stages.download.sites.settings import PROXIES, SiteSettings, is_proxy
from stages.media.sandbox import Limits


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
        keep: What becomes of media files from the web. ``always``: they stay in the work folder; ``until_used``: they
            are removed from it once all stages that read them are done with the part; ``never``: only the cache of the
            machine that fetched them has them. One that is wanted and gone is fetched again; if it changed, what was
            made of it is done again, with the warning ``source_changed``.
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
    site_extractor_args: Annotated[dict[str, dict[str, tuple[str, ...]]], Field(repr=False)] = {}
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
    keep: Annotated[Literal["always", "until_used", "never"], OPERATIONAL] = "always"
    resources: Annotated[Resources, OPERATIONAL] = Resources(cpus=0.25)

    @field_validator("site_proxy")
    @classmethod
    def _proxy_is_one(cls, value: str) -> str:
        """Refuse what is no URL of a proxy; it may hold a password and is not shown."""
        if value and not is_proxy(value):
            raise ValueError(
                f"no URL of a proxy such as socks5h://user:password@proxy.example:1080 ({', '.join(PROXIES)}); in "
                "user and password write / ? # @ : and % as %2F %3F %23 %40 %3A and %25"
            )
        return value

    @property
    def files_go(self) -> bool:
        return self.keep == "until_used"

    @property
    def files_stay_here(self) -> bool:
        return self.keep == "never"

    @property
    def probe_limits(self) -> Limits:
        """Bounds of probing one file."""
        return Limits(self.probe_seconds, self.probe_memory)

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
