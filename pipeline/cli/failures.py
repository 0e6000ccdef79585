"""The command that shows the failures of a run, and the option that tries them again."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from pipeline.cli.options import AsJson, ConfigPath, Overrides, local_path, terminal
from storyloom.errors import UsageError

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
        none = f"no video failed{among}" if ran else f"nothing was done yet in {workspace.job.store.work}"
        _print(found, str(workspace.job.store.failures), none, each=bool(code))


@dataclass
class _Group:
    """The failures of a stage with one code."""

    example: Failure
    videos: int = 0
    pending: int = 0
    attempts: int = 0

    def add(self, one: Failure) -> None:
        self.videos += 1
        self.pending += one.pending
        self.attempts = max(self.attempts, one.attempts)


def _print(found: Iterator[Failure], ledger: str, none: str, *, each: bool) -> None:
    """Print a table with a line a code, or `none`; before it a line a video where each is asked for."""
    from rich.table import Table

    from pipeline.remedies import remedy

    console, groups = terminal(), dict[tuple[str, str], _Group]()
    for one in found:
        groups.setdefault((one.stage, one.code), _Group(one)).add(one)
        if each:
            when = f"{one.attempts}x, last {one.last:%Y-%m-%d %H:%M} UTC"
            line = f"{one.name}  {one.stage}.{one.code}  {when}  {one.message}"
            console.print(line, highlight=False, markup=False)
    if not groups:
        typer.echo(none)
        return
    table = Table("stage", "code", "videos", "most tries", "for example", "what to do")
    for (stage, code), group in groups.items():
        again = f" ({group.pending} to do again)" if group.pending else ""
        example = f"{group.example.name}: {group.example.message}"
        what = remedy(code, retryable=group.example.retryable)
        table.add_row(*map(_plain, (stage, code, f"{group.videos:,}{again}", str(group.attempts), example, what)))
    console.print(table)
    if Path(ledger).is_file():
        console.print(f"all of them, as the last run left them: {ledger}", highlight=False, markup=False)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)


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
