"""Before a run: whether it may publish to its output, and what it will replace there."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pipeline.config import RunConfig
from pipeline.places import check_places
from pipeline.publish.earlier import check_earlier, is_known
from pipeline.publish.publish import check_output
from pipeline.publish.run import PUBLISHED, check_not_over_all, look_at_output, output_of
from pipeline.status import StageStatus
from pipeline.store import Store
from pipeline.workspace import Workspace, survey
from storyloom.format.manifest import MANIFEST, read_manifest
from storyloom.fs.files import files_at
from storyloom.fs.place import absolute


def check_target(config: RunConfig, selected: Collection[str]) -> None:
    """Refuse an output folder that cannot be published to, before anything is done.

    Raises:
        UsageError: It lies in another folder of the run, or holds something else than a dataset.
    """
    check_places(config)
    if PUBLISHED in selected:
        check_output(files_at(output_of(config)))


def refuse_early(config: RunConfig, selected: Collection[str], *, replace: bool) -> None:
    """Refuse to replace the dataset of another before anything is written.

    Raises:
        OutputOfAnother: The output holds one.
    """
    if PUBLISHED not in selected or replace:
        return
    output = output_of(config)
    there = read_manifest(output)
    if files_at(output).entry(MANIFEST) and (there is None or not is_known(Store(absolute(config.work)), there.sha256)):
        check_earlier(look_at_output(survey(config)), replace=False)


def replaced(workspace: Workspace, selected: Collection[str], *, replace: bool) -> str:
    """The dataset in the output that is replaced by another one, in words; empty where there is none.

    Raises:
        OutputOfAnother: The output holds the dataset of another.
    """
    if PUBLISHED not in selected:
        return ""
    if not replace:
        check_not_over_all(workspace)
    found = look_at_output(workspace)
    check_earlier(found, replace=replace)
    return f"{found.said}: to be replaced" if found.state == "another's" or found.differs else ""


def to_publish(workspace: Workspace, before: Sequence[StageStatus], selected: Collection[str]) -> str:
    """That an output is published again although every stage is up to date; empty where that is not so."""
    if PUBLISHED not in selected or any(one.to_do for one in before):
        return ""
    there = look_at_output(workspace, before).state
    return "" if there == "up to date" else f"{output_of(workspace.config)} is not up to date: to be published"
