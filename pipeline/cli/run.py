"""Commands that take a config: run, status, report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, ConfigPath, Overrides, terminal
from storyloom.errors import INTERRUPTED

if TYPE_CHECKING:
    from pipeline.situation import Situation


def run_command(
    config: ConfigPath,
    only: Annotated[list[str] | None, typer.Option(help="Bring only this stage up to date; repeatable.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Bring this stage and those behind it up to date.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Do again what is done.")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Do again what failed in a way that may pass, e.g. a server was silent.")
    ] = False,
    overrides: Overrides = None,
    runner: Annotated[str | None, typer.Option(help="auto, inline or ray.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster, e.g. ray://head:10001.")] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Measure where the time goes; printed at the end and by `report`.")
    ] = False,
) -> None:
    """Bring everything, or the named stages, up to date. The end says where every video went."""
    from pipeline.cli.extras import check_run_extra
    from pipeline.config import load_config
    from pipeline.run import run, select
    from pipeline.situation import survey
    from pipeline.terminal import TerminalListener

    check_run_extra()
    changes = [*(overrides or [])]
    changes += [f"runner.kind={runner}"] if runner else []
    changes += [f"runner.address={address}"] if address else []
    changes += ["runner.profile=true"] if profile else []
    loaded = load_config(config, changes)
    selection = select(only or [], start, force=force, retry=retry)
    listener = TerminalListener(terminal(), selection.stages)
    try:
        run(loaded, selection, listener)
    except KeyboardInterrupt:
        listener.stop()
        typer.echo("\nstoryloom: stopped; the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        listener.stop()
    if "write" in selection.stages:
        typer.echo(f"shards: {loaded.output}")
    if loaded.runner.profile:
        _print_profiles(survey(loaded), "nothing was measured, since all was done before; --force does it again")


def status_command(config: ConfigPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show per stage what is done, to do, stale and failed."""
    import json

    from pipeline.config import load_config
    from pipeline.situation import survey
    from pipeline.terminal import status_table

    stages = survey(load_config(config, overrides or [])).status()
    if as_json:
        typer.echo(json.dumps([one.model_dump() | {"to_do": one.to_do} for one in stages], indent=1))
    else:
        terminal().print(status_table(stages))


def report_command(config: ConfigPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show a run's lags, shifts and scores. Pairs per minute too, and where its time went."""
    import json

    from pipeline.config import load_config
    from pipeline.profile import stage_profiles
    from pipeline.report import alignment_report, print_report
    from pipeline.situation import survey

    situation = survey(load_config(config, overrides or []))
    if as_json:
        profile = {"profile": [one.model_dump() for one in stage_profiles(situation.job)]}
        typer.echo(json.dumps(alignment_report(situation).model_dump() | profile, indent=1))
        return
    try:
        print_report(alignment_report(situation), terminal())
    finally:  # a run that has no alignment to report yet may have its times
        _print_profiles(situation, "where the time goes was not measured; `storyloom run --profile` does")


def _print_profiles(situation: Situation, otherwise: str) -> None:
    from pipeline.profile import print_profiles, stage_profiles

    profiles = stage_profiles(situation.job)
    if profiles:
        print_profiles(profiles, terminal())
    else:
        typer.echo(otherwise)
