"""The report of the speed bench: figures, machine and commands, and their tables in Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel

from benchmarks.speed.environments import PeerReport
from benchmarks.speed.memory import Peak
from benchmarks.speed.rounds import Comparison, Side
from pipeline.config import RunConfig
from stages.media import ffmpeg
from stages.sample.stage import SampleConfig
from stages.score.stage import ScoreConfig
from stages.transcribe.settings import TranscribeConfig

PACKAGES = ("storyloom", "faster-whisper", "ctranslate2", "torch", "open-clip-torch", "transformers", "numpy")

NONE = "–"

LIMITS = {
    "decoding only, on one thread as our stage does": "ffmpeg -nostdin -hide_banner -loglevel error -threads 1 -i VIDEO"
    " -map 0:V:0 -f null -",
    "speech, on decoded sound, a call per video": "faster_whisper.BatchedInferencePipeline(model).transcribe(sound,"
    " language, beam_size, batch_size, temperature=0.0, word_timestamps=True, vad_filter=True, vad_parameters,"
    " chunk_length)",
    "scores, on ready tensors": "model.encode_image(pixels); model.encode_text(tokens)",
    "shards": "shutil.copyfile(shard, copy); os.fsync(copy)",
}
"""The command or call behind each limit."""


class Machine(BaseModel):
    """The machine that the figures were measured on."""

    system: str
    cpu: str
    cores: int
    memory_gibibytes: float
    gpu: str


class SpeedReport(BaseModel):
    """All that was measured in one run.

    Attributes:
        command: The command of the run.
        machine: The machine of the run.
        versions: Of our libraries and programs.
        rounds: Least turns of each side.
        videos: Media files.
        settings: Of the models and of sampling, the same on all sides.
        limits: The command or call of each limit.
        comparisons: In the order of the pipeline, the whole at the end.
        startup: Commands with nothing to do.
        memory: Peaks on long videos; empty when they were skipped.
        peers: The report on each peer.
    """

    command: str
    machine: Machine
    versions: dict[str, str]
    rounds: int
    videos: list[str]
    settings: dict[str, str]
    limits: dict[str, str]
    comparisons: list[Comparison]
    startup: Comparison
    memory: list[Peak] = []
    peers: list[PeerReport] = []


def this_machine() -> Machine:
    """The machine that this process runs on."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cpu=models[0] if models else platform.processor() or "unknown",
        cores=os.cpu_count() or 1,
        memory_gibibytes=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        gpu=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
    )


def our_versions() -> dict[str, str]:
    """Versions of our libraries and programs."""
    return (
        {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES}
        | {"ffmpeg": ffmpeg.version()}
    )


def settings(config: RunConfig, batches: dict[str, dict[int, float]]) -> dict[str, str]:
    """Settings of the models and of sampling; `batches` has the seconds of the bare image-text model by batch size."""
    hears, scores = config.section(TranscribeConfig), config.section(ScoreConfig)
    return {
        "speech model": f"{hears.model} ({hears.compute_type}, {hears.cpu_threads} threads)",
        "beam": str(hears.beam_size),
        "batch": str(hears.batch_size),
        "score model": f"{scores.model} ({scores.precision}, {scores.threads} threads, batch {scores.batch})",
        "of the bare one by batch": "; ".join(
            f"{of} " + ", ".join(f"{batch} {seconds:.2f} s" for batch, seconds in tried.items())
            for of, tried in batches.items()
        ),
        "a frame every": f"{config.section(SampleConfig).interval:g} s",
    }


def markdown(report: SpeedReport) -> Iterator[str]:
    """The report as lines of Markdown."""
    machine = report.machine
    yield f"`{report.command}`"
    yield ""
    memory = f"{machine.memory_gibibytes:g} GiB"
    yield f"{machine.cpu}, {machine.cores} cores, {memory}, GPU: {machine.gpu}; {machine.system}."
    yield f"{', '.join(f'{name} {number}' for name, number in report.versions.items())}."
    yield f"Medians of {report.rounds} rounds or more, a table's sides in turns; no side's loading of models counts."
    yield f"Videos: {', '.join(Path(video).name for video in report.videos)}."
    yield f"Settings: {', '.join(f'{name} {value}' for name, value in report.settings.items())}."
    for comparison in report.comparisons:
        yield from _section(comparison)
    yield from _section(report.startup)
    if report.memory:
        yield from ["", "### memory", ""]
        header = ("stage", "hours of 1080p", "worker MiB", "with ffmpeg MiB", "s")
        yield from _table(header, [_peak(peak) for peak in report.memory])
    yield from ["", "### limits", ""]
    yield from (f"- {name}: `{what}`" for name, what in report.limits.items())
    if report.peers:
        yield from ["", "### peers", ""]
        yield from (f"- {_peer(peer)}" for peer in report.peers)


def _section(comparison: Comparison) -> Iterator[str]:
    yield ""
    length = f", {comparison.media_seconds:.1f} s of video" if comparison.media_seconds else ""
    yield f"### {comparison.work}{length}"
    yield ""
    ratios = ("× real time", "limit / ours", "peer / ours")
    header = ("side", "what", "median s", "from, to s", "rounds", *ratios, "set-up s")
    yield from _table(header, [_cells(side, comparison) for side in comparison.sides])
    for side in comparison.sides:
        if side.failed:
            yield ""
            yield f"{side.name} did not get to the end: {side.failed}"


def _cells(side: Side, comparison: Comparison) -> tuple[str, ...]:
    median = side.median
    media = comparison.media_seconds
    limit = ratio(comparison.limit, median) if side.kind == "ours" else None
    peer = ratio(median, comparison.ours) if side.kind == "peer" else None
    return (
        side.name,
        side.kind,
        "failed" if median is None else f"{median:.3f}",
        f"{min(side.seconds):.3f}, {max(side.seconds):.3f}" if side.seconds else NONE,
        str(len(side.seconds)),
        _number(ratio(media, median) if media else None, 1),
        _number(limit, 2),
        _number(peer, 2),
        _number(side.setup_seconds, 1),
    )


def ratio(other: float | None, one: float | None) -> float | None:
    """The time of `other` over the time of `one`; None where either is missing."""
    return other / one if other is not None and one else None


def _peak(peak: Peak) -> tuple[str, ...]:
    if peak.failed:
        return (peak.stage, f"{peak.hours:g}", "failed", peak.failed, NONE)
    figures = (peak.worker_mebibytes, peak.with_children_mebibytes, peak.seconds)
    return (peak.stage, f"{peak.hours:g}", *(f"{figure:.0f}" for figure in figures))


def _peer(peer: PeerReport) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in peer.versions.items())
    ran = f"Not run: {peer.failed}" if peer.failed else f"Compared in: {peer.work}; {versions}."
    made = f" Installed by `{peer.command}`." if peer.command else ""
    return f"**{peer.name}**: {peer.does} {peer.cannot} {ran}{made}"


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "|" + " --- |" * len(header)
    yield from (f"| {' | '.join(cells)} |" for cells in lines)
