"""Provenance of a dataset, for its card: config, keys, models and programs that ran, funnel; all from the marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.funnel import funnel
from pipeline.notes import notes
from pipeline.plan import Plan
from pipeline.status import StageStatus
from pipeline.workspace import Workspace
from storyloom.format.manifest import Provenance
from storyloom.fs.url import redacted

SOME = "videos"
"""Key in the provenance's config of a dataset over some of the planned videos: how many, and of how many."""


def provenance(workspace: Workspace, after: Sequence[StageStatus]) -> Provenance:
    """The provenance of a complete run, from the status of the stages that the shards depend on."""
    keys = {one.stage: workspace.job.keys[one.stage] for one in after}
    ran = {name: " | ".join(workspace.ran(name)) for name in keys}
    return Provenance(
        config=_settings(workspace, keys),
        fingerprints={name: one.key for name, one in keys.items()},
        revisions={name: version for name, version in ran.items() if version},
        funnel=funnel(after),
        notes=notes(workspace),
        videos_sha256=workspace.plan.videos_sha256,
    )


def _some_of(plan: Plan) -> dict[str, str]:
    """What is said of a dataset over some of the planned videos; nothing of one over all."""
    videos = plan.members.count
    return {SOME: f"{videos} of {videos + plan.videos_left_out}"} if plan.left_out else {}


def settings_now(workspace: Workspace, published: str) -> dict[str, Any]:
    """The settings that a dataset published by this config has in its provenance.

    Args:
        workspace: The run's.
        published: Name of the stage whose groups make the dataset.
    """
    read = workspace.graph.read_by({published}) | {published}
    return _settings(workspace, [name for name in workspace.graph.names if name in read])


def _settings(workspace: Workspace, names: Iterable[str]) -> dict[str, Any]:
    keys = workspace.job.keys
    sections = {name: publishable(workspace, name, keys[name].ingredients["config"]) for name in names}
    return sections | {"seed": workspace.config.seed} | _some_of(workspace.plan)


def publishable(workspace: Workspace, name: str, config: Any) -> dict[str, Any]:
    """A stage's config with local paths cut to their last component: a dataset does not describe the machine.

    URLs lose what may be secret in them, and fields without a `repr`, which may hold a secret, are left out.
    """
    fields = type(workspace.config.stage(name)).model_fields
    shown = {key: value for key, value in config.items() if key not in fields or fields[key].repr}
    return {key: _without_folder(value) for key, value in shown.items()}


def _without_folder(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value.rsplit("/", 1)[-1] if value.removeprefix("local-dir:").startswith("/") else redacted(value)
