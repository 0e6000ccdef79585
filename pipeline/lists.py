"""Lists of videos in a manifest, such as playlists: read once, and kept beside the plan."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from pipeline.config import RunConfig
from pipeline.manifest import SCHEMA, Rows
from pipeline.parts import keys_of, places_in
from pipeline.store import PLAN
from schemas.row import video_key
from schemas.text import clean_text
from stages.base import Listing, VideoFailed
from stages.registry import AnyStageClass
from storyloom.format.model import Model
from storyloom.fs.files import Files
from storyloom.fs.url import published, redacted
from storyloom.view.counts import count_of

FOLDER = "lists"
"""Folder of the plan with a file for each list."""


class KnownList(Model):
    """A list that was read.

    Attributes:
        title: Its title.
        urls: Of its videos, in its order.
        ids: The site's id of each; empty where it has none.
        more: Whether it had more videos than were taken.
        partial: Whether lists in it could not be read that perhaps can be later.
    """

    title: str
    urls: list[str]
    ids: list[str]
    more: bool
    partial: bool = False


def expanded(
    manifest: Rows, config: RunConfig, files: Files, *, write: bool, refresh: bool = False
) -> tuple[Rows, list[str]]:
    """The manifest with the videos of its lists in their place, and what is told of them.

    A list that was read before is not asked for again, unless more videos are wanted than were taken then, or a part of
    it could not be read. One that cannot be read stays a line of its own, which fails in the stage that reads it; one
    of which a part cannot keeps the videos that it had. A video that is there already is left out of a list.

    Args:
        manifest: With the columns of `ManifestRow`.
        config: The run's config.
        files: The work folder's.
        write: Whether unknown lists are read; otherwise they stay lines.
        refresh: Whether known lists are read again.
    """
    found: list[tuple[AnyStageClass, int, str]] = []
    begin = 0
    for table in manifest.tables(["problem", "url"]):
        urls = pc.if_else(pc.equal(table["problem"], ""), table["url"], "").to_pylist()
        for stage in config.graph.stages.values():
            found += [(stage, begin + at, urls[at]) for at in stage.lists(urls, config.stage(stage.name))]
        begin += len(table)
    if not found:
        return manifest, []
    told: list[str] = []
    lists: dict[int, KnownList] = {}
    for stage, at, url in found:
        known = _known(stage, url, config, files, told, write=write, refresh=refresh)
        if known is not None:
            lists[at] = known
    if not lists:
        return manifest, told
    return _with_videos(manifest, lists, config.url_parameters, told), told


def _known(
    stage: AnyStageClass, url: str, config: RunConfig, files: Files, told: list[str], *, write: bool, refresh: bool
) -> KnownList | None:
    """A list as it was read before, or now; None when it was never read."""
    file = f"{PLAN}/{FOLDER}/{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
    section = config.stage(stage.name)
    most = stage.most_listed(section)
    before = _read(files, file)
    if before is not None and (
        not write or not (refresh or before.partial or (before.more and len(before.urls) < most))
    ):
        return before.model_copy(update={"urls": before.urls[:most], "ids": before.ids[:most]})
    if not write:
        told.append(f"{redacted(url)} is a list of videos; `storyloom run` reads it")
        return None
    try:
        listing = stage.listed(url, section)
    except VideoFailed as failed:
        told.append(f"{redacted(url)}, a list of videos, could not be read: {failed.message} [{failed.code}]")
        return before
    partial = any(failed.retryable for failed in listing.unread)
    ids = dict(zip(listing.urls, listing.ids, strict=True))
    if partial and before is not None:
        ids = dict(list((ids | dict(zip(before.urls, before.ids, strict=True)) | ids).items())[:most])
    known = KnownList(title=listing.title, urls=list(ids), ids=list(ids.values()), more=listing.more, partial=partial)
    # whole URLs, as in the workers' copy of the manifest
    files.replace(file, known.model_dump_json().encode(), private=True)
    told.append(_sentence(url, listing))
    return known


def _sentence(url: str, listing: Listing) -> str:
    name = f"{listing.title!r} ({redacted(url)})" if listing.title else redacted(url)
    more = ", and more that were not taken (download.site_list_videos)" if listing.more else ""
    unusable = f", and {listing.unusable} more without an address" if listing.unusable else ""
    unread = ""
    if listing.unread:
        why = listing.unread[0]
        unread = f"; {count_of(len(listing.unread), 'lists')} in it could not be read: {why.message} [{why.code}]"
    return f"{name}: {count_of(len(listing.urls), 'videos')}{more}{unusable}{unread}"


def _read(files: Files, file: str) -> KnownList | None:
    try:
        return KnownList.model_validate_json(files.read(file))
    except (FileNotFoundError, ValidationError):
        return None


def _with_videos(manifest: Rows, lists: dict[int, KnownList], parameters: Collection[str], told: list[str]) -> Rows:
    """The rows with those of each list's videos instead of the list's."""
    at = sorted(lists)
    lines = manifest.take(np.array(at), SCHEMA.names).to_pylist()
    of_lists = [list(_rows(line, lists[one], parameters)) for one, line in zip(at, lines, strict=True)]
    videos = [row["video"] for rows in of_lists for row in rows]
    places = places_in(keys_of(videos), manifest.keys)
    there = np.flatnonzero(places >= 0)
    urls = manifest.take(places[there], ["url"])["url"].to_pylist()
    seen = {videos[one]: url for one, url in zip(there.tolist(), urls, strict=True)}
    fresh: dict[int, pa.Table] = {}
    for place, line, rows in zip(at, lines, of_lists, strict=True):
        new, alike = [], 0
        for row in rows:
            if row["video"] not in seen:
                seen[row["video"]] = row["url"]
                new.append(row)
            elif seen[row["video"]] != row["url"] and "?" not in row["published_url"]:
                alike += 1
        if alike:
            told.append(
                f"{line['published_url']}: {count_of(alike, 'videos')} left out, whose URLs differ from others' only in"
                " what is not published; name the parameter that tells them apart in `url_parameters`"
            )
        fresh[place] = pa.Table.from_pylist(new, schema=SCHEMA)
    return _put_in(manifest, fresh)


def _put_in(manifest: Rows, fresh: dict[int, pa.Table]) -> Rows:
    """The rows with others instead of those at some places."""
    found, begin = Rows(SCHEMA), 0
    for table in manifest.tables(SCHEMA.names):
        start = 0
        for place, rows in fresh.items():
            if begin <= place < begin + len(table):
                found.add(table.slice(start, place - begin - start))
                found.add(rows)
                start = place - begin + 1
        found.add(table.slice(start))
        begin += len(table)
    return found


def _rows(line: dict[str, Any], known: KnownList, parameters: Collection[str]) -> Iterator[dict[str, Any]]:
    """The rows of a list's videos: the line's language, licence and other columns hold for each of them."""
    own_id = line["source_id"] != line["published_url"]
    for url, site_id in zip(known.urls, known.ids, strict=True):
        shown = clean_text(published(url, parameters))[0]
        source_id = f"{line['source_id']}/{site_id or shown}" if own_id else shown
        yield line | {
            "video": video_key(source_id),
            "url": url,
            "source_id": source_id,
            "published_url": shown,
            "title": "",
            "subtitles": "",
            "other_subtitles": [],
        }
