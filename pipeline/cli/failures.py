"""The command that shows the failures of a run, and the option that tries them again."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from pipeline.cli.options import AsJson, ConfigPath, Overrides, command_line, local_path, terminal
from storyloom.errors import UsageError
from storyloom.view.counts import count_of

if TYPE_CHECKING:
    from pipeline.failures import Failure

CODE = re.compile(r"(?:[a-z][a-z0-9_]*\.)?[a-z][a-z0-9_]*")
"""A code, with or without its stage."""

ANY = "retryable"
"""Value of ``--retry`` without a code."""


class RetryCommand(TyperCommand):
    """A command whose option ``--retry`` may stand without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_with_values(args)))


def failures_command(
    config: ConfigPath,
    overrides: Overrides = None,
    stage: Annotated[list[str] | None, typer.Option(help="Only of this stage; repeatable.")] = None,
    code: Annotated[list[str] | None, typer.Option(help="Only with this code; lists the videos; repeatable.")] = None,
    as_json: AsJson = False,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", parser=local_path, help="Write a line a video there.")
    ] = None,
) -> None:
    """Show which videos failed, why, and what to do. Also while a run goes on; nothing is written but --csv's file.

    A failure is a video's in a stage. `storyloom run CONFIG --retry CODE` tries those with a code again.
    """
    from pipeline.config import load_config
    from pipeline.failures import failures
    from pipeline.store import FAILURES
    from pipeline.workspace import survey

    workspace = survey(load_config(config, overrides or []))
    if unknown := [one for one in stage or [] if one not in workspace.graph.names]:
        raise UsageError(f"no stage {unknown[0]!r}; the stages are {', '.join(workspace.graph.names)}")
    found = (one for one in failures(workspace) if _is_asked(one, stage or [], code or []))
    if table is not None:
        try:
            count = _write_csv(found, table)
        except OSError as reason:
            raise UsageError(f"--csv {table} cannot be written: {reason}") from reason
        typer.echo(f"{count:,} in {table}")
    elif as_json:
        _print_json(found)
    else:
        ran = any(workspace.done(name) for name in workspace.graph.names)
        among = " with that stage and code" if stage or code else ""
        none = f"no video failed{among}" if ran else f"nothing was done yet in {workspace.job.store.address}"
        again = command_line("run", config, overrides or [])
        _print(found, f"{workspace.job.store.address}/{FAILURES}", none, again, each=bool(code))


@dataclass
class _Group:
    """The failures of a stage with one code."""

    example: Failure
    videos: int = 0
    pending: int = 0
    retryable: int = 0
    attempts: int = 0

    @property
    def retry(self) -> str:
        """Whether ``--retry`` helps."""
        if not self.retryable:
            return "--retry helps once that is mended"
        return "--retry may help" if self.retryable == self.videos else f"--retry may help {self.retryable:,} of them"

    def add(self, one: Failure) -> None:
        self.videos += 1
        self.retryable += one.retryable
        self.pending += one.pending
        self.attempts = max(self.attempts, one.attempts)


def _print(found: Iterator[Failure], ledger: str, none: str, again: str, *, each: bool) -> None:
    """Print a few lines a code, or `none`; before them a line a video where each is asked for.

    Args:
        found: The failures.
        ledger: Where the last run left them.
        none: What is told where there are none.
        again: The command that a `--retry` is added to.
        each: Whether each video has a line.
    """
    from pipeline.remedies import remedy, retry_option

    groups = dict[tuple[str, str], _Group]()
    say = partial(terminal().print, highlight=False, markup=False, soft_wrap=True)  # what is pasted has no line breaks
    for one in found:
        groups.setdefault((one.stage, one.code), _Group(one)).add(one)
        if each:
            when = f"{one.attempts}x, last {one.last:%Y-%m-%d %H:%M} UTC"
            say(f"{one.name}  {one.stage}.{one.code}  {when}  {one.message}")
    if not groups:
        typer.echo(none)
        return
    for (stage, code), group in groups.items():
        pending = f", {group.pending:,} to do again" if group.pending else ""
        tries = f"most tries {group.attempts}"
        say(f"{stage}.{code}: {count_of(group.videos, 'videos')}{pending}, {tries}; {group.retry}")
        say(f"  e.g. {group.example.name}: {group.example.message}")
        say(f"  {remedy(code, retryable=group.retryable > 0)}")
    kinds = [(code, group.retryable > 0) for (_, code), group in groups.items()]
    say(f"to try again: {again} {retry_option(kinds)}")
    if Path(ledger).is_file():
        say(f"all of them, as the last run left them: {ledger}")


def _print_json(found: Iterator[Failure]) -> None:
    """Print an array with a line a failure; they are not held in memory."""
    before = "["
    for one in found:
        typer.echo(f"{before}\n{json.dumps(_fields(one))}", nl=False)
        before = ","
    typer.echo("[]" if before == "[" else "\n]")


def _write_csv(found: Iterator[Failure], file: Path) -> int:
    from pipeline.failures import SCHEMA
    from storyloom.fs.atomic import replacing

    with replacing(file) as unfinished:
        text = io.TextIOWrapper(unfinished, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text)
        writer.writerow(SCHEMA.names)
        count = 0
        for one in found:
            writer.writerow(_fields(one).values())
            count += 1
        text.detach()
    return count


def _fields(one: Failure) -> dict[str, object]:
    return asdict(one) | {"last": f"{one.last:%Y-%m-%dT%H:%M:%SZ}"}


def _is_asked(one: Failure, stages: Sequence[str], codes: Sequence[str]) -> bool:
    of_stage = not stages or one.stage in stages
    return of_stage and (not codes or one.code in codes or f"{one.stage}.{one.code}" in codes)


def _with_values(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments with a value after each ``--retry``: what follows if it is a code, not the config's file."""
    for number, argument in enumerate(arguments):
        if argument == "--":
            yield from arguments[number:]
            return
        yield argument
        following = arguments[number + 1] if number + 1 < len(arguments) else ""
        if argument == "--retry" and not _is_code(following):
            yield ANY


def _is_code(text: str) -> bool:
    return bool(CODE.fullmatch(text)) and not text.endswith((".yaml", ".yml")) and not Path(text).exists()
