"""The dataset that lies in an output already: whose it is, and whether a run may put another one in its place.

A work folder keeps the SHA-256 of each dataset that was published from it. What it published it may replace, since all
of it can be made again from there, as long as some of its videos are still in the list. A dataset of another work
folder is replaced by the same one only: with the same settings, of the same videos.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.parts import digest
from pipeline.publish.provenance import SOME, settings_now
from pipeline.status import StageStatus, group_marks
from pipeline.store import PUBLISHED, Store, canonical_digest
from pipeline.workspace import Workspace
from schemas.config import StageConfig
from schemas.row import KEY_DIGITS
from storyloom.errors import StoryloomError, UsageError
from storyloom.format.manifest import MANIFEST, Published, read_manifest
from storyloom.format.reader import ShardReader
from storyloom.format.shard import Shard
from storyloom.fs.files import files_at
from storyloom.view.counts import count_of

DIFFERENCES = 3
"""Settings that differ of which a message tells (our choice)."""

LONGEST_VALUE = 40
"""Characters of a value in it (our choice)."""

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


def earlier(workspace: Workspace, output: str, published: str, stages: Sequence[StageStatus] | None) -> Earlier:
    """Look at an output; nothing is written.

    Args:
        workspace: The run's.
        output: Its output.
        published: Name of the stage whose groups make the dataset.
        stages: The status of all stages; None leaves open whether it is up to date.
    """
    store = workspace.job.store
    there = read_manifest(output)
    if there is None:
        if files_at(output).entry(MANIFEST) is None or _published_to(store, output):  # what is damaged is mended
            return Earlier("none", "")
        return Earlier("another's", f"{output} holds a dataset that cannot be read, damaged or of another version")
    differences = _differences(workspace, there, published)
    total = sum(split.nsamples for split in there.splits.values())
    holds = f"{output} holds a dataset of {count_of(total, 'documents')}"
    known = _record(store, there.sha256)
    same_list = there.provenance.videos_sha256 == workspace.plan.videos_sha256
    if not known:
        if same_list and not differences:
            return Earlier("out of date", holds)
        whose = "that this work folder is not known to have published" if same_list else "of another list of videos"
        return Earlier("another's", f"{holds} {whose}{_made(differences)}")
    gone = 0 if same_list else _gone(workspace, output, there)
    if gone == total:
        return Earlier("another's", f"{holds} of other videos{_made(differences)}")
    if not differences and stages is not None and _is_current(workspace, published, stages, known):
        return Earlier("up to date", holds)
    left = f"; {gone:,} of them are of videos that are no longer in the list" if gone else ""
    return Earlier("out of date", f"{holds}{_made(differences)}{left}", differs=bool(differences or gone))


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
            f"{found.said}. Choose another `output`, or give it up with --replace-output (from Python"
            " replace_output=True); nothing was changed"
        )


def remember(workspace: Workspace, published: Published, made: str, output: str) -> None:
    """Keep that a dataset was published from a work folder, of what it was made, and where to."""
    files, name = workspace.job.store.files, f"{PUBLISHED}/{published.sha256}.json"
    (before,) = files.read_all([name])
    outputs = sorted({*_outputs(before), output})
    content = json.dumps({"made_of": made, "outputs": outputs}).encode()
    if before != content:
        files.replace(name, content)


def made_of(workspace: Workspace, published: str, groups: Sequence[Sequence[Shard]]) -> str:
    """A digest of what a published dataset is made of: the groups' shards and the settings of the last stage."""
    shards = [sha256 for group in groups for shard in group for sha256 in (shard.sha256, shard.items_sha256)]
    return digest(*shards, canonical_digest(workspace.config.stage(published).model_dump(mode="json")))


def is_known(store: Store, sha256: str) -> bool:
    """Whether a dataset was published from a work folder."""
    return bool(_record(store, sha256))


def _record(store: Store, sha256: str) -> str:
    """Of what a dataset was made that was published from a work folder; empty for any other."""
    (content,) = store.files.read_all([f"{PUBLISHED}/{sha256}.json"])
    return str(_parsed(content).get("made_of", ""))


def _outputs(content: bytes | None) -> list[str]:
    found = _parsed(content).get("outputs", [])
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _published_to(store: Store, output: str) -> bool:
    """Whether any dataset was published from a work folder to an output."""
    records = store.files.read_all([one.name for one in store.files.entries(PUBLISHED)])
    return any(output in _outputs(content) for content in records)


def _parsed(content: bytes | None) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(content or b"{}")
        return found if isinstance(found, dict) else {}
    return {}


def _gone(workspace: Workspace, output: str, there: Published) -> int:
    """Documents of a dataset whose videos are not in the plan."""
    reader, plan = ShardReader(output), workspace.plan
    planned = {key for some in (*plan.videos, *plan.left_out.values()) for key in some}
    gone = 0
    for shard in there.shards:
        with contextlib.suppress(StoryloomError, OSError):  # a damaged shard is put there again
            gone += sum(key[:KEY_DIGITS] not in planned for key in reader.keys(shard))
    return gone


def _differences(workspace: Workspace, there: Published, published: str) -> list[str]:
    """How a dataset was made otherwise than this run would make it: settings first, then stages with other code."""
    every = {SOME: "all"}  # what a dataset over all videos does not say
    before, now = _sections(workspace, there.provenance.config), settings_now(workspace, published)
    settings = list(_changes(every | before, every | now))
    named = {re.split("[. ]", change)[0] for change in settings}
    prints = there.provenance.fingerprints
    other = [name for name in now if name in prints and prints[name] != workspace.job.keys[name].key]
    return settings + [f"{name} by another version or model" for name in other if name not in named]


def _sections(workspace: Workspace, config: Mapping[str, Any]) -> dict[str, Any]:
    """The seed, which videos, and the stages' sections of a provenance's config."""
    stages = {name for name in config if isinstance(getattr(workspace.config, name, None), StageConfig)}
    return {name: value for name, value in config.items() if name in stages or name in ("seed", SOME)}


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Stages that are on in one of both, and settings with other values; those that one version alone has are none."""
    for name in dict.fromkeys([*before, *now]):
        if name not in before or name not in now:
            yield f"{name} {'on' if name in before else 'off'}"
        else:
            yield from _values(before[name], now[name], name)


def _values(before: Any, now: Any, key: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in before:
            if name in now:
                yield from _values(before[name], now[name], f"{key}.{name}")
    elif before != now:
        yield f"{key} {_short(before)} instead of {_short(now)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{text[:LONGEST_VALUE]}…" if len(text) > LONGEST_VALUE else text or "''"


def _made(differences: Sequence[str]) -> str:
    if not differences:
        return ""
    more = f" and {len(differences) - DIFFERENCES} more" if len(differences) > DIFFERENCES else ""
    return f", made with {', '.join(differences[:DIFFERENCES])}{more}"
