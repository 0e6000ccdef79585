"""Arguments and console that several commands share."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storyloom.fs.place import local_place
from storyloom.fs.url import without_secrets

if TYPE_CHECKING:
    from rich.console import Console


def local_path(place: str) -> Path:
    """The path of an argument or option; ``Path`` itself would turn a URL into a folder of this machine.

    Raises:
        typer.BadParameter: It is a URL.
    """
    try:
        return Path(local_place(place))
    except ValueError as reason:
        raise typer.BadParameter(str(reason)) from reason


def new_file(place: str) -> Path:
    """The path of a file that is written at the end: what is in its way is said at the start, not after all the work.

    Raises:
        typer.BadParameter: It is a URL or a folder, or its folder is not there.
    """
    path = local_path(place)
    if path.is_dir():
        raise typer.BadParameter(f"{place} is a folder, name a file")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path


def place(name: str) -> str:
    """A folder of this machine, or a URL: whether it can be opened is said where it is.

    Raises:
        typer.BadParameter: No path can be so.
    """
    return name if "://" in name else str(local_path(name))


ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, e.g. configs/demo.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override a key of the config; repeatable.")
]
Output = Annotated[str, typer.Argument(metavar="OUT", parser=place, help="Folder or URL of finished shards.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def program() -> str:
    """How this program is called: by its name where the PATH has it, otherwise as the user did."""
    called, known = Path(sys.argv[0]), shutil.which("storyloom")
    by_name = called.name != "storyloom" or (known is not None and called.exists() and Path(known).samefile(called))
    return "storyloom" if by_name else str(called)


def command_line(name: str, config: Path, changes: Sequence[str]) -> str:
    """A command over a config as it can be pasted; what may be secret in a URL is left out."""
    settings = [part for change in changes for part in ("--set", change)]
    return without_secrets(shlex.join([program(), name, str(config), *settings]))


def terminal() -> Console:
    """The console of a command: wide and without wrapping off a terminal."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=160, soft_wrap=True)


def say_problem(problem: object) -> None:
    """Print a problem; it may quote a URL, a file's name or a stranger's text."""
    from storyloom.fs.url import without_secrets
    from storyloom.view.text import shown

    lines = without_secrets(f"storyloom: {problem}").split("\n")
    typer.echo("\n".join(map(shown, lines)), err=True)
