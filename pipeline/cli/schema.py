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


def settings_command(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A section or a key, e.g. filter.threshold.")] = "",
    config: OfConfig = None,
) -> None:
    """Print the settings of a config: their values, defaults and meanings."""
    from pipeline.settings.page import lines

    for line in lines(key, _own_stages(config)):
        typer.echo(line)


def schema_settings(
    file: Annotated[Path, typer.Argument(metavar="FILE", parser=local_path, help="Markdown, e.g. docs/settings.md.")],
    config: OfConfig = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 when it is another page.")] = False,
) -> None:
    """Write the reference of every setting as a page."""
    from pipeline.settings.page import differs, write_page

    if not check:
        write_page(file, _own_stages(config))
        typer.echo(file)
    elif problem := differs(file, _own_stages(config)):
        typer.echo(f"{file}: {problem}", err=True)
        typer.echo(f"run `storyloom schema settings {file}` and commit what changed", err=True)
        raise typer.Exit(FAILED)
    else:
        typer.echo(f"{file} matches the code")
