"""A try: the demo's models over a few videos, without a config, in a folder of its own."""

from __future__ import annotations

import difflib
import glob
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import RunConfig, load_config, read_config
from pipeline.config_file import parsed, read_text
from pipeline.manifest import read_manifest
from pipeline.parts import digest
from pipeline.settings.recipes import Recipe, recipe_file
from schemas.manifest import ManifestRow
from storyloom.errors import UsageError
from storyloom.fs.atomic import write_atomically
from storyloom.fs.url import redacted, scheme_of

FOLDER = "storyloom-try"
"""Where tries are kept, in the folder in which the command runs."""

CONFIG = "config.yaml"
"""A try's config, for `storyloom failures`, `status` and `report`, and for a run with other settings."""

LISTS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".tar", ".gz", ".zst")
"""Endings of lists; everything else is taken for a video."""

LONGEST_NAME = 40
"""Characters of a video's name in the name of a try's folder (our choice)."""


@dataclass(frozen=True)
class Trial:
    """A try.

    Attributes:
        folder: Its own; the same videos have the same one, so that what is done is not done again.
        config: Of its run.
        told: What was passed over, a sentence each.
    """

    folder: Path
    config: RunConfig
    told: tuple[str, ...]

    @property
    def page(self) -> Path:
        """The page of what comes out."""
        return self.folder / "page.html"

    @property
    def file(self) -> Path:
        """The config's."""
        return self.folder / CONFIG

    @property
    def output(self) -> Path:
        """The folder of the shards."""
        return Path(self.config.output).expanduser()


def trial(videos: Sequence[str], root: Path) -> Trial:
    """Set up a try of files, folders, lists and URLs.

    Args:
        videos: As a user names them, at least one.
        root: Folder of all tries; left out of folders of videos.

    Raises:
        UsageError: One of them is not there, or holds no video.
    """
    places = [_place(video) for video in videos]
    folder = root / _name(places)
    if len(places) == 1 and _is_list(places[0]):
        manifest, told = places[0], tuple[str, ...]()
    else:
        lines, told = _lines(places, videos, root)
        manifest = str(folder / "videos.jsonl")
        _write(Path(manifest), "".join(f"{json.dumps(line)}\n" for line in lines))
    recipe = parsed(read_text(recipe_file(Recipe.DEMO)))
    run_here = {"manifest": manifest, "work": str(folder / "work"), "output": str(folder / "shards")}
    content = {**recipe, **run_here, "runner": {"kind": "inline", "max_failed_share": 1.0}}
    file = folder / CONFIG
    if not file.exists():
        _write(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    elif read_config(file) != content:
        told = (*told, f"{file} was changed: it is used as it is; without it, a new one is written")
    return Trial(folder, load_config(file), told)


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text.encode())
    except OSError as reason:
        raise UsageError(f"{file} cannot be written: {reason.strerror or reason}") from reason


def _place(video: str) -> str:
    """A URL, or an absolute path of what is there.

    Raises:
        UsageError: Nothing is there.
    """
    if not video.strip():
        raise UsageError("the name of a video is empty; give a video, a folder, a list or a URL")
    if scheme_of(video) != "file":
        return video
    path = Path(video.removeprefix("file://")).expanduser().absolute()
    try:
        str(path).encode()
        there = path.exists() or (glob.has_magic(str(path)) and glob.glob(str(path)))  # noqa: PTH207
    except (OSError, ValueError) as reason:
        raise UsageError(f"{video[:200]!r} cannot be opened: {reason}") from reason
    if there:
        return str(path)
    beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    nearest = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.75)
    hint = f"did you mean {path.with_name(nearest[0])}?" if nearest else "give a video, a folder, a list or a URL"
    raise UsageError(f"nothing is at {path}; {hint}")


def _is_list(place: str) -> bool:
    """Whether a place is a manifest of several videos: a list, a pattern, a prefix, or a folder of packed ones."""
    bare = redacted(place)
    if scheme_of(place) != "file":
        return (
            bare.lower().endswith(LISTS) or bare.endswith("/*") or (bare.endswith("/") and not bare.startswith("http"))
        )
    path = Path(place)
    if path.is_dir():
        return not _holds_media(path)
    return path.suffix.lower() in LISTS or not path.exists()


def _holds_media(folder: Path) -> bool:
    """Whether a folder's videos are files of their own."""
    try:
        rows = read_manifest(str(folder)).rows
    except UsageError:
        return False  # the run says why
    return not any(rows["member"].to_pylist())


def _lines(places: Sequence[str], named: Sequence[str], root: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """A line of a list for each video, and what was passed over."""
    lines, told = list[dict[str, Any]](), list[str]()
    for place, name in zip(places, named, strict=True):
        if scheme_of(place) != "file":
            lines.append({"url": place})
        elif Path(place).is_dir() or _is_list(place):
            manifest = read_manifest(place, without=[str(root)])
            told += manifest.told
            lines += _of_rows(map(ManifestRow.model_validate, manifest.rows.to_pylist()), name)
        else:
            lines.append({"url": place, "id": name})
    return lines, tuple(told)


def _of_rows(rows: Iterator[ManifestRow], name: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row.member:
            raise UsageError(f"{name} holds videos in a tar or Parquet file: try it without others")
        if row.problem:
            continue  # told with the list
        line = {"url": row.location, "id": f"{name.rstrip('/')}/{row.source_id}", "subtitles": row.subtitles_location}
        times = {key: value for key, value in (("start", row.start), ("end", row.end)) if value >= 0}
        said = {"title": row.title, "language": row.language, "license": row.license}
        yield {key: value for key, value in {**line, **said}.items() if value} | times


def _name(places: Sequence[str]) -> str:
    """The name of the folder of a try of these places."""
    stem = Path(redacted(places[0]).rstrip("/")).stem
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:LONGEST_NAME] or "videos"
    more = f"-and-{len(places) - 1}-more" if len(places) > 1 else ""
    return f"{plain}{more}-{digest(chr(10).join(places))[:8]}"
