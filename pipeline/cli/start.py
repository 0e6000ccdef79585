"""Commands of the first hour: init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import local_path
from pipeline.recipes import Recipe


def init_command(
    place: Annotated[
        Path | None,
        typer.Argument(
            metavar="PLACE", parser=local_path, help="A folder, or a file that ends in .yaml; else this folder."
        ),
    ] = None,
    recipe: Annotated[Recipe, typer.Option(help="Whose models and resources it has.")] = Recipe.LOCAL,
) -> None:
    """Write a config with comments, and ask nothing. What is there already stays as it is."""
    from pipeline.starter import PLACES, config_place, write_starter

    file = config_place(place or Path())
    write_starter(file, recipe)
    typer.echo(f"config: {file}")
    inside = f"cd {file.parent}" if file.parent != Path() else ""
    videos = f"put a path or URL a line into {PLACES['manifest']}, or set `manifest`"
    steps = [inside, videos, f"storyloom run {file.name} --dry-run", f"storyloom run {file.name}"]
    typer.echo("next:")
    for step in filter(None, steps):
        typer.echo(f"  {step}")
