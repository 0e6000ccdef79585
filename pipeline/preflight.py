"""What a run needs is looked at before its first video, and everything that is missing is told at once."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence

from pipeline.config import RunConfig
from pipeline.extras import installed, missing_packages, needed, setup_problem
from pipeline.lineage import stage_keys
from pipeline.status import status
from pipeline.store import Store
from pipeline.workspace import Workspace, listed, survey
from stages.base import Context, StageSetupError
from storyloom.errors import RunFailed, UsageError
from storyloom.fs.files import files_at
from storyloom.fs.place import absolute

LEAST_ROOM = 100 * 2**20
"""Free bytes below which a folder has no room for a run (our choice: the log and tables of a small one)."""


def surveyed(config: RunConfig, selected: Collection[str], *, write: bool, refresh: bool, again: bool) -> Workspace:
    """The workspace of a config on a machine that has what the selected stages need.

    Args:
        config: The run's config.
        selected: Names of the stages that are to run.
        write: As in `survey`.
        refresh: As in `survey`.
        again: Whether finished units are to be done again, so that a stage with nothing to do may still run.

    Raises:
        UsageError: Config, manifest or output cannot be used, or something is missing; all that is, a line each.
        RunFailed: A stage cannot say what it misses.
    """
    places = [*_place_problems(config, by_trying=write), *_runner_problems(config)]
    if lacking := missing_packages(config):
        others = [name for name in config.graph.names if name not in lacking]
        raise _refused([*lacking.values(), *_list_problems(config), *places, *_everywhere(config, others)])
    if places:
        write = False  # what cannot be written is not tried
    try:
        workspace = survey(config, write=write, refresh=refresh)
    except UsageError as reason:
        raise _refused([str(reason), *places, *_everywhere(config, config.graph.names)]) from reason
    missing = [] if on_a_cluster(config) else _missing(config, selected, workspace.lines.places())
    if places or missing:  # which is no harm to a run that has nothing to do there
        to_do = {one.stage for one in status(workspace) if one.stage in selected and (again or one.to_do)}
        missing = _missing(config, to_do, workspace.lines.places()) if missing else []
        if problems := [*(places if to_do else []), *missing]:
            raise _refused(problems)
    return workspace


def on_a_cluster(config: RunConfig) -> bool:
    """Whether other machines do the work: their workers look at what they have as they start."""
    return config.runner.kind != "inline" and bool(config.runner.address or os.environ.get("RAY_ADDRESS"))


def _refused(problems: Iterable[str]) -> UsageError:
    found = list(dict.fromkeys(problems))
    if len(found) == 1:
        return UsageError(found[0])
    return UsageError("\n  ".join([f"the run cannot start, {len(found)} things are missing or wrong:", *found]))


def _place_problems(config: RunConfig, *, by_trying: bool) -> list[str]:
    found = []
    for name in ("work", "output"):
        files = files_at(absolute(getattr(config, name)))
        if flaw := files.flaw(by_trying=by_trying):
            found.append(f"{flaw}: choose another `{name}`")
        elif (free := files.free()) is not None and free < LEAST_ROOM:
            found.append(f"{files.address} has {free / 2**20:.0f} MiB left, no room for a run: choose another `{name}`")
    return found


def _runner_problems(config: RunConfig) -> list[str]:
    """Why the runner that the config asks for cannot be used."""
    asked = config.runner.kind == "ray" or (config.runner.kind == "auto" and on_a_cluster(config))
    return [f"the runner {needed(['ray'])}"] if asked and not installed("ray") else []


def _list_problems(config: RunConfig) -> list[str]:
    """Why the manifest cannot be used."""
    try:
        listed(config)
    except UsageError as reason:
        return [str(reason)]
    return []


def _everywhere(config: RunConfig, names: Sequence[str]) -> list[str]:
    """What stages miss whatever the manifest holds."""
    return _revision_problems(config, names) + _missing(config, names, [])


def _revision_problems(config: RunConfig, names: Sequence[str]) -> list[str]:
    """Why the revision of a stage's model or programs cannot be known."""
    found = []
    for name in names:
        try:
            stage_keys(config, _context(config), [name])
        except StageSetupError as reason:
            found.append(setup_problem(reason))
        except OSError as reason:
            found.append(f"{name}: {reason}")
    return found


def _missing(config: RunConfig, names: Collection[str], urls: Collection[str]) -> list[str]:
    """What stages miss, in their order; `urls` has one of each scheme and host of the manifest."""
    found = list[str]()
    for name, stage in config.graph.stages.items():
        if name in names:
            try:
                one = stage(config.stage(name), _context(config))
                found += one.missing(urls) + one.unreachable()
            except Exception as reason:  # somebody else's code
                raise RunFailed(f"{name}.missing() failed: {type(reason).__name__}: {reason}") from reason
    return found


def _context(config: RunConfig) -> Context:
    return Context(config.seed, Store(absolute(config.work)).media, sections=config.sections)
