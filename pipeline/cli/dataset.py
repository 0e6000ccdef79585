"""Commands that take finished shards, in a folder or at a URL: show, stats, export, validate."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, Output, Overrides, local_path, place, terminal
from storyloom.errors import FAILED, INTERRUPTED, UsageError
from storyloom.export.names import FormatName
from storyloom.format.interleave import Mode
from storyloom.format.texts import Texts
from storyloom.fs.url import redacted

if TYPE_CHECKING:
    from storyloom.stats.gallery import DroppedFrames
    from storyloom.validate.spread import Spread


def show_command(
    output: Output,
    key: Annotated[str | None, typer.Argument(help="Key of a document; the first one when left out.")] = None,
) -> None:
    """Print one document in reading order. Frames and sentences have their times and scores."""
    from storyloom.view.show import find_sample, show_sample

    show_sample(find_sample(output, key), terminal())


def stats_command(
    output: Output,
    as_json: AsJson = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", parser=local_path, help="Write a page with plots and a gallery of documents."
        ),
    ] = None,
    gallery_size: Annotated[
        int, typer.Option("--gallery", min=0, metavar="N", help="Documents on the page, at most.")
    ] = 24,
    config: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="Of the run; the page then also has the dropped frames.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Count documents, frames, words and hours. Scores, shifts and shards too; --html makes a page of it."""
    from storyloom.stats.figures import dataset_stats
    from storyloom.stats.show import print_stats

    if (config or overrides) and html is None:
        raise UsageError("--config and --set give the page its dropped frames: they need --html FILE")
    if overrides and config is None:
        raise UsageError("--set overrides a key of the config: it needs --config CONFIG")
    stats = dataset_stats(output)
    if html is not None:
        from storyloom.stats.page import write_page

        dropped = _dropped_frames(output, gallery_size, config, overrides or []) if config else None
        write_page(stats, output, html, gallery_size, dropped)
    if as_json:
        typer.echo(json.dumps(stats.model_dump(mode="json"), indent=1))
    else:
        print_stats(stats, terminal())
        if html is not None:
            typer.echo(f"page: {html}")


def export_command(
    output: Output,
    dest: Annotated[
        str,
        typer.Argument(
            metavar="DEST", parser=place, help="Folder to make, or its URL in a store; an earlier export is replaced."
        ),
    ],
    to: Annotated[FormatName, typer.Option("--to", help="Form to write.")],
    file_bytes: Annotated[
        int | None,
        typer.Option(
            min=1_000_000, help="Size at which a new file begins (obelics, mmc4, mosaicml); default: the format's."
        ),
    ] = None,
    texts: Annotated[
        Texts,
        typer.Option(help="Texts beside the images: what was said, captions, or both fused into one text."),
    ] = "text",
    interleave: Annotated[
        Mode,
        typer.Option(
            help="Where the images stand: before whole sentences, at the word, or as a stream: the images of an "
            "interval, then the words that end in it. The last two need write.words: true."
        ),
    ] = "sentence",
    fps: Annotated[
        float | None, typer.Option(help="Intervals a second of --interleave stream, 1 or 2; default: 1.")
    ] = None,
    sequence_length: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Most tokens of a row (obelics): longer documents become several. Needs --for or --image-tokens.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--for", metavar="MODEL", help="Count tokens of images as this model, e.g. qwen3-vl.")
    ] = None,
    image_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of every image, instead of --for.")] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            parser=local_path,
            help="tokenizer.json that counts the tokens of texts; without one, each byte and one more a text.",
        ),
    ] = None,
) -> None:
    """Write the dataset again in another trainer's format. docs/export.md says how to load it."""
    from storyloom.export.run import export, load_hint, tracked
    from storyloom.export.sequences import sequence_rule
    from storyloom.view.counts import count_of

    sequences = sequence_rule(sequence_length, image_tokens, model, tokenizer)
    done = export(output, to, dest, file_bytes, tracked(terminal()), texts, interleave, fps, sequences)
    for warning in done.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if done.replaced:
        typer.echo(f"replaced the export that was at {redacted(dest)}")
    counts = (
        f"{split}: {count_of(n, 'documents')}, {count_of(done.images[split], 'images')}"
        for split, n in done.documents.items()
    )
    typer.echo(f"{to.value} in {redacted(dest)}  ({'; '.join(counts)})")
    typer.echo(f"{'copy it to a disk and ' if '://' in dest else ''}load it: {load_hint(to, done)}")


def validate_command(
    output: Output,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every image, too.")] = False,
    as_json: AsJson = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", parser=local_path, help="Write JUnit's XML there, too.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Shards read at a time; 1 starts no process, and left out means the number of CPUs."),
    ] = None,
    address: Annotated[
        str,
        typer.Option(help="Ray cluster, e.g. ray://head:10001; every node has to see OUT under the same path or URL."),
    ] = "",
) -> None:
    """Check every rule of the format. The exit code is 1 when one is broken; docs/validate.md lists the rules."""
    from storyloom.validate.dataset import validate_dataset
    from storyloom.validate.report import as_json as report_json
    from storyloom.validate.report import as_junit, print_report, progress

    console = terminal()
    try:
        with progress() as on_shard:
            report = validate_dataset(output, deep=deep, spread=_spread(workers, address), on_shard=on_shard)
    except KeyboardInterrupt:
        typer.echo("storyloom: stopped; nothing is known of the dataset", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if junit:
        try:
            junit.write_bytes(as_junit(report))
        except OSError as reason:
            raise UsageError(f"--junit {junit} cannot be written: {reason}") from reason
    if as_json:
        typer.echo(report_json(report))
    else:
        print_report(report, console)
    if report.violations.total:
        raise typer.Exit(FAILED)


def _dropped_frames(output: str, gallery_size: int, config: Path, overrides: list[str]) -> DroppedFrames:
    """The frames that the config's run dropped from the videos in the gallery."""
    from pipeline.config import load_config
    from pipeline.dropped_frames import of_gallery
    from pipeline.workspace import survey

    return of_gallery(survey(load_config(config, overrides)), output, gallery_size)


def _spread(workers: int | None, address: str) -> Spread:
    """The way to distribute shards: over a Ray cluster if an address is given, else over processes of this machine."""
    if address:
        from pipeline.executors.ray_validate import over_ray

        return partial(over_ray, workers=workers, address=address)
    from storyloom.validate.spread import in_this_process, over_processes

    return in_this_process if workers == 1 else partial(over_processes, workers=workers)
