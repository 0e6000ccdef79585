"""Commands for JSON Schemas: schema export, schema check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import local_path
from storyloom.errors import FAILED

Folder = Annotated[Path, typer.Argument(metavar="DIR", parser=local_path)]
OfConfig = Annotated[Path | None, typer.Option("--config", metavar="CONFIG", help="Whose own stages have schemas too.")]


def schema_export(folder: Folder, config: OfConfig = None) -> None:
    """Write one JSON Schema per row, for the config and for a sample."""
    from pipeline.schema_files import write_schemas

    for name in write_schemas(folder, _own_stages(config)):
        typer.echo(folder / name)


def schema_check(folder: Folder, config: OfConfig = None) -> None:
    """Exit with 1 when the schemas in a folder are not those of the code."""
    from pipeline.schema_files import differing_schemas

    differing = differing_schemas(folder, _own_stages(config))
    for name, problem in differing.items():
        typer.echo(f"{folder / name}: {problem}", err=True)
    if differing:
        typer.echo(f"run `storyloom schema export {folder}` and commit what changed", err=True)
        raise typer.Exit(FAILED)
    typer.echo(f"{folder} matches the code")


def _own_stages(config: Path | None) -> tuple[str, ...]:
    if config is None:
        return ()
    from pipeline.config import load_config

    return load_config(config).stages
