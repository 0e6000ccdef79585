"""The command by which a person judges a dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, Output, local_path
from storyloom.errors import UsageError
from storyloom.fs.url import redacted

if TYPE_CHECKING:
    from storyloom.review.judgements import Judged

MOST_PAIRS = 5000
"""Pairs of a review (our choice): a person judges some hundreds an hour."""


def review_command(
    output: Output,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            parser=local_path,
            help="Where your answers are kept, review-NAME.jsonl by default; with --summary, those of one or several.",
        ),
    ] = None,
    summarize: Annotated[bool, typer.Option("--summary", help="Sum up files instead of judging.")] = False,
    count: Annotated[int, typer.Option(min=1, max=MOST_PAIRS, help="Pairs to judge.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    precision: Annotated[float, typer.Option(min=0.5, max=0.999, help="That a threshold is looked for.")] = 0.95,
    as_json: AsJson = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="To listen at; 0 takes any free one.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
) -> None:
    """Judge frame-sentence pairs in the browser, one key each. How precise is the dataset, and at which threshold?

    A hundred pairs are drawn over all scores; docs/review.md says how, and what the figures mean.
    """
    files = files or []
    if summarize:
        _print_summary(output, files, precision, as_json=as_json)
        return
    if as_json:
        raise UsageError("--json prints a summary: it needs --summary")
    if len(files) > 1:
        raise UsageError("answers are kept in one FILE; several are summed up with --summary")
    _judge(output, files[0] if files else None, count, seed, precision, port, browser=not no_open)


def _judge(
    output: str, file: Path | None, count: int, seed: int, precision: float, port: int, *, browser: bool
) -> None:
    from storyloom.format.manifest import finished_dataset
    from storyloom.review.design import draw
    from storyloom.review.judgements import Notebook
    from storyloom.review.room import ReviewPages
    from storyloom.view.app import create_app
    from storyloom.view.dataset import Dataset
    from storyloom.view.serve import serve

    published = finished_dataset(output)
    file = file or Path(default_name(published.name))
    if "://" not in output and file.resolve().is_relative_to(Path(output).resolve()):
        raise UsageError(f"{file} lies in the dataset, which stays as it is: name a file elsewhere")
    dataset = Dataset(output)
    design, pairs = draw(dataset.reader, published, count, seed)
    with Notebook(file, design, pairs) as notebook:
        typer.echo(f"{len(notebook.answers)} of {len(pairs)} pairs are judged; answers are kept in {file}")
        pages = ReviewPages(dataset.reader, published, notebook, precision)
        dataset.start(0.0)
        try:
            serve(create_app(dataset, [pages.room()]), port, typer.echo, browser=browser, path="/review")
        finally:
            dataset.close()
        _print_one(file, notebook.judged(), precision)


def default_name(dataset: str) -> str:
    """The file of answers where none is named."""
    return f"review-{re.sub(r'[^A-Za-z0-9._-]+', '-', dataset)[:80].strip('.-') or 'dataset'}.jsonl"


def _print_summary(output: str, files: Sequence[Path], precision: float, *, as_json: bool) -> None:
    from storyloom.format.manifest import finished_dataset
    from storyloom.review.judgements import read
    from storyloom.review.summary import agreement_of, summary
    from storyloom.view.counts import count_of

    published = finished_dataset(output)
    files = files or [Path(default_name(published.name))]
    found = [read(file) for file in files]
    for file, one in zip(files, found, strict=True):
        if one.design.sha256 != published.sha256:
            raise UsageError(f"{file} holds judgements of another dataset than {redacted(output)}")
    if any(one.design != found[0].design for one in found):
        raise UsageError("the files are of different draws: they agree in --count and --seed where people are compared")
    pairs = [(a, b, agreement_of(found[a], found[b])) for a, b in combinations(range(len(found)), 2)]
    if as_json:
        value = {
            "files": [
                {"file": str(file)} | summary(one, precision).model_dump(mode="json")
                for file, one in zip(files, found, strict=True)
            ],
            "agreement": [
                {"files": [str(files[a]), str(files[b])]} | both.model_dump(mode="json") for a, b, both in pairs
            ],
        }
        typer.echo(json.dumps(value, indent=1))
        return
    for file, one in zip(files, found, strict=True):
        _print_one(file, one, precision)
    for a, b, both in pairs:
        alike = f"{both.same} of {count_of(both.pairs, 'pairs')} alike"
        typer.echo(f"{files[a]} and {files[b]}: {alike}{_kappa(both.kappa)}")


def _kappa(kappa: float | None) -> str:
    return (
        "; Cohen's kappa is not defined, as both always gave one answer"
        if kappa is None
        else f", Cohen's kappa {kappa:.2f}"
    )


def _print_one(file: Path, judged: Judged, precision: float) -> None:
    from storyloom.review.summary import interval, percent, summary

    found = summary(judged, precision)
    typer.echo(f"{file}")
    for one in found.bands:
        typer.echo(
            f"  score {one.low:.4f} to {one.high:.4f}, {percent(one.share)} of the pairs:"
            f" {one.right} right, {one.wrong} wrong, {one.unsure} cannot say; {interval(one.precision)}"
        )
    for sentence in found.words:
        typer.echo(f"  {sentence}")
