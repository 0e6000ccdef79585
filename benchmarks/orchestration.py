"""The orchestration bench: measures runs and commands one after the other, and prints their tables."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.large import Command, plan, status
from benchmarks.overhead import CLIP_SECONDS, EMPTY_STAGES, MODES, Fresh, PartsTiming, cut_clips, on_clips, on_nothing
from storyloom.errors import UsageError

WIDE = 4
"""Videos per part of the wider of two kinds of parts, whose difference gives the cost per video."""

PACKAGES = ("storyloom", "numpy", "pyarrow", "pydantic", "ray", "torch", "faster-whisper")


@dataclass(frozen=True)
class OverheadReport:
    """All measurements and the machine; seconds are wall time."""

    command: str
    machine: str
    versions: dict[str, str]
    work: list[PartsTiming]
    commands: list[Command]


@dataclass(frozen=True)
class Size:
    """The size of each measurement; 0 skips it.

    Attributes:
        clips: Pieces of the demo's video.
        parts: Numbers of parts of empty work.
        planned: Videos of the large plan.
        rounds: Rounds over the pieces of video; the fastest counts.
        modes: Which of `MODES`.
    """

    clips: int
    parts: Sequence[int]
    planned: int
    rounds: int = 1
    modes: Sequence[str] = MODES


def bench_orchestration(config: Path, overrides: Sequence[str], size: Size, scratch: Path) -> OverheadReport:
    """Measure everything, one after the other, in folders under `scratch`.

    Raises:
        UsageError: A size is too small to measure, or there is no such runner.
        RunFailed: A command that is measured failed.
    """
    _check(size)
    fresh = Fresh(config, overrides, scratch)
    clips = cut_clips(Path("demo/narrated.mp4"), size.clips, scratch / "clips")
    work: list[PartsTiming] = []
    commands: list[Command] = []
    if clips:
        on_clips(fresh, MODES[0], clips[:1], rounds=1)  # warm-up: programs and models come from the disk
    if size.parts:
        on_nothing(fresh, "inline", parts=1, videos=1)  # warm-up: libraries come from the disk
    for mode in size.modes:
        if clips:
            work.append(on_clips(fresh, mode, clips, size.rounds))
        for parts in size.parts:
            timing, settings = on_nothing(fresh, mode, parts, 1)
            work.append(timing)
            if mode == "inline":
                commands.append(status(fresh, parts, settings))
            if parts == min(size.parts):
                work.append(on_nothing(fresh, mode, parts, WIDE)[0])
    commands += plan(fresh, size.planned)
    return OverheadReport(
        command=" ".join(["storyloom", *sys.argv[1:]]),
        machine=_machine(),
        versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        work=sorted(work, key=lambda one: (one.what, one.parts, one.videos)),
        commands=commands,
    )


def markdown(report: OverheadReport) -> Iterator[str]:
    """The report as lines of Markdown."""
    yield f"`{report.command}`"
    yield ""
    yield f"{report.machine}; {', '.join(f'{name} {number}' for name, number in report.versions.items())}."
    if report.work:
        yield ""
        yield f"Work: clips of {CLIP_SECONDS:g} s through all row stages, a video a part; or files that are not there"
        yield f"through {' and '.join(EMPTY_STAGES)}. What comes after the first part is without planning and start-up."
        yield ""
        yield from _table(
            (
                "work",
                "by",
                "parts",
                "videos a part",
                "one part s",
                "all parts s",
                "ms a part and stage",
                "over the loop",
            ),
            (_cells(one, report.work) for one in report.work),
        )
        yield from _per_video(report.work)
    if report.commands:
        yield ""
        yield from _table(
            ("command", "s", "CPU s", "peak MiB"),
            (
                (one.what, f"{one.seconds:.2f}", f"{one.cpu_seconds:.2f}", f"{one.megabytes:.0f}")
                for one in report.commands
            ),
        )


def _cells(one: PartsTiming, work: Sequence[PartsTiming]) -> tuple[str, ...]:
    key = (one.what, one.parts, one.videos)
    loop = next((w for w in work if w.mode == "loop" and (w.what, w.parts, w.videos) == key), None)
    over = ""
    if one.what == "clips" and loop is not None and one.mode != "loop":
        over = f"{one.further_seconds / loop.further_seconds - 1:+.1%}"
    numbers = (f"{one.one_seconds:.2f}", f"{one.all_seconds:.2f}", f"{one.milliseconds:.2f}")
    return (one.what, one.mode, f"{one.parts:,}", str(one.videos), *numbers, over)


def _per_video(work: Sequence[PartsTiming]) -> Iterator[str]:
    """The cost of a further video per part, from the narrow and the wide parts."""
    found = []
    for mode in MODES:
        nothing = {one.videos: one for one in work if (one.what, one.mode) == ("nothing", mode)}
        narrow = next((one for one in work if one.what == "nothing" and one.mode == mode and one.videos == 1), None)
        if narrow is not None and WIDE in nothing:
            found.append(f"{mode} {(nothing[WIDE].milliseconds - narrow.milliseconds) / (WIDE - 1):.2f} ms")
    if found:
        yield ""
        yield f"A further video of a part and stage: {', '.join(found)}."


def _table(header: Sequence[str], lines: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "|" + " --- |" * len(header)
    yield from (f"| {' | '.join(cells)} |" for cells in lines)


def _check(size: Size) -> None:
    for mode in size.modes:
        if mode not in MODES:
            raise UsageError(f"nothing is run by {mode!r}; there are {', '.join(MODES)}")
    if 1 in (size.clips, *size.parts):
        raise UsageError("what a part costs is measured on those after the first one: take 2 or more")


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {memory:.0f} GiB"
