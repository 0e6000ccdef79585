"""What `download` needs of a machine for a manifest, looked at before its first video."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib.util import find_spec
from pathlib import Path

from stages.base import StageSetupError, VideoFailed
from stages.download.settings import DownloadConfig
from stages.download.sites.extractors import listed_site
from stages.download.sites.settings import check_cookies
from stages.download.storage import unreadable
from storyloom.errors import UsageError
from storyloom.fs.cache import machine_cache
from storyloom.fs.url import scheme_of

WEB = ("http", "https", "file", "")
"""Schemes that need no package and no credentials."""

MOST_STORES = 3
"""Buckets of a manifest that are asked whether they can be read (our choice)."""


def missing_for(config: DownloadConfig, urls: Collection[str]) -> list[str]:
    """What is missing, a sentence each that says how to get it.

    Args:
        config: Settings of the stage.
        urls: Of the manifest, one for each scheme and host or bucket.
    """
    return [*_settings(config), *_sites(config, urls), *_stores(config, urls)]


def _settings(config: DownloadConfig) -> Iterator[str]:
    try:
        check_cookies(config.site_cookies)
    except StageSetupError as reason:
        yield str(reason)
    if config.local_root and not Path(config.local_root).expanduser().is_dir():
        yield f"download.local_root {config.local_root} is no folder of this machine: correct it, or leave it empty"


def _sites(config: DownloadConfig, urls: Collection[str]) -> Iterator[str]:
    if find_spec("yt_dlp") is not None:
        return
    for url in urls:
        try:
            site = listed_site(url, config.sites)
        except VideoFailed:  # no URL: its row will say so
            continue
        if site:
            yield f"videos of {site} need yt-dlp, which is not installed: pip install 'storyloom[sites]'"
            return


def _stores(config: DownloadConfig, urls: Collection[str]) -> Iterator[str]:
    stored = [url for url in urls if scheme_of(url) not in WEB and scheme_of(url) in config.schemes]
    if stored or config.keep == "never":
        try:
            machine_cache()
        except UsageError as reason:
            yield str(reason)
    for url in stored[:MOST_STORES]:
        if problem := unreadable(url, config.timeout, instance_credentials=config.instance_credentials):
            yield problem
