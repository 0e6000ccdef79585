"""What it takes to plan a large manifest, and to plan it again: `python -m benchmarks.planning`.

Each step is a process of its own: planning a list of URLs in an empty work folder; the same again, which finds the list
unchanged; and looking at it, as `storyloom status` begins. No video is worked on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.growth import Curve, drawn
from pipeline.config import load_config
from pipeline.workspace import survey
from storyloom.errors import RunFailed
from storyloom.fs.files import files_at

SIZES = (100_000, 1_000_000, 10_000_000)

STEPS = {"plan": True, "plan again": True, "look": False}
"""The steps, and whether each writes."""

SETTLED = 11.0
"""Seconds after which a list counts as unchanged; see `pipeline/kept.py`."""

CONFIG = Path(__file__).parents[1] / "configs" / "demo.yaml"


@dataclass(frozen=True)
class Step:
    """What a step took.

    Attributes:
        videos: Lines of the list.
        step: One of `STEPS`.
        seconds: Wall time with the start of the process.
        cpu_seconds: Of all its threads.
        mebibytes: Peak of its resident memory.
        megabytes: What the work folder has afterwards, in 10^6 bytes.
    """

    videos: int
    step: str
    seconds: float
    cpu_seconds: float
    mebibytes: float
    megabytes: float


def measured(videos: int, work: str) -> Iterator[Step]:
    """Measure the steps over a list of so many videos.

    Args:
        videos: Their number.
        work: A folder or URL below which the work folder is made.

    Raises:
        RunFailed: A step failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        manifest, begun = Path(folder, "videos.txt"), time.monotonic()
        with manifest.open("w", encoding="utf-8") as file:
            file.writelines(
                f"https://videos.example.org/channel/{n % 997:03d}/video-{n:08d}.mp4\n" for n in range(videos)
            )
        time.sleep(max(0.0, SETTLED - (time.monotonic() - begun)))
        place = f"{work or folder}/work-{videos}"
        for step, writes in STEPS.items():
            arguments = [sys.executable, "-m", "benchmarks.planning", "--child", str(manifest), place, str(int(writes))]
            start = time.monotonic()
            child = subprocess.Popen(arguments)  # noqa: S603
            _, ended, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(ended)
            if child.returncode:
                raise RunFailed(f"{step} of {videos} videos ended with exit code {child.returncode}")
            yield Step(
                videos,
                step,
                seconds=round(time.monotonic() - start, 1),
                cpu_seconds=round(usage.ru_utime + usage.ru_stime, 1),
                mebibytes=round(usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)),
                megabytes=round(sum(entry.size for entry in files_at(place).tree()) / 1e6, 1),
            )


def one(manifest: str, work: str, *, write: bool) -> None:
    """A step, in this process."""
    config = load_config(CONFIG, [f"manifest={manifest}", f"work={work}", f"output={manifest}.out", "parts.videos=8"])
    found = survey(config, write=write)
    print(f"{len(found.plan.parts):,} parts in {len(found.job.groups):,} groups", file=sys.stderr)  # noqa: T201


def lines(steps: Sequence[Step]) -> Iterator[str]:
    """A table in Markdown."""
    yield "| videos | step | s | CPU s | peak MiB | work folder MB |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for found in steps:
        cells = (found.seconds, found.cpu_seconds, f"{found.mebibytes:,}", f"{found.megabytes:,}")
        yield f"| {found.videos:,} | {found.step} | {' | '.join(map(str, cells))} |"


def main() -> None:
    """Measure, print the table, and draw the growth."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    asked.add_argument("--videos", type=int, nargs="+", default=SIZES)
    asked.add_argument("--work", default="", help="folder or URL of the work; a temporary folder if not given")
    asked.add_argument("--json", type=Path, help="keeps the figures, beside those that it has of other sizes")
    asked.add_argument("--svg", type=Path, help="draws the growth of what --json has")
    asked.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.child:
        one(options.child[0], options.child[1], write=options.child[2] == "1")
        return
    found = [step for videos in options.videos for step in measured(videos, options.work)]
    if options.json:
        before = [Step(**line) for line in json.loads(options.json.read_text())] if options.json.exists() else []
        found += [step for step in before if step.videos not in options.videos]
        found.sort(key=lambda step: (step.videos, list(STEPS).index(step.step)))
        options.json.write_text(json.dumps([asdict(step) for step in found], indent=1) + "\n")
    print("\n".join(lines(found)))  # noqa: T201
    if options.svg:
        curves = [
            Curve(f"{step}, {unit}", [(one.videos, getattr(one, field)) for one in found if one.step == step])
            for step in STEPS
            for field, unit in (("cpu_seconds", "CPU s"), ("mebibytes", "peak MiB"))
        ]
        options.svg.write_text(drawn(curves, "videos"))


if __name__ == "__main__":
    main()
