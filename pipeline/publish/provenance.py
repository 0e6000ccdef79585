"""Provenance of a dataset, for its card: config, keys, models and programs that ran, funnel; all from the marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.funnel import funnel
from pipeline.plan import Plan
from pipeline.status import StageStatus
from pipeline.workspace import Workspace
from schemas.config import PartsConfig
from storyloom.format.manifest import Provenance
from storyloom.fs.url import redacted

SOME = "parts"
"""Key in the provenance's config of a dataset over some of the planned videos: which ones, and of how many."""


def provenance(workspace: Workspace, after: Sequence[StageStatus]) -> Provenance:
    """The provenance of a complete run, from the status of the stages that the shards depend on."""
    keys = {one.stage: workspace.job.keys[one.stage] for one in after}
    ran = {name: " | ".join(workspace.summaries.ran(workspace.done(name).values())) for name in keys}
    return Provenance(
        config={name: publishable(workspace, name, one.ingredients["config"]) for name, one in keys.items()}
        | {"seed": workspace.config.seed}
        | some_of(workspace.plan, workspace.config.parts),
        fingerprints={name: one.key for name, one in keys.items()},
        revisions={name: version for name, version in ran.items() if version},
        funnel=funnel(after),
    )


def some_of(plan: Plan, config: PartsConfig) -> dict[str, Any]:
    """What is said of a dataset over some of the planned videos; nothing of one over all."""
    if not plan.left_out:
        return {}
    videos = sum(map(len, plan.videos))
    asked = {"limit": config.limit, "sample": config.sample}
    return {SOME: {**asked, "videos": videos, "of": videos + plan.videos_left_out}}


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
