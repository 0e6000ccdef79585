"""The command that compares two datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, Overrides, local_path, place, terminal
from storyloom.errors import FAILED, UsageError

if TYPE_CHECKING:
    from storyloom.diff.diff import Compared, Difference

CONFIG_ENDINGS = (".yaml", ".yml")
"""A name with one of them is a config, which stands for its output."""

Dataset = "Folder or URL of a finished dataset, or the CONFIG of the run that wrote it."


def diff_command(
    first: Annotated[str, typer.Argument(metavar="A", help=f"{Dataset}")],
    second: Annotated[str, typer.Argument(metavar="B", help=f"{Dataset} What A has and B has not is lost.")],
    as_json: AsJson = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", parser=local_path, help="Write a page with pictures of lost frames."),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures", help="Read the pictures and their codes, too, but for shards that both have."
        ),
    ] = True,
    overrides: Overrides = None,
) -> None:
    """Compare two datasets. What was lost and gained, and why; the exit code is 1 when documents differ.

    Settings that differ come first. With a CONFIG the run's own reasons are given for dropped frames.
    """
    from storyloom.diff.diff import diff
    from storyloom.diff.show import print_difference
    from storyloom.validate.report import progress

    if overrides and not any(map(_is_config, (first, second))):
        raise UsageError("--set overrides a key of a config, and neither A nor B is one")
    sides = _compared(first, overrides or []), _compared(second, overrides or [])
    with progress() as on_shard:
        found = diff(*sides, pictures=pictures, on_shard=on_shard)
    if html is not None:
        _write_page(found, sides, html)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=1))
    else:
        print_difference(found, terminal())
        if html is not None:
            typer.echo(f"page: {html}")
    if not found.equal:
        raise typer.Exit(FAILED)


def _is_config(name: str) -> bool:
    return "://" not in name and name.endswith(CONFIG_ENDINGS)


def _compared(name: str, overrides: list[str]) -> Compared:
    from storyloom.diff.diff import Compared

    if not _is_config(name):
        return Compared(place(name))
    from pipeline.config import load_config
    from pipeline.dropped_frames import check_same_run, why_dropped
    from pipeline.workspace import survey
    from storyloom.format.manifest import finished_dataset

    config = load_config(Path(name), overrides)
    workspace = survey(config)
    check_same_run(workspace, finished_dataset(config.output))
    return Compared(config.output, why_dropped(workspace))


def _write_page(found: Difference, sides: tuple[Compared, Compared], html: Path) -> None:
    from storyloom.diff.page import write_page

    write_page(found, (sides[0].place, sides[1].place), html)
