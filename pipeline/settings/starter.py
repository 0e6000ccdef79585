"""A config to start from: a recipe's settings, and as comments the others that people change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any

from pipeline.config_file import parsed, read_text
from pipeline.settings.recipes import Recipe, recipe_file
from pipeline.settings.reference import Setting, attributes, settings
from pipeline.settings.values import as_yaml
from schemas.config import StageConfig
from storyloom.errors import UsageError
from storyloom.fs.atomic import commit_bytes

NAME = "storyloom.yaml"
"""The config's name in a folder."""

ENDINGS = (".yaml", ".yml")

PLACES = {"manifest": "videos.txt", "work": "work", "output": "shards"}
"""Places of a starting config, unless the recipe's are absolute or URLs: those are what a cluster's nodes share."""

SHARED = re.compile(r"/|[a-z0-9]+://")
"""The beginning of a place that all nodes of a cluster see."""

CHANGED = (
    *("columns", "runner.kind", "runner.max_failed_share", "parts.videos"),
    *("download.max_duration", "download.min_duration", "download.local_root", "download.site_format"),
    *("download.site_cookies", "download.per_host", "download.allow_private_addresses"),
    *("transcribe.backend", "transcribe.model", "transcribe.language", "transcribe.compute_type", "transcribe.device"),
    *("transcribe.subtitles", "transcribe.beam_size", "transcribe.batch_size"),
    *("sample.interval", "sample.near_duplicate", "sample.max_side", "sample.max_per_minute"),
    *("align.max_gap", "align.window"),
    *("score.model", "score.pretrained", "score.device"),
    *("filter.mode", "filter.threshold", "filter.false_accept_rate", "filter.min_words", "filter.max_words"),
    *("filter.max_images", "filter.max_silence", "filter.min_sharpness", "filter.duplicates"),
    *("write.name", "write.shard_bytes", "write.val_share"),
)
"""Keys that people change (our choice)."""

ABOUT = {
    Recipe.LOCAL: "One machine. The models are fetched from their hubs at the first run.",
    Recipe.DEMO: "The small models of the extra `demo`, FOR TRYING ONLY: one knows English only, the other was fitted"
    " on 589 photos. Nothing is fetched but your videos.",
    Recipe.CLUSTER: "A Ray cluster with GPUs. `work` and `output` must be folders that every node sees under the same"
    " path.",
    Recipe.S3: "A Ray cluster with GPUs whose nodes share nothing but a bucket. Its credentials are those of each"
    " machine: its role, its service account or its environment; none stand here.",
    Recipe.FUSION: "One machine, and two servers of models that speak OpenAI's protocol: what frames show, and one"
    " text of that and of what is said.",
}

HEAD = """Run it from this folder: storyloom run {name}. A line that begins with # and a key is a setting with its
default: take the # away to change it. `storyloom settings` prints all settings; an empty section keeps its defaults."""

WIDTH = 110
"""Columns of comments."""


def starter(recipe: Recipe, name: str) -> str:
    """The text of a config.

    Args:
        recipe: Whose settings it has.
        name: The file's name, for its first lines.
    """
    wanted = parsed(read_text(recipe_file(recipe)))
    wanted |= {key: place for key, place in PLACES.items() if not SHARED.match(wanted[key])}
    lines = [*_comment(ABOUT[recipe]), *_comment(HEAD.format(name=name)), ""]
    section = ""
    for one in settings():
        head, _, key = one.key.rpartition(".")
        if "." in head:
            continue  # whole, as its section's own key
        if head != section:
            section = head
            lines += ["", f"{section}:", *_resources(wanted.get(section) or {})]
        inside = (wanted.get(section) or {}) if section else wanted
        if key in inside:
            lines += _entry(one, key, inside[key], "")
        elif one.key in CHANGED:
            lines += _entry(one, key, one.default, "#")
    return "\n".join(_without_empty([*lines, ""]))


def _entry(one: Setting, key: str, value: Any, mark: str) -> Iterator[str]:
    indent = "  " if one.section else ""
    yield from _comment(one.meaning, indent)
    yield f"{indent}{mark}{key}: {as_yaml(value)}"


def _resources(inside: dict[str, Any]) -> Iterator[str]:
    """The line of a section's workers, where the recipe has one."""
    if "resources" in inside:
        yield from _comment(attributes(StageConfig)["resources"], "  ")
        yield f"  resources: {as_yaml(inside['resources'])}"


def _comment(text: str, indent: str = "") -> list[str]:
    """A text as lines of comments: a # and a space, which no commented setting has."""
    plain = text.replace("``", "")
    return wrap(plain, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False)


def _without_empty(lines: list[str]) -> list[str]:
    """The lines without sections in which nothing stands."""
    kept: list[str] = []
    for number, line in enumerate(lines):
        following = lines[number + 1 : number + 2]
        if line.endswith(":") and not line.startswith(("#", " ")) and following in ([], [""]):
            kept.pop()  # the line before it
        else:
            kept.append(line)
    return kept


def config_place(place: Path) -> Path:
    """The file that a folder's or a file's name stands for: a name with an ending of YAML is a file's."""
    return place if place.suffix.lower() in ENDINGS and not place.is_dir() else place / NAME


def write_starter(file: Path, recipe: Recipe) -> None:
    """Write a config where there is none.

    Raises:
        UsageError: There is something already, or the file cannot be written; nothing was changed.
    """
    if file.parent.is_file():
        raise UsageError(f"{file.parent} is a file: name a folder, or a file that ends in .yaml")
    if file.exists() or file.is_symlink():
        raise UsageError(f"{file} is there already and was left as it is: name another file, e.g. init mine.yaml")
    try:
        commit_bytes(file, starter(recipe, file.name).encode())
    except OSError as reason:
        raise UsageError(f"{file} cannot be written: {reason.strerror or reason}") from reason
