"""Commands that measure: bench align, narration, hearing, fuse, tokenizers, speed and the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.options import AsJson, Output, Overrides, local_path, new_file
from storyloom.errors import UsageError

DEMO_CONFIG = Path("configs/demo.yaml")
"""Of a checkout; the installed package has no config."""


def bench_align_command(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="Whose models and settings are measured.")
    ] = DEMO_CONFIG,
    photos: Annotated[
        Path | None, typer.Option(help="Photos with spoken captions, laid out as Flickr8k; else the demo's video.")
    ] = None,
    kind: Annotated[
        str, typer.Option(help="plain; similar: photos of one kind a video; sections: with lags of their own.")
    ] = "plain",
    only_lag: Annotated[list[str] | None, typer.Option(help="Seconds, e.g. +4, or drift; repeatable.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", parser=new_file, help="Write the report there too.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Build narrated videos whose sound is late, early or drifting, and compare what comes out with the truth."""
    import json
    from dataclasses import asdict
    from tempfile import TemporaryDirectory

    from pipeline.bench.align import bench_align, select_lags
    from pipeline.bench.material import bench_kind, demo_material, photo_material
    from pipeline.bench.report import markdown
    from pipeline.config import load_config

    of_kind = bench_kind(kind)
    lags = select_lags(only_lag or [], of_kind)
    if config == DEMO_CONFIG and not config.is_file():
        raise UsageError(
            f"no config at {config.absolute()}: name a config of yours, or run it in a checkout of the repository,"
            " which has that one"
        )
    material = photo_material(photos, of_kind) if photos else demo_material(Path("demo"), of_kind)
    loaded = load_config(config, overrides or [])
    with TemporaryDirectory() as scratch:
        report = bench_align(material, loaded, lags, Path(scratch))
    typer.echo("\n".join(markdown(report)))
    if json_file:
        json_file.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


def bench_assign_command(
    sentences: Annotated[int, typer.Option(min=1, help="Sentences of the video.")] = 1000,
    frames: Annotated[int, typer.Option(min=1, help="Frames of the video, one a second.")] = 3600,
) -> None:
    """Time the assignment of frames to sentences on a video of random numbers; prints CPU seconds as JSON."""
    from pipeline.bench.assign import bench_assign

    typer.echo(bench_assign(sentences, frames).model_dump_json(indent=1))


def bench_narration_command(
    videos: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Two or more narrated videos.")],
    config: Annotated[Path, typer.Option(metavar="CONFIG", help="Whose models and settings are used.")] = DEMO_CONFIG,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", parser=new_file, help="Write the results there too.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Give videos their own narration and each other's, and show whether the scores tell them apart."""
    import json
    from dataclasses import asdict
    from tempfile import TemporaryDirectory

    from pipeline.bench.narration import bench_narration, markdown
    from pipeline.config import load_config

    loaded = load_config(config, overrides or [])
    with TemporaryDirectory() as scratch:
        results = bench_narration(videos, loaded, Path(scratch))
    typer.echo("\n".join(markdown(results)))
    if json_file:
        json_file.write_text(json.dumps([asdict(one) for one in results], indent=1) + "\n", encoding="utf-8")


def bench_hearing_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Whose recognizer is measured.")] = DEMO_CONFIG,
    photos: Annotated[
        Path | None, typer.Option(help="Photos with spoken captions, laid out as Flickr8k; else the demo's video.")
    ] = None,
    sentences: Annotated[int, typer.Option(min=12, help="How many of the captions are used, at most.")] = 24,
    overrides: Overrides = None,
) -> None:
    """Mix speech with music, babble, applause and noise; count words that are invented and words that are missed."""
    from tempfile import TemporaryDirectory

    from pipeline.bench.hearing import bench_hearing, markdown
    from pipeline.bench.material import demo_material, photo_material
    from pipeline.config import load_config

    material = photo_material(photos) if photos else demo_material(Path("demo"))
    with TemporaryDirectory() as scratch:
        report = bench_hearing(material, load_config(config, overrides or []), sentences, Path(scratch))
    typer.echo("\n".join(markdown(report)))


def htm_align_command(
    features: Annotated[Path, typer.Argument(metavar="DIR", help="ID.npz per video, arrays `video` and `text`.")],
    annotations: Annotated[Path, typer.Argument(metavar="FILE", help="htm_align.json as published.")],
    dot: Annotated[bool, typer.Option("--dot", help="Compare by dot product instead of by cosine.")] = False,
) -> None:
    """Measure features of HTM-Align's videos by its protocol: R@1 and ROC-AUC."""
    from pipeline.bench.htm_align import htm_align, markdown

    typer.echo("\n".join(markdown(htm_align(features, annotations, dot=dot))))


def bench_fuse_command(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", parser=local_path, help="Fused texts: .jsonl or .parquet.")
    ] = None,
    raw: Annotated[str, typer.Option(metavar="COLUMN", help="What was said, e.g. laion_2b.")] = "raw",
    synthetic: Annotated[str, typer.Option(metavar="COLUMN", help="The caption, e.g. laion_coco.")] = "synthetic",
    fused: Annotated[str, typer.Option(metavar="COLUMN", help="The answer, e.g. capsfusion.")] = "fused",
    language: Annotated[
        str, typer.Option(metavar="COLUMN", help="BCP 47 tags of what was said; else told by the words.")
    ] = "",
    prompt: Annotated[
        Path | None, typer.Option(metavar="FILE", parser=local_path, help="The instruction, whose words may leak.")
    ] = None,
    labelled: Annotated[
        bool, typer.Option("--labelled", help="Measure the checks on answers of known faults.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which share of a set of fused texts each check refuses; or how well the checks find known faults."""
    from pipeline.bench.fuse import labelled as known
    from pipeline.bench.fuse.refusals import Columns, markdown, read_prompt, refusals

    if labelled == (file is not None):
        raise UsageError("bench fuse takes a file or --labelled, one of the two")
    if file is None:
        halves = known.halves()
        typer.echo(known.as_json(halves) if as_json else "\n".join(known.markdown(halves)))
        return
    found = refusals(file, Columns(raw, synthetic, fused, language), read_prompt(prompt) if prompt else "")
    typer.echo(found.as_json() if as_json else "\n".join(markdown(found)))


def bench_tokenizers_command(
    output: Output,
    further: Annotated[
        str, typer.Option("--with", metavar="NAME,…", help="Further tokenizers, as tokenize.model takes them.")
    ] = "",
    frames: Annotated[int, typer.Option(min=1, max=4096, help="Most frames that are measured on.")] = 64,
    side: Annotated[int, typer.Option(min=16, max=4096, help="Pixels of a picture's longer side, for all.")] = 256,
    model: Annotated[
        str, typer.Option(metavar="NAME[/TAG]", help="Image-text model, as score.model. [the dataset's]")
    ] = "",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where models run.")] = "auto",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", parser=new_file, help="Write the report there too.")
    ] = None,
    svg_file: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", parser=new_file, help="Draw it there.")
    ] = None,
) -> None:
    """Measure what tokenizers of pictures cost and keep on the frames of a dataset: compact, lossless, discrete."""
    import json
    from dataclasses import asdict

    from pipeline.bench.tokenizers.bench import Options, bench_tokenizers
    from pipeline.bench.tokenizers.plot import drawn
    from pipeline.bench.tokenizers.report import markdown

    names = [name.strip() for name in further.split(",") if name.strip()]
    options = Options(names, frames, side, model, device)
    report = bench_tokenizers(output, options, lambda line: typer.echo(line, err=True))
    typer.echo("\n".join(markdown(report)))
    if json_file:
        json_file.write_text(json.dumps(asdict(report), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if svg_file:
        svg_file.write_text(drawn(report), encoding="utf-8")


@contextmanager
def _checkout_needed(bench: str) -> Iterator[None]:
    """Turn a failed import of the folder `benchmarks`, which is not in the wheel, into a message.

    Raises:
        UsageError: The folder is not there.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "benchmarks":
            raise
        raise UsageError(
            f"bench {bench} is not in the installed package; run it from a checkout of the repository"
        ) from None


def bench_orchestration_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Whose models and settings are used.")] = Path(
        "configs/demo.yaml"
    ),
    clips: Annotated[int, typer.Option(min=0, help="Pieces of the demo's video; 0 leaves them out.")] = 12,
    parts: Annotated[list[int] | None, typer.Option(help="Parts of empty work; repeatable. [200, 20000]")] = None,
    planned: Annotated[int, typer.Option(min=0, help="Videos of the plan; 0 leaves it out.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often the clips are worked on; the fastest counts.")] = 3,
    by: Annotated[list[str] | None, typer.Option(help="loop, inline or ray; repeatable. [all]")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", parser=new_file, help="Write the report there too.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Measure what runs, a large plan and the status of many parts cost; needs a checkout of the repository."""
    import json
    from dataclasses import asdict
    from tempfile import TemporaryDirectory

    with _checkout_needed("orchestration"):
        from benchmarks.orchestration import Size, bench_orchestration, markdown
        from benchmarks.overhead import MODES

    numbers = [200, 20_000] if parts is None else [number for number in parts if number]
    size = Size(clips, numbers, planned, rounds, by or MODES)
    with TemporaryDirectory() as scratch:
        report = bench_orchestration(config, overrides or [], size, Path(scratch))
    typer.echo("\n".join(markdown(report)))
    if json_file:
        json_file.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


def bench_speed_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Whose models and settings are used.")] = Path(
        "configs/demo.yaml"
    ),
    video: Annotated[list[Path] | None, typer.Option(help="A file to work on; repeatable. [the demo's video]")] = None,
    clips: Annotated[int, typer.Option(min=0, help="Short clips, pieces of the demo's video; 0: none.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="How often each side takes its turn at least; medians count.")] = 3,
    peer: Annotated[list[str] | None, typer.Option(help="A tool to compare with, or none; repeatable. [all]")] = None,
    peers_dir: Annotated[Path, typer.Option(help="Where their environments and weights are kept.")] = Path(".bench"),
    install_seconds: Annotated[float, typer.Option(min=1, help="Limit of installing a peer.")] = 900.0,
    run_seconds: Annotated[float, typer.Option(min=1, help="Limit of a peer's turn.")] = 3600.0,
    memory_hours: Annotated[float, typer.Option(min=0, help="Length of a generated 1080p video; 0: none.")] = 0.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", parser=new_file, help="Write the report there too.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Measure the stages beside what bounds them and beside other tools; needs a checkout of the repository."""
    from tempfile import TemporaryDirectory

    with _checkout_needed("speed"):
        from benchmarks.speed.bench import DEMO_VIDEO, Options, bench_speed
        from benchmarks.speed.report import markdown

    with TemporaryDirectory() as scratch:
        videos = video or [DEMO_VIDEO]
        options = Options(videos, clips, rounds, peer or [], peers_dir, install_seconds, run_seconds, memory_hours)
        report = bench_speed(config, overrides or [], options, Path(scratch), lambda line: typer.echo(line, err=True))
    typer.echo("\n".join(markdown(report)))
    if json_file:
        json_file.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
