"""Arguments and console that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, e.g. configs/demo.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override a key of the config; repeatable.")
]
Output = Annotated[Path, typer.Argument(metavar="OUT", help="Folder of finished shards.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def terminal() -> Console:
    """The console of a command: wide and without wrapping off a terminal."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=160, soft_wrap=True)
