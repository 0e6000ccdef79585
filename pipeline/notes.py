"""What whoever uses a dataset must know of how it was made: told at a run's end, in the card and by `report`."""

from __future__ import annotations

from pathlib import Path

from pipeline.workspace import Workspace
from stages.base import CorpusStep

NO_BASE = "small, for trying, and what they say is no base for a dataset; the README names models that are"
"""The end of the sentence about models for trying."""

DEMO_VIDEO = Path("demo", "narrated.mp4")
"""The end of the path of the one video that the models for trying are meant for."""


def notes(workspace: Workspace) -> list[str]:
    """Sentences about the models and about the results over the corpus."""
    found = of_models(workspace)
    for name, result in workspace.job.results.items():
        step = workspace.graph.stages[name]
        assert issubclass(step, CorpusStep)
        found += step.notes(result.value)
    return found


def of_models(workspace: Workspace) -> list[str]:
    """A warning of models that are for trying only, where they get other videos than the demo's."""
    config = workspace.config
    named = [f"{name}.{key}" for name in workspace.graph.names for key in config.stage(name).for_trying]
    if not named or _is_the_demo(workspace):
        return []
    are = "is" if len(named) == 1 else "are"
    return [f"{' and '.join(named)} {are} the demo's: {NO_BASE}"]


def _is_the_demo(workspace: Workspace) -> bool:
    videos = [line.location for part in workspace.plan.parts[:2] for line in workspace.lines[part]]
    return len(videos) == 1 and Path(videos[0]).parts[-2:] == DEMO_VIDEO.parts
