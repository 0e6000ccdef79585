"""`storyloom plan`: how a list is cut, what is to do, and what all of it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, ConfigPath, Overrides, command_line, terminal

if TYPE_CHECKING:
    from pipeline.workspace import Workspace


def plan_command(
    config: ConfigPath,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Say what the whole list takes by its finished parts: time, bytes, price."),
    ] = False,
    machines: Annotated[int, typer.Option("--machines", min=1, help="With --estimate: number of machines.")] = 1,
    cpus: Annotated[
        float | None, typer.Option("--cpus", min=0.1, help="Logical CPUs of each; those of this machine if not given.")
    ] = None,
    gpus: Annotated[
        float | None, typer.Option("--gpus", min=0.0, help="GPUs of each; those that the config asks for if not given.")
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Show how the list is cut into parts and groups, and what is to do; with --estimate what all of it takes."""
    import json

    from pipeline.config import load_config
    from pipeline.workspace import survey

    workspace = survey(load_config(config, overrides or []))
    if not estimate:
        _print_plan(workspace, as_json=as_json)
        return
    from pipeline.forecast.forecast import forecast, machines_for
    from pipeline.forecast.table import print_forecast

    found = forecast(workspace, machines_for(workspace, machines, cpus, gpus))
    if as_json:
        typer.echo(json.dumps(found.model_dump(), indent=1))
        return
    measuring = command_line("run", config, overrides or []) + " --sample 0.01"
    print_forecast(found, workspace.config, terminal(), measuring)


def _print_plan(workspace: Workspace, *, as_json: bool) -> None:
    import json

    from pipeline.progress.terminal import plan_size, status_table
    from pipeline.status import status
    from storyloom.view.counts import count_of

    plan, groups, stages = workspace.plan, workspace.job.groups, status(workspace)
    if as_json:
        size = {"videos": plan.members.count, "parts": len(plan.parts), "groups": len(groups)}
        told = [{"stage": one.stage, "unit": one.unit, "units": one.units, "to_do": one.to_do} for one in stages]
        typer.echo(json.dumps({**size, "new_parts": plan.new_parts, "stages": told}, indent=1))
        return
    typer.echo(f"{plan_size(plan)}; {count_of(len(groups), 'groups')}")
    for sentence in workspace.told:
        typer.echo(f"  {sentence}")
    terminal().print(status_table(stages))
