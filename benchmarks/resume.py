"""What it takes to look at work of millions of parts of which all or nearly all is done: `python -m benchmarks.resume`.

The plan and the logs are made by this program, and the stages do nothing: eight of them, each reading the one before,
the last one a stage of groups. So nothing is measured but what a driver does. Parts have eight videos, groups 64 parts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.growth import Curve, drawn
from pipeline.config import RunConfig, config_from
from pipeline.execute import Job
from pipeline.executors.executor import OnDone
from pipeline.lineage import stage_keys, unit_key
from pipeline.logs.folded import Basis
from pipeline.logs.logs import LARGEST
from pipeline.logs.segments import DIGEST_BYTES, GroupRow, Totals, digest
from pipeline.parts import Keys, Parts
from pipeline.plan import Plan
from pipeline.scheduler import Scheduler
from pipeline.status import status
from pipeline.store import Store, canonical_digest
from pipeline.summaries import SCHEMA, Summaries
from pipeline.workspace import Work, Workspace
from schemas.config import StageConfig
from schemas.manifest import ManifestRow
from schemas.row import Row
from stages.base import Context, GroupStage, Input, Stage, Video
from stages.registry import STAGES
from storyloom.format.model import Model

PART_STAGES = 7

VIDEOS, GROUP = 8, 64
"""Videos of a part, slots of a group."""

MISSING = 0.01


class Nothing(Row):
    """A row without anything."""


class Empty(Stage[StageConfig, Nothing]):
    """Does nothing."""

    version = 1
    row = Nothing
    Config = StageConfig

    def one(self, video: Video) -> Nothing:
        return Nothing(video=video.key)


class Step0(Empty):
    """Reads the manifest alone."""

    name = "step0"
    manifest_fields = ("url", "folder")


class Step1(Empty):
    """Reads the step before."""

    name = "step1"
    reads = (Input("step0"),)


class Step2(Empty):
    """Reads the step before."""

    name = "step2"
    reads = (Input("step1"),)


class Step3(Empty):
    """Reads the step before."""

    name = "step3"
    reads = (Input("step2"),)


class Step4(Empty):
    """Reads the step before."""

    name = "step4"
    reads = (Input("step3"),)


class Step5(Empty):
    """Reads the step before."""

    name = "step5"
    reads = (Input("step4"),)


class Step6(Empty):
    """Reads the step before."""

    name = "step6"
    reads = (Input("step5"),)


class Result(Model):
    """A group's."""

    shards: list[dict[str, Any]] = []


class Bundle(GroupStage[StageConfig, Result]):
    """Writes nothing."""

    name = "bundle"
    version = 1
    reads = (Input("step6"),)
    manifest_fields = ("license",)
    result = Result
    Config = StageConfig

    def write(self, videos: Iterable[Video], folder: Path) -> Result:
        del folder
        for _ in videos:
            pass
        return Result()

    @staticmethod
    def files(result: Result) -> dict[str, str]:
        del result
        return {}


class MadeLines:
    """The lines of a manifest that is in no file."""

    def __init__(self, plan: Plan) -> None:
        self._parts = plan.members

    def group_digests(self, size: int) -> list[str]:
        return [hashlib.sha256(str(number).encode()).hexdigest() for number in self._parts.groups(size).numbers]

    def __getitem__(self, part: str) -> list[ManifestRow]:
        return [
            ManifestRow.model_construct(video=video, url=f"s3://bucket/{video}.mp4", source_id=video)
            for video in self._parts[part]
        ]


def planned(parts: int) -> Plan:
    """A plan of so many parts."""

    def keys() -> Keys:
        found = np.zeros((parts * VIDEOS, 10), np.uint8)
        found[:, 2:] = np.arange(len(found), dtype=">u8").view(np.uint8).reshape(-1, 8)
        return found

    numbers = np.arange(parts, dtype=np.int64)
    codes = (numbers.astype(np.uint64) << np.uint64(32)) | numbers.astype(np.uint64)
    return Plan(Parts(codes, numbers, np.ones(parts, np.bool_), (numbers + 1) * VIDEOS, keys), 0, Parts.none())


def config_at(work: str) -> RunConfig:
    """The config of the empty stages."""
    names = [*(f"Step{number}" for number in range(PART_STAGES)), "Bundle"]
    content: dict[str, Any] = {
        "manifest": "made.txt",
        "work": work,
        "output": f"{work}-out",
        "stages": [f"benchmarks.resume:{name}" for name in names],
        "runner": {"kind": "inline"},
        "parts": {"videos": VIDEOS, "group": GROUP},
    }
    return config_from(content | {stage.name: {"enabled": False} for stage in STAGES})


def workspace_of(config: RunConfig, plan: Plan) -> Workspace:
    """What `survey` gives, without a manifest."""
    store = Store(config.work)
    keys = stage_keys(config, Context(config.seed, store.media))
    lines: Any = MadeLines(plan)
    job = Job(config, keys, groups=plan.groups(GROUP))
    basis = Basis(config.graph, lines, plan, GROUP)
    return Workspace(job, plan, lines, Summaries(store, keep=True), (), basis)


def make_logs(workspace: Workspace, *, groups: int, units: bool) -> None:
    """The logs of the first groups, all of whose parts are done.

    Args:
        workspace: Without logs.
        groups: Number of groups.
        units: Whether their units are told of, as every real log does.
    """
    for name in workspace.graph.names:
        workspace.summaries.logs.begin((name, workspace.job.keys[name].key))
    outputs: dict[str, Any] = {}
    for name in workspace.graph.names:
        key = workspace.job.keys[name].key
        logs = workspace.summaries.logs.refreshed()
        given = workspace.folded.given(name, {one: outputs[one] for one in workspace.folded.sources(name)})
        raw = b"".join(digest(name, str(number)) for number in range(len(given)))
        outputs[name] = np.frombuffer(raw, np.uint8).reshape(-1, DIGEST_BYTES)
        numbers = {"counts": {"media_ms": 64 * 8 * 600_000, "frames": 9000}, "failed": {}, "dropped": {}}
        of_groups = name in workspace.graph.group_stages
        bounds = np.append(workspace.basis.groups.starts, len(workspace.plan.parts))
        counts = np.diff(bounds).tolist()

        by_count = {
            count: Totals(count, count * VIDEOS, count * VIDEOS, 0, 0, numbers, frozenset({"storyloom"}))
            for count in {1, *counts}
        }
        for start in range(0, groups, LARGEST):
            some = range(start, min(groups, start + LARGEST))
            rows = [
                GroupRow(at, given[at].tobytes(), outputs[name][at].tobytes(), by_count[1 if of_groups else counts[at]])
                for at in some
            ]
            logs.write((name, key), rows, _units(workspace, name, given, some if units else some[:1]))


def _units(workspace: Workspace, name: str, given: Any, groups: Sequence[int]) -> pa.Table:
    stems, numbers, digests = [], [], []
    key, graph = workspace.job.keys[name].key, workspace.graph
    (source,) = graph.upstream(name) or ("",)
    for number in groups:
        group = f"{number:05d}"
        for part in (group,) if name in graph.group_stages else workspace.job.groups[group]:
            inputs = {source: _made(source, part)} if source else {}
            if name in graph.group_stages:
                inputs = {"made": group}
            elif name == "step0":
                inputs["manifest"] = canonical_digest([[one.video, one.location, ""] for one in workspace.lines[part]])
            else:
                inputs["manifest"] = canonical_digest([[one.video, ""] for one in workspace.lines[part]])
            stems.append(f"{'group' if part == group else 'part'}-{part}.{unit_key(key, inputs)}")
            numbers.append(number)
            digests.append(digest(given[number].tobytes()))
    count = len(stems)
    sums = [{"kind": "counts", "name": "media_ms", "n": 8 * 600_000}, {"kind": "counts", "name": "frames", "n": 140}]
    columns: dict[str, Any] = {
        "stem": stems,
        "version": [""] * count,
        "videos": [VIDEOS] * count,
        "live": [VIDEOS] * count,
        "retryable": [0] * count,
        "ran": ["storyloom"] * count,
        "tables": [[{"name": "rows", "sha256": _made(name, stem.split(".")[0][5:])}] for stem in stems],
        "numbers": [sums] * count,
    }
    table = pa.table({field.name: pa.array(columns[field.name], field.type) for field in SCHEMA})
    table = table.append_column("group", pa.array(numbers, pa.int64()))
    table = table.append_column("given", pa.array(digests, pa.binary(DIGEST_BYTES)))
    return table.append_column("group_mark", pa.array([""] * count, pa.string()))


def _made(stage: str, part: str) -> str:
    return hashlib.sha256(f"{stage} {part}".encode()).hexdigest()


@dataclass
class Asked:
    """An executor that does nothing, and counts what it is asked for."""

    overlaps: bool = False
    units: int = 0
    first: float = 0.0

    def run(self, workspace: Workspace, work: Work, on_done: OnDone) -> None:
        del on_done
        self.first = self.first or time.monotonic()
        self.units += sum(map(len, workspace.missing(work).values()))


def measured(work: str, parts: int, what: str) -> dict[str, Any]:
    """Seconds and memory of one look, in this process."""
    began = time.monotonic()
    workspace = workspace_of(config_at(work), planned(parts))
    ready = time.monotonic()
    found: dict[str, Any] = {"what": what, "parts": parts, "videos": parts * VIDEOS}
    if what == "status":
        stages = status(workspace)
        found["done"] = [one.done for one in stages]
    else:
        executor = Asked()
        Scheduler(frozenset(workspace.graph.names), executor, lambda _: None).bring_up_to_date(workspace)
        found["asked"] = executor.units
        if executor.first:
            found["first_seconds"] = round(executor.first - ready, 2)
    found["seconds"] = round(time.monotonic() - ready, 2)
    found["made_seconds"] = round(ready - began, 2)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found["cpu_seconds"] = round(usage.ru_utime + usage.ru_stime, 2)
    found["peak_mib"] = usage.ru_maxrss // 1024
    return found


def made(work: str, parts: int, missing: float, *, units: bool) -> None:
    """A work folder with logs."""
    workspace = workspace_of(config_at(work), planned(parts))
    store = workspace.job.store
    store.prepare()
    for name, key in workspace.job.keys.items():
        store.describe(name, key.key, key.ingredients)
    groups = len(workspace.job.groups)
    make_logs(workspace, groups=groups - round(groups * missing), units=units)


@contextmanager
def _folder(work: str) -> Iterator[str]:
    if work:
        yield f"{work.rstrip('/')}/resume-{time.time_ns()}"
        return
    with tempfile.TemporaryDirectory(prefix="storyloom-resume-") as folder:
        yield str(Path(folder) / "work")


def _in_a_process(words: Sequence[str]) -> str:
    found = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks.resume", *words], check=True, capture_output=True, text=True
    )
    return found.stdout


def main() -> None:
    """Measure, each look in a process of its own, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, nargs="+", default=[12_500, 125_000, 1_250_000])
    parser.add_argument("--work", default="", help="URL of a folder in a store; a temporary folder otherwise")
    parser.add_argument(
        "--no-units", action="store_true", help="logs without units, which no look at all of them reads"
    )
    parser.add_argument("--svg", type=Path, help="draws the growth")
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "WORK"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        what, work = given.one
        (parts,) = given.parts
        if what.startswith("make"):
            made(work, parts, float(what.removeprefix("make")), units=not given.no_units)
        else:
            print(json.dumps(measured(work, parts, what)))  # noqa: T201
        return
    found = [line for parts in given.parts for line in _looks(parts, given.work, units=not given.no_units)]
    if given.svg:
        given.svg.write_text(drawn(list(_curves(found)), "parts"))


def _looks(parts: int, work: str, *, units: bool) -> Iterator[dict[str, Any]]:
    """Look at all done, and at 1 % of the groups missing; each figure is printed as it comes."""
    for missing in (0.0, MISSING):
        with _folder(work) as folder:
            words = ["--parts", str(parts), *([] if units else ["--no-units"])]
            _in_a_process([*words, "--one", f"make{missing}", folder])
            for what in ("status", "resume"):
                line = json.loads(_in_a_process([*words, "--one", what, folder]))
                line = {"missing": missing, "on": work or "disk", **line}
                print(json.dumps(line), flush=True)  # noqa: T201
                yield line


def _curves(found: Sequence[dict[str, Any]]) -> Iterator[Curve]:
    for missing, state in ((0.0, "all done"), (MISSING, "1 % missing")):
        for what in ("status", "resume"):
            lines = [line for line in found if (line["missing"], line["what"]) == (missing, what)]
            if lines:
                yield Curve(f"{what}, {state}, s", [(line["parts"], line["seconds"]) for line in lines])


if __name__ == "__main__":
    main()
