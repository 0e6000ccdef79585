"""The command that sends a dataset to a place where others read it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from pipeline.cli.options import Output


def push_command(
    output: Output,
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="hf://datasets/ORG/NAME or ORG/NAME, another URL, or a folder."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and list the files; send nothing.")
    ] = False,
    any_licence: Annotated[
        bool, typer.Option("--any-licence", help="Send documents of unknown and forbidding licences, too.")
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="A repository that is made anew is for everybody to see.")
    ] = False,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Put pictures of a few documents into the card.")
    ] = True,
) -> None:
    """Send a dataset to a repository, an object store or a folder. The same command goes on where it was interrupted.

    Licences and every rule of the format are checked first. What is there with the same content is not sent again, and
    the manifest comes last, so that nobody reads half a dataset.
    """
    from storyloom.push.push import lines, plan_push, push, target_of
    from storyloom.stats.show import byte_size
    from storyloom.validate.report import progress
    from storyloom.view.counts import count_of
    from storyloom.view.text import shown

    place = target_of(target, public=public)
    with progress() as on_shard:
        plan = plan_push(output, place, any_licence=any_licence, pictures=pictures, on_shard=on_shard)
    if dry_run:
        for line in lines(plan):
            typer.echo(shown(line))
    amount = f"{count_of(len(plan.send), 'files')}, {byte_size(plan.size)}"
    there = f"; {count_of(len(plan.there), 'files')} there already" if plan.there else ""
    stale = f"; {count_of(len(plan.stale), 'files')} of an older dataset to remove" if plan.stale else ""
    typer.echo(f"{'would send' if dry_run else 'sending'} {amount} to {shown(place.address)}{there}{stale}")
    if dry_run:
        return
    for path in plan.replaced:
        typer.echo(f"replacing {shown(path)}, which is another one there")
    with _bytes(plan.size) as on_bytes:
        push(plan, on_bytes)
    typer.echo(f"done: {shown(place.address)} holds the whole dataset")


@contextlib.contextmanager
def _bytes(total: int) -> Iterator[Callable[[int], None]]:
    """A transient bar of bytes on a terminal's standard error; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("sent"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("sent", total=total)
        yield lambda sent: bar.advance(task, sent)
