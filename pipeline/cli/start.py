"""Commands of the first hour: init, try."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import command_line, local_path, program, say_problem, terminal
from pipeline.cli.run import run_until_stopped
from pipeline.settings.recipes import Recipe

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.trial import Trial

FOR_TRYING = (
    "TRYING ONLY: these are the small demo models, one of them for English alone. Make no data set with them:"
    " `storyloom init` writes a config with real ones."
)
"""The first and the last line of a try."""

GALLERY = 24
"""Documents on the page, at most, as `stats --html` has them."""


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
    from pipeline.config import load_config
    from pipeline.settings.starter import config_place, write_starter

    file = config_place(place or Path())
    write_starter(file, recipe)
    typer.echo(f"config: {file}")
    inside = f"cd {shlex.quote(str(file.parent))}" if file.parent != Path() else ""
    videos = f"list your videos in {load_config(file).manifest}, or set `manifest`"
    from_there = str(Path(program()).absolute()) if inside and "/" in program() else program()
    run = shlex.join([from_there, "run", file.name])
    steps = [inside, videos, f"{run} --dry-run", run]
    typer.echo("next:")
    for step in filter(None, steps):
        typer.echo(f"  {step}")


def try_command(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Files, folders, lists of videos, or URLs.")],
) -> None:
    """See what comes out of a few videos: no config, small models, a page to look at.

    Everything lies in ./storyloom-try; the same videos again take up where they were.
    """
    from pipeline.extras import check_run_extra
    from pipeline.notes import NO_BASE
    from pipeline.progress.terminal import Commands, TerminalListener
    from pipeline.run import Selection, run
    from pipeline.trial import FOLDER, trial
    from storyloom.errors import RunFailed, StoryloomError

    check_run_extra("demo")
    what = trial(videos, Path(FOLDER).absolute())
    typer.secho(FOR_TRYING, bold=True)
    commands = Commands(*(command_line(name, what.file, ()) for name in ("run", "failures")))

    class ToldAlready(TerminalListener):
        """Leaves out what the first and the last line say of the models."""

        def noted(self, sentence: str) -> None:
            if not sentence.endswith(NO_BASE):
                super().noted(sentence)

    listener = ToldAlready(terminal(), commands, models=what.config.with_models)
    for sentence in what.told:
        listener.noted(f"  {sentence}")
    selection = Selection(retry=True, replace_output=True)
    try:
        run_until_stopped(lambda: run(what.config, selection, listener), listener)
        _show(what)
    except StoryloomError as reason:
        if isinstance(reason, RunFailed):
            _say_why(what.config)
            typer.echo(f"config: {what.file}")
        say_problem(reason)
        raise typer.Exit(reason.exit_code) from None
    finally:
        typer.secho(FOR_TRYING, bold=True)


def _say_why(config: RunConfig) -> None:
    """Say why videos gave no document, where a reason is known."""
    from pipeline.remedies import LEFT_OUT
    from pipeline.status import status
    from pipeline.workspace import survey
    from storyloom.view.counts import count_of

    by_rows = [one for one in status(survey(config)) if one.videos]
    for reason, count in (by_rows[-1].dropped if by_rows else {}).items():
        if (why := LEFT_OUT.get(reason.rpartition(".")[2])) is not None:
            typer.echo(f"{count_of(count, 'videos')} left out ({reason}): {why}")


def _show(what: Trial) -> None:
    """Show the first document and the page."""
    from pipeline.dropped_frames import of_gallery
    from pipeline.workspace import survey
    from storyloom.stats.figures import dataset_stats
    from storyloom.stats.page import write_page
    from storyloom.view.counts import count_of
    from storyloom.view.show import find_sample, show_sample

    stats = dataset_stats(what.output)
    write_page(stats, what.output, what.page, GALLERY, of_gallery(survey(what.config), what.output, GALLERY))
    total = stats.total
    typer.echo(f"{count_of(total.documents, 'documents')}, {count_of(total.images, 'frames')}; the first one:")
    show_sample(find_sample(what.output, None), terminal())
    typer.echo(f"config: {what.file}")
    typer.echo(f"shards: {what.output}")
    typer.echo(f"page: {what.page}")
    if _has_browser():
        import webbrowser

        webbrowser.open(what.page.as_uri())


def _has_browser() -> bool:
    """Whether somebody sits before this: a terminal, and a display on which a browser can open."""
    return sys.stdout.isatty() and bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
