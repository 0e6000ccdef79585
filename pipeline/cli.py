"""The command line. Exit codes: 0 done, 1 the data or the run failed a check, 2 wrong usage or config."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import FAILED, INTERRUPTED, StoryloomError

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turn a list of videos into interleaved video-text documents.",
)
schema_app = typer.Typer(no_args_is_help=True, help="JSON Schemas of every row, of the config and of a sample.")
app.add_typer(schema_app, name="schema")
bench_app = typer.Typer(no_args_is_help=True, help="Measure how well frames meet their sentences.")
app.add_typer(bench_app, name="bench")

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, e.g. configs/demo.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override a key of the config; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("run")
def run_command(
    config: ConfigPath,
    only: Annotated[list[str] | None, typer.Option(help="Bring only this stage up to date; repeatable.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Bring this stage and those behind it up to date.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Do again what is done.")] = False,
    overrides: Overrides = None,
    runner: Annotated[str | None, typer.Option(help="auto, inline or ray.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster, e.g. ray://head:10001.")] = None,
) -> None:
    """Bring everything, or the named stages, up to date, and print where every video went."""
    from pipeline.config import load_config
    from pipeline.run import run, select
    from pipeline.terminal import TerminalListener

    changes = [*(overrides or [])]
    changes += [f"runner.kind={runner}"] if runner else []
    changes += [f"runner.address={address}"] if address else []
    loaded = load_config(config, changes)
    selection = select(only or [], start, force=force)
    listener = TerminalListener(_console(), selection.stages)
    try:
        run(loaded, selection, listener)
    except KeyboardInterrupt:
        listener.stop()
        typer.echo("\nstoryloom: stopped; the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        listener.stop()
    if "write" in selection.stages:
        typer.echo(f"shards: {loaded.output}")


@app.command("status")
def status_command(config: ConfigPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show per stage what is done, to do, stale and failed."""
    import json

    from pipeline.config import load_config
    from pipeline.run import survey
    from pipeline.terminal import status_table

    stages = survey(load_config(config, overrides or [])).status()
    if as_json:
        typer.echo(json.dumps([one.model_dump() | {"to_do": one.to_do} for one in stages], indent=1))
    else:
        _console().print(status_table(stages))


@app.command("report")
def report_command(config: ConfigPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show a run's alignment: lags, shifts, scores against the null, pairs per minute."""
    from pipeline.config import load_config
    from pipeline.report import alignment_report, print_report
    from pipeline.run import survey

    report = alignment_report(survey(load_config(config, overrides or [])))
    if as_json:
        typer.echo(report.model_dump_json(indent=1))
    else:
        print_report(report, _console())


@app.command("show")
def show_command(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of finished shards.")],
    key: Annotated[str | None, typer.Argument(help="Key of a document; the first one when left out.")] = None,
) -> None:
    """Print one document: its frames and sentences in order, with times and scores."""
    from pipeline.show import find_sample, show_sample

    show_sample(find_sample(output, key), _console())


@schema_app.command("export")
def schema_export(folder: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Write one JSON Schema per row, for the config and for a sample."""
    from pipeline.schema_files import write_schemas

    for name in write_schemas(folder):
        typer.echo(folder / name)


@schema_app.command("check")
def schema_check(folder: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Exit with 1 when the schemas in a folder are not those of the code."""
    from pipeline.schema_files import differing_schemas

    differing = differing_schemas(folder)
    for name, problem in differing.items():
        typer.echo(f"{folder / name}: {problem}", err=True)
    if differing:
        typer.echo(f"run `storyloom schema export {folder}` and commit what changed", err=True)
        raise typer.Exit(FAILED)
    typer.echo(f"{folder} matches the code")


@bench_app.command("align")
def bench_align_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Whose models and settings are measured.")] = Path(
        "configs/demo.yaml"
    ),
    photos: Annotated[
        Path | None, typer.Option(help="Photos with spoken captions, laid out as Flickr8k; else the demo's video.")
    ] = None,
    only_lag: Annotated[list[str] | None, typer.Option(help="Seconds, e.g. +4, or drift; repeatable.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the report there too.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Build narrated videos whose sound is late, early or drifting, and compare what comes out with the truth."""
    import json
    from dataclasses import asdict
    from tempfile import TemporaryDirectory

    from pipeline.bench.align import bench_align, select_lags
    from pipeline.bench.material import demo_material, photo_material
    from pipeline.bench.report import markdown
    from pipeline.config import load_config

    lags = select_lags(only_lag or [])
    loaded = load_config(config, overrides or [])
    material = photo_material(photos) if photos else demo_material(Path("demo"))
    with TemporaryDirectory() as scratch:
        report = bench_align(material, loaded, lags, Path(scratch))
    typer.echo("\n".join(markdown(report)))
    if json_file:
        json_file.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


@bench_app.command("assign")
def bench_assign_command(
    sentences: Annotated[int, typer.Option(min=1, help="Sentences of the video.")] = 1000,
    frames: Annotated[int, typer.Option(min=1, help="Frames of the video, one a second.")] = 3600,
) -> None:
    """Time the assignment of frames to sentences on a video of random numbers; prints CPU seconds as JSON."""
    from pipeline.bench.assign import bench_assign

    typer.echo(bench_assign(sentences, frames).model_dump_json(indent=1))


@bench_app.command("htm-align")
def htm_align_command(
    features: Annotated[Path, typer.Argument(metavar="DIR", help="ID.npz per video, arrays `video` and `text`.")],
    annotations: Annotated[Path, typer.Argument(metavar="FILE", help="htm_align.json as published.")],
    dot: Annotated[bool, typer.Option("--dot", help="Compare by dot product instead of by cosine.")] = False,
) -> None:
    """Measure features of HTM-Align's videos by its protocol: R@1 and ROC-AUC."""
    from pipeline.bench.htm_align import htm_align, markdown

    typer.echo("\n".join(markdown(htm_align(features, annotations, dot=dot))))


def _console() -> Console:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=160, soft_wrap=True)


def main() -> None:
    """Entry point: turns what a person can mend into a message and the documented exit code."""
    try:
        app()
    except StoryloomError as problem:
        typer.echo(f"storyloom: {problem}", err=True)
        sys.exit(problem.exit_code)


if __name__ == "__main__":
    main()
