"""Commands that take a config: run, status, report, gc."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pipeline.cli.failures import ANY
from pipeline.cli.options import AsJson, ConfigPath, Overrides, command_line, terminal
from storyloom.errors import INTERRUPTED, TERMINATED

if TYPE_CHECKING:
    from pipeline.progress.terminal import TerminalListener
    from pipeline.workspace import Workspace


class Terminated(BaseException):
    """The process received SIGTERM."""


def run_command(
    config: ConfigPath,
    only: Annotated[list[str] | None, typer.Option(help="Bring only this stage up to date; repeatable.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Bring this stage and those behind it up to date.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Do again what is done.")] = False,
    retry: Annotated[
        list[str] | None,
        typer.Option(
            "--retry",
            metavar="[CODE]",
            help="Do again what failed in a way that may pass, e.g. a server was silent; with a code that `failures`"
            " shows, what failed with it, whether it may pass or not; repeatable.",
        ),
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Read playlists and channels again, which were read by an earlier run.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only the first N videos of the plan, in whole parts: parts.limit."),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            "--sample",
            metavar="SHARE",
            help="Only a share of the videos, e.g. 0.01, measured as with --profile: parts.sample.",
        ),
    ] = None,
    overrides: Overrides = None,
    runner: Annotated[str | None, typer.Option(help="auto, inline or ray.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster, e.g. ray://head:10001.")] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Measure where the time goes; printed at the end and by `report`.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, and why, and change nothing.")
    ] = False,
    replace_output: Annotated[
        bool,
        typer.Option("--replace-output", help="Give up the dataset in `output`, though this run did not publish it."),
    ] = False,
) -> None:
    """Bring everything, or the named stages, up to date.

    A run of all stages ends with how many videos, frames and sentences were kept, and why others were left out.
    """
    from pipeline.config import load_config
    from pipeline.extras import check_run_extra
    from pipeline.preview import preview
    from pipeline.progress.terminal import Commands, TerminalListener
    from pipeline.run import Selection, run

    check_run_extra()
    changes = [*(overrides or [])]
    changes += [f"parts.limit={limit}"] if limit is not None else []
    changes += [f"parts.sample={share}"] if share is not None else []
    changes += [f"runner.kind={runner}"] if runner else []
    changes += [f"runner.address={address}"] if address else []
    commands = Commands(*(command_line(name, config, changes) for name in ("run", "failures")))
    changes += ["runner.profile=true"] if profile or share is not None else []
    loaded = load_config(config, changes)
    codes = tuple(code for code in retry or () if code != ANY)
    selection = Selection(
        tuple(only or ()),
        start or "",
        force=force,
        retry=ANY in (retry or ()),
        codes=codes,
        refresh=refresh,
        replace_output=replace_output,
    )
    listener = TerminalListener(terminal(), commands, loaded.runner.price_per_hour, loaded.with_models)
    if dry_run:
        preview(loaded, selection, listener)
        return
    run_until_stopped(lambda: run(loaded, selection, listener), listener)
    if "write" in selection.stages(loaded):
        typer.echo(f"shards: {loaded.output}")
    if loaded.runner.profile:
        from pipeline.workspace import survey

        _print_profiles(survey(loaded), "nothing was measured, since all was done before; --force does it again")
    if share is not None:
        typer.echo(f"what all videos take, by these: {command_line('plan', config, overrides or [])} --estimate")


def run_until_stopped(work: Callable[[], object], listener: TerminalListener) -> None:
    """Do the work of a command that Ctrl-C or SIGTERM ends in order, with their exit codes."""
    try:
        with _stops_heard():
            work()
    except (KeyboardInterrupt, Terminated) as stop:
        listener.stop()
        typer.echo("\nstoryloom: stopped; the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED if isinstance(stop, KeyboardInterrupt) else TERMINATED) from None
    finally:
        listener.stop()


def status_command(config: ConfigPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show per stage what is done, to do, stale and failed."""
    import json

    from pipeline.config import load_config
    from pipeline.progress.terminal import status_table
    from pipeline.publish.run import PUBLISHED, look_at_output
    from pipeline.status import status
    from pipeline.workspace import survey

    workspace = survey(load_config(config, overrides or []))
    stages = status(workspace)
    if as_json:
        typer.echo(json.dumps([one.model_dump() | {"to_do": one.to_do} for one in stages], indent=1))
        return
    store = workspace.job.store
    if not (store.files.entries() or store.files.folders()):
        typer.echo(f"nothing was done yet: there is no folder {store.address}")
    terminal().print(status_table(stages))
    if PUBLISHED in workspace.graph.names:
        found = look_at_output(workspace, stages)
        told = "nothing was published yet" if found.state == "none" else f"{found.state}; {found.said}"
        terminal().print(f"output: {told}", highlight=False, markup=False)


def report_command(config: ConfigPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show a run's lags, shifts and scores. Pairs per minute too, and where its time went."""
    import json

    from pipeline.config import load_config
    from pipeline.report import alignment_report, print_report
    from pipeline.workspace import survey

    workspace = survey(load_config(config, overrides or []))
    if as_json:
        profile = {"profile": [one.model_dump() for one in workspace.job.profiles()]}
        typer.echo(json.dumps(alignment_report(workspace).model_dump() | profile, indent=1))
        return
    try:
        print_report(alignment_report(workspace), terminal())
    finally:  # a run without an alignment yet may have a profile
        _print_profiles(workspace, "where the time goes was not measured; `storyloom run --profile` does")


def gc_command(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="Every config that uses the work folder.")],
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
) -> None:
    """Remove from a work folder what none of its configs reads: units of other settings, old plans, media."""
    from pipeline.config import load_config
    from pipeline.gc import collect, remove, unfinished
    from pipeline.store import Store
    from storyloom.fs.place import absolute

    loaded = [load_config(config, overrides or []) for config in configs]
    found = collect(loaded)
    for kind, items in found.items():
        size = sum(item.bytes for item in items)
        typer.echo(f"{kind}: {len(items)} {'would go' if dry_run else 'removed'}, {size / 2**20:.1f} MiB")
    left = unfinished(loaded)
    typer.echo(f"unfinished for over a day: {len(left)} {'would go' if dry_run else 'removed'}")
    if not dry_run:
        remove(Store(absolute(loaded[0].work)).files, found)
        for files, entry in left:
            files.abandon(entry)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise Terminated


@contextlib.contextmanager
def _stops_heard() -> Iterator[None]:
    """Raise SIGTERM as `Terminated`; a stop that Python dropped, in a finalizer or a weak reference's callback, again.

    Each import ends in such a callback, so that a stop while models are loaded may meet one.
    """
    usual, this_thread = sys.unraisablehook, threading.get_ident()

    def again(dropped: sys.UnraisableHookArgs) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt | Terminated):
            usual(dropped)
            return
        number = signal.SIGINT if issubclass(dropped.exc_type, KeyboardInterrupt) else signal.SIGTERM
        timer = threading.Timer(0.05, signal.pthread_kill, [this_thread, number])  # not within this very callback
        timer.daemon = True
        timer.start()

    before = signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = usual
        signal.signal(signal.SIGTERM, before)


def _print_profiles(workspace: Workspace, otherwise: str) -> None:
    from pipeline.profile import print_profiles

    profiles = workspace.job.profiles()
    if profiles:
        print_profiles(profiles, terminal())
    else:
        typer.echo(otherwise)
