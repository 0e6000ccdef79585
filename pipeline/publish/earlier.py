"""The dataset that lies in an output already: whose it is, and whether a run may put another one in its place.

A work folder keeps the SHA-256 of each dataset that was published from it. What it published it may replace, since all
of it can be made again from there. A dataset of another work folder is replaced by the same one only: with the same
settings, of the same videos.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.plan import digest
from pipeline.publish.provenance import SOME, settings_now
from pipeline.status import StageStatus, group_marks
from pipeline.store import Store, canonical_digest
from pipeline.workspace import Workspace
from schemas.row import KEY_DIGITS
from storyloom.errors import StoryloomError, UsageError
from storyloom.format.manifest import Published, read_manifest
from storyloom.format.reader import ShardReader
from storyloom.format.shard import Shard
from storyloom.fs.atomic import write_atomically
from storyloom.view.counts import count_of

SHARDS_LOOKED_AT = 16
"""Shards whose first document tells of which videos a dataset is (our choice)."""

DIFFERENCES = 3
"""Settings that differ of which a message tells (our choice)."""

State = Literal["none", "up to date", "out of date", "another's"]


class OutputOfAnother(UsageError):
    """The output holds a dataset that this run did not publish, and that would be lost."""


@dataclass(frozen=True)
class Earlier:
    """What lies in an output before a run publishes there.

    Attributes:
        state: ``none`` where there is no dataset; ``another's`` if a run must not replace it.
        said: What there is and how it differs from what the run would publish, in words; empty for ``none``.
        differs: Whether it was made with other settings, code or models.
    """

    state: State
    said: str
    differs: bool = False


def earlier(workspace: Workspace, output: Path, published: str, stages: Sequence[StageStatus] | None) -> Earlier:
    """Look at an output; nothing is written.

    Args:
        workspace: The run's.
        output: Its output.
        published: Name of the stage whose groups make the dataset.
        stages: The status of all stages; None leaves open whether it is up to date.
    """
    there = read_manifest(output)
    if there is None:  # nothing, or a damaged manifest, which a run mends
        return Earlier("none", "")
    differences = _differences(workspace, there, published)
    total = sum(split.nsamples for split in there.splits.values())
    holds = f"{output} holds {count_of(total, 'documents')}"
    strange = _of_other_videos(workspace, output, there)
    known = _record(workspace.job.store, there.sha256)
    if strange or (not known and differences):
        whose = "of other videos" if strange else "that were published from another work folder"
        return Earlier("another's", f"{holds} {whose}{_made(differences)}")
    if known and not differences and stages is not None and _is_current(workspace, published, stages, known):
        return Earlier("up to date", holds)
    return Earlier("out of date", f"{holds}{_made(differences)}", differs=bool(differences))


def _is_current(workspace: Workspace, published: str, stages: Sequence[StageStatus], known: str) -> bool:
    """Whether a dataset is made of what is in the work folder now."""
    read = workspace.config.graph.read_by({published}) | {published}
    if any(one.to_do for one in stages if one.stage in read):
        return False
    marks = sorted(group_marks(workspace, published).items())
    groups = [[Shard.model_validate(one) for one in (mark.result or {}).get("shards", [])] for _, mark in marks]
    return known == made_of(workspace, published, groups)


def check_earlier(found: Earlier, *, replace: bool) -> None:
    """Refuse to replace the dataset of another.

    Raises:
        OutputOfAnother: It is another's, and was not given up.
    """
    if found.state == "another's" and not replace:
        raise OutputOfAnother(
            f"{found.said}. Choose another `output`, or give them up with --replace-output; nothing was changed"
        )


def remember(workspace: Workspace, published: Published, made: str) -> None:
    """Keep that a dataset was published from a work folder, and of what it was made."""
    file = workspace.job.store.published / f"{published.sha256}.json"
    content = json.dumps({"made_of": made}).encode()
    if not file.is_file() or file.read_bytes() != content:
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, content)


def made_of(workspace: Workspace, published: str, groups: Sequence[Sequence[Shard]]) -> str:
    """A digest of what a published dataset is made of: the groups' shards and the settings of the last stage."""
    shards = [shard.sha256 for group in groups for shard in group]
    return digest(*shards, canonical_digest(workspace.config.stage(published).model_dump(mode="json")))


def is_known(work: Path, sha256: str) -> bool:
    """Whether a dataset was published from a work folder."""
    return bool(_record(Store(work.expanduser()), sha256))


def _record(store: Store, sha256: str) -> str:
    """Of what a dataset was made that was published from a work folder; empty for any other."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((store.published / f"{sha256}.json").read_bytes())
        return str(found.get("made_of", "")) if isinstance(found, dict) else ""
    return ""


def _of_other_videos(workspace: Workspace, output: Path, there: Published) -> bool:
    """Whether none of the documents that are looked at is of a video of the plan; some are looked at in each part."""
    reader, step = ShardReader(output), max(1, len(there.shards) // SHARDS_LOOKED_AT)
    found: set[str] = set()
    for shard in there.shards[::step]:
        with contextlib.suppress(StoryloomError, OSError):  # a damaged shard is put there again
            found |= {one.key[:KEY_DIGITS] for one in reader.json_only(shard, range(1))}
    return bool(found) and not any(found & set(members) for members in workspace.plan.videos)


def _differences(workspace: Workspace, there: Published, published: str) -> list[str]:
    """How a dataset was made otherwise than this run would make it: settings first, then stages with other code."""
    before, now = there.provenance.config, settings_now(workspace, published)
    settings = list(_changes({SOME: "all"} | before, {SOME: "all"} | now, ""))
    named = {change.partition(".")[0] for change in settings}
    prints = there.provenance.fingerprints
    other = [name for name in now if name in prints and prints[name] != workspace.job.keys[name].key]
    return settings + [f"{name} by another version or model" for name in other if name not in named]


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key} {_value(old)} instead of {_value(new)}"


def _value(value: Any) -> str:
    if isinstance(value, dict | None):
        return "off" if value is None else "on"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{text[:40]}…" if len(text) > 40 else text or "''"  # noqa: PLR2004 - a glance


def _made(differences: Sequence[str]) -> str:
    if not differences:
        return ""
    more = f" and {len(differences) - DIFFERENCES} more" if len(differences) > DIFFERENCES else ""
    return f", made with {', '.join(differences[:DIFFERENCES])}{more}"
