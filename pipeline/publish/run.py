"""Publishing the groups of a complete run as one dataset."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import RunConfig
from pipeline.executors.executor import UnitsMissing
from pipeline.parts import digest
from pipeline.publish.earlier import Earlier, OutputOfAnother, check_earlier, earlier, made_of, remember
from pipeline.publish.provenance import SOME, provenance
from pipeline.publish.publish import publish
from pipeline.scheduler import counted
from pipeline.status import StageStatus, group_marks
from pipeline.store import Damaged
from pipeline.workspace import Workspace
from stages.write.stage import GroupShards, Write, WriteConfig
from storyloom.errors import RunFailed
from storyloom.format.manifest import read_manifest
from storyloom.format.sample import FormatError
from storyloom.format.stored import BadShard
from storyloom.fs.files import files_at
from storyloom.fs.place import absolute
from storyloom.view.counts import count_of

RESTS = "rests"
"""Folder, beside the groups' own, of shards that were merged from groups' rests, by output."""

PUBLISHED = Write.name
"""The stage whose groups make the dataset."""


def look_at_output(workspace: Workspace, stages: Sequence[StageStatus] | None = None) -> Earlier:
    """What lies in the config's output now; whether it is up to date is known from the status of all stages alone."""
    return earlier(workspace, output_of(workspace.config), PUBLISHED, stages)


def output_of(config: RunConfig) -> str:
    """The place that a config publishes to: an absolute path, or a URL."""
    return absolute(config.output)


def check_not_over_all(workspace: Workspace) -> None:
    """Refuse to replace a dataset over all videos by one over some of them.

    Raises:
        OutputOfAnother: The output holds one over all.
    """
    output = output_of(workspace.config)
    there = read_manifest(output) if workspace.plan.left_out else None
    if there is not None and SOME not in there.provenance.config:
        raise OutputOfAnother(
            f"{output} holds a dataset over all videos, and this run is over some of them (parts.limit, parts.sample):"
            " choose another `output`, or give it up with --replace-output (from Python replace_output=True)"
        )


def publish_run(workspace: Workspace, after: Sequence[StageStatus], *, replace: bool = False) -> None:
    """Publish all groups as the dataset in the config's output.

    Args:
        workspace: The run's.
        after: The status of all stages.
        replace: Whether the dataset of another may be replaced.

    Raises:
        OutputOfAnother: The output holds the dataset of another, which was published meanwhile.
        RunFailed: A group is missing, or there is no document.
        UnitsMissing: A group came undone since its stage was looked at.
        Damaged: A group's shards do not match its mark.
        UsageError: The output folder contains other files.
    """
    read = workspace.config.graph.read_by({PUBLISHED}) | {PUBLISHED}
    after = [one for one in after if one.stage in read]  # what others have to do or failed in is not in the shards
    missing = [f"{one.stage} ({one.to_do} of {one.units})" for one in after if one.to_do]
    if missing:
        raise RunFailed(f"not published, since parts are missing in: {', '.join(missing)}")
    config, store = workspace.config, workspace.job.store
    marks = group_marks(workspace, PUBLISHED)
    if lost := workspace.job.groups.keys() - marks.keys():
        raise UnitsMissing(
            f"not published, since group {min(lost)} came undone; another run may do it again", upstream=True
        )
    groups = {group: GroupShards.model_validate(mark.result) for group, mark in sorted(marks.items())}
    if not any(one.shards for one in groups.values()):
        last = [one for one in after if one.videos][-1]
        raise RunFailed(
            f"no document came out of {count_of(last.videos, 'videos')}: {counted({**last.failed, **last.dropped})}"
        )
    addresses = workspace.done(PUBLISHED)
    folders = {group: store.files.within(store.group_folder(addresses[group], marks[group].files)) for group in groups}
    shards, output = [one.shards for one in groups.values()], output_of(config)
    # A folder for each output: publishing to another output must not clear it.
    of_output = f"{RESTS}/{digest(output)[:12]}"
    rests = store.files.within(f"{store.folder(PUBLISHED, workspace.job.keys[PUBLISHED].key)}/{of_output}")
    made, write = provenance(workspace, after), config.section(WriteConfig)

    def check_again() -> None:
        check_earlier(look_at_output(workspace), replace=replace)

    while True:
        try:
            published = publish(shards, list(folders.values()), rests, files_at(output), write, made, check_again)
        except BadShard as reason:
            folder, _, name = reason.shard.rpartition("/")
            if folder == rests.address and rests.entry(name):
                rests.remove(name)  # merged from the groups, so it is merged again
                continue
            owner = next(addresses[group] for group, files in folders.items() if files.address == folder)
            raise Damaged(owner, str(reason)) from reason
        except FormatError as reason:
            raise RunFailed(f"not published: {reason}") from reason
        remember(workspace, published, made_of(workspace, PUBLISHED, shards), output)
        return
