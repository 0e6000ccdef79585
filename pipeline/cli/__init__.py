"""The command line. Exit codes: 0 done, 1 the data or the run failed a check, 2 wrong usage or config."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from pipeline.cli.bench import (
    bench_align_command,
    bench_assign_command,
    bench_fuse_command,
    bench_hearing_command,
    bench_narration_command,
    bench_orchestration_command,
    bench_speed_command,
    bench_tokenizers_command,
    htm_align_command,
)
from pipeline.cli.dataset import export_command, show_command, stats_command, validate_command
from pipeline.cli.diff import diff_command
from pipeline.cli.failures import RetryCommand, failures_command
from pipeline.cli.options import say_problem
from pipeline.cli.plan import plan_command
from pipeline.cli.push import push_command
from pipeline.cli.review import review_command
from pipeline.cli.run import gc_command, report_command, run_command, status_command
from pipeline.cli.schema import schema_check, schema_export, schema_settings, settings_command
from pipeline.cli.start import init_command, try_command
from pipeline.cli.tokens import tokens_command
from pipeline.cli.view import view_command
from pipeline.extras import how_to_install
from storyloom.errors import FAILED, USAGE, StoryloomError

OUT_OF_PLACE = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG})
"""Errors of files where folders belong, and the reverse: somebody put something into the work folder or the output."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # else every start imports rich and a Markdown parser, a third of its time
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        from storyloom import __version__

        typer.echo(f"storyloom {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn a list of videos into interleaved video-text documents."""


app.command("init")(init_command)
app.command("try")(try_command)
app.command("run", cls=RetryCommand)(run_command)
app.command("plan")(plan_command)
app.command("status")(status_command)
app.command("failures")(failures_command)
app.command("report")(report_command)
app.command("gc")(gc_command)
app.command("show")(show_command)
app.command("export")(export_command)
app.command("stats")(stats_command)
app.command("tokens")(tokens_command)
app.command("validate")(validate_command)
app.command("view")(view_command)
app.command("diff")(diff_command)
app.command("review")(review_command)
app.command("push")(push_command)
app.command("settings")(settings_command)

schema_app = typer.Typer(no_args_is_help=True, help="JSON Schemas of every row, of the config and of a sample.")
schema_app.command("export")(schema_export)
schema_app.command("check")(schema_check)
schema_app.command("settings")(schema_settings)
app.add_typer(schema_app, name="schema")

bench_app = typer.Typer(no_args_is_help=True, help="Measure alignment, fused texts, tokenizers, speed and overhead.")
bench_app.command("align")(bench_align_command)
bench_app.command("assign")(bench_assign_command)
bench_app.command("narration")(bench_narration_command)
bench_app.command("hearing")(bench_hearing_command)
bench_app.command("htm-align")(htm_align_command)
bench_app.command("fuse")(bench_fuse_command)
bench_app.command("tokenizers")(bench_tokenizers_command)
bench_app.command("orchestration")(bench_orchestration_command)
bench_app.command("speed")(bench_speed_command)
app.add_typer(bench_app, name="bench")


def _answer_nothing() -> None:
    """Have every question that a library asks on the terminal end without an answer; no command reads its input."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def main() -> None:
    """Entry point: turns errors that the user can fix into a message and the documented exit code."""
    _answer_nothing()
    try:
        app()
    except StoryloomError as problem:
        say_problem(problem)
        sys.exit(problem.exit_code)
    except OSError as problem:
        from pipeline.attempts import of_the_machine
        from storyloom.fs.store import StoreFailed

        told = isinstance(problem, PermissionError | StoreFailed) or problem.errno in OUT_OF_PLACE
        if not (told or of_the_machine(problem)):
            raise
        say_problem(f"{problem}. Nothing is lost: mend that and run again")
        sys.exit(FAILED)
    except ModuleNotFoundError as missing:
        message = how_to_install(missing)
        if message is None:
            raise
        say_problem(message)
        sys.exit(USAGE)
