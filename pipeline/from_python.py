"""`storyloom.run`: a run from Python, e.g. from a notebook."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig, checked_config, put, read_config
from pipeline.extras import check_run_extra
from pipeline.failures import Failure, failures
from pipeline.funnel import funnel
from pipeline.progress.terminal import Commands, TerminalListener, funnel_table
from pipeline.run import Selection, run
from pipeline.status import StageStatus, status
from pipeline.workspace import survey
from storyloom.errors import RunFailed, StoryloomError, UsageError
from storyloom.format.manifest import FunnelRow
from storyloom.fs.place import absolute
from storyloom.reader.documents import Documents

WIDTH = 120
"""Characters of a line in a notebook (our choice)."""


@dataclass(frozen=True)
class _Calls(Commands):
    """What is named where the command line names its commands."""

    run: str = "storyloom.run(…)"
    failures: str = "the `failures` of what storyloom.run returns, or of the `run` of its error"

    def option(self, code: str) -> str:
        return f"retry={[code] if code else True}"

    def with_option(self, option: str) -> str:
        return f"storyloom.run(…, {option})"


@dataclass(frozen=True, repr=False)
class Finished:
    """What a run left behind.

    Attributes:
        config: As it was checked, with all defaults.
        stages: The status of every stage.
    """

    config: RunConfig
    stages: list[StageStatus]

    @property
    def documents(self) -> Documents:
        """The documents.

        Raises:
            UsageError: None were published yet, e.g. since only some stages ran.
        """
        return Documents(absolute(self.config.output))

    @property
    def funnel(self) -> list[FunnelRow]:
        """Videos, frames, sentences and documents: found, kept, left out by reason, failed by code."""
        return funnel(self.stages)

    @property
    def failures(self) -> Iterator[Failure]:
        """The failures, as `storyloom failures` lists them."""
        return failures(survey(self.config))

    def __repr__(self) -> str:
        kept = ", ".join(f"{row.kept:,} of {row.found:,} {row.what}" for row in self.funnel)
        return f"<run into {self.config.output}: kept {kept or 'nothing yet'}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the funnel."""
        from rich.console import Console

        console = Console(record=True, file=io.StringIO(), width=WIDTH, force_jupyter=False)
        console.print(funnel_table(self.stages))
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


def run_from_python(
    config: str | os.PathLike[str] | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    only: Sequence[str] = (),
    start: str = "",
    force: bool = False,
    retry: bool | Sequence[str] = False,
    replace_output: bool = False,
) -> Finished:
    """Bring a config up to date, as `storyloom run` does; progress is printed.

    Args:
        config: Path of a YAML file, or its content as dictionaries; paths may be `Path`s.
        overrides: Values by key, e.g. ``{"filter.false_accept_rate": 0.1}``.
        only: Names of the stages to bring up to date; none for all.
        start: The first stage to bring up to date, as ``--from``.
        force: Whether to do again what is done.
        retry: Whether to do again what failed in a way that may pass; or the codes of failures to try again.
        replace_output: Whether to give up the dataset in `output`, though this run did not publish it.

    Raises:
        UsageError: Config, manifest or a folder cannot be used.
        RunFailed: The data failed a check, or there is no document; its attribute `run` is what was left behind, with
            the failures.
    """
    from rich.console import Console

    check_run_extra()
    loaded = _loaded(config, overrides or {})
    codes = () if isinstance(retry, bool) else _names(retry)
    selection = Selection(
        _names(only), start, force=force, retry=retry is True, codes=codes, replace_output=replace_output
    )
    console = Console(width=WIDTH, soft_wrap=True, force_jupyter=False)
    listener = TerminalListener(console, _Calls(), models=loaded.with_models)
    try:
        return Finished(loaded, run(loaded, selection, listener))
    except RunFailed as failed:
        with contextlib.suppress(StoryloomError):  # else this one is told
            failed.run = Finished(loaded, status(survey(loaded)))
        raise
    finally:
        listener.stop()


def _names(given: Sequence[str]) -> tuple[str, ...]:
    """A name alone is one name, not its letters."""
    return (given,) if isinstance(given, str) else tuple(given)


def _loaded(config: str | os.PathLike[str] | Mapping[str, Any], overrides: Mapping[str, Any]) -> RunConfig:
    name, content = ("the config", _plain(config)) if isinstance(config, Mapping) else _read(Path(config))
    for key, value in overrides.items():
        try:
            put(content, key, _plain(value))
        except ValueError as reason:
            raise UsageError(f"overrides {key!r}: {reason}") from reason
    return checked_config(content, name)


def _plain(value: Any) -> Any:
    """A value as a config file may have it: paths as texts, of other mappings dictionaries."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    return str(path), read_config(path)
