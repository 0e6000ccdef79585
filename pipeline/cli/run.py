"""Commands that take a config: run, status, report."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import AsJson, ConfigPath, Overrides, terminal
from pipeline.errors import INTERRUPTED


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
) -> None:
    """Bring everything, or the named stages, up to date, and print where every video went."""
    from pipeline.config import load_config
    from pipeline.run import run, select
    from pipeline.terminal import TerminalListener

    changes = [*(overrides or [])]
    changes += [f"runner.kind={runner}"] if runner else []
    changes += [f"runner.address={address}"] if address else []
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
    """Show a run's alignment: lags, shifts, scores against the null, pairs per minute."""
    from pipeline.config import load_config
    from pipeline.report import alignment_report, print_report
    from pipeline.situation import survey

    report = alignment_report(survey(load_config(config, overrides or [])))
    if as_json:
        typer.echo(report.model_dump_json(indent=1))
    else:
        print_report(report, terminal())
