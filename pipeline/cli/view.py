"""The command that shows a dataset, or a run, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Overrides, command_line
from pipeline.cli.options import place as dataset_place
from storyloom.errors import UsageError

if TYPE_CHECKING:
    from storyloom.view.app import Room
    from storyloom.view.dataset import Dataset

CONFIGS = (".yaml", ".yml")


def view_command(
    place: Annotated[
        str, typer.Argument(metavar="OUT|CONFIG", help="Folder or URL of finished shards, or the config of a run.")
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="To listen at; 0 takes any free one.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
    overrides: Overrides = None,
) -> None:
    """Look at a dataset in the browser: its verdict, documents, pictures. Only this machine can; Ctrl-C ends it."""
    from storyloom.view.app import create_app
    from storyloom.view.serve import serve

    dataset, rooms = _shown(place, overrides or [])
    if dataset:
        dataset.start()
    try:
        serve(create_app(dataset, rooms), port, typer.echo, browser=not no_open)
    finally:
        if dataset:
            dataset.close()


def _shown(place: str, overrides: list[str]) -> tuple[Dataset | None, list[Room]]:
    from storyloom.view.dataset import Dataset

    if not place.lower().endswith(CONFIGS):
        if overrides:
            raise UsageError("--set overrides a key of a config, and this is none")
        return Dataset(dataset_place(place)), []
    from pipeline.config import load_config
    from pipeline.view import rooms
    from storyloom.format.manifest import MANIFEST
    from storyloom.fs.files import files_at
    from storyloom.fs.place import absolute

    config = load_config(Path(place), overrides)
    output = absolute(config.output)
    published = files_at(output).entry(MANIFEST) is not None
    return (Dataset(output) if published else None), rooms(config, command_line("run", Path(place), overrides))
