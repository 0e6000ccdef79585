"""The failures of a run, a row a video and stage; and the ledger, a Parquet file of them in the work folder.

The rows of the parts say what failed; the ledger adds what they cannot say: how often. It is sorted by stage and part,
as failures are found, so that both are read side by side and neither is held in memory.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.attempts import Attempt
from pipeline.store import FAILURES, Address
from pipeline.workspace import Workspace
from schemas.manifest import ManifestRow
from storyloom.format.parquet import ParquetFile
from storyloom.fs.files import Entry, Files
from storyloom.fs.url import redacted, without_secrets
from storyloom.view.text import shown

UNFINISHED = "unfinished"
"""Code of a video over which attempts failed, and whose part is not done yet."""

OURS = frozenset({"internal", "worker_crashed", "decoder_crashed", "probe_crashed"})
"""Codes of what a bug may be behind: a run names these failures first."""

ROWS_AT_ONCE = 10_000
"""Rows of the ledger in memory, and in a row group (our choice)."""

SCHEMA = pa.schema(
    [
        pa.field("stage", pa.string(), nullable=False),
        pa.field("part", pa.string(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("code", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("retryable", pa.bool_(), nullable=False),
        pa.field("attempts", pa.int64(), nullable=False),
        pa.field("last", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("pending", pa.bool_(), nullable=False),
    ]
)
"""A line of the ledger."""


@dataclass(frozen=True)
class Failure:
    """A video that failed in a stage.

    Attributes:
        stage: The stage's name.
        part: Id of its part.
        video: Its key.
        name: Its id in the manifest, or its URL without secrets.
        code: As in docs/errors.md.
        message: What is wrong, URLs without secrets.
        retryable: Whether trying again may help.
        attempts: Times that it was tried and failed, over all runs whose end was seen.
        last: Time of the last one.
        pending: Whether its part is to be done again, so that this is what it was before.
    """

    stage: str
    part: str
    video: str
    name: str
    code: str
    message: str
    retryable: bool
    attempts: int
    last: datetime
    pending: bool = False

    @property
    def place(self) -> tuple[str, str]:
        """Stage and part: the order of the ledger."""
        return self.stage, self.part


def failures(workspace: Workspace, *, beyond: bool = False) -> Iterator[Failure]:
    """The failures by the rows that are there now, with their attempts, by stage and part.

    Those of a part that is to be done again are as the ledger has them; videos that left the manifest are left out.

    Args:
        workspace: With the current marks.
        beyond: Whether those of parts that are planned but not asked for come too, as the ledger has them.
    """
    before = _Ledger(workspace.job.store.files)
    for stage in sorted(set(workspace.graph.names) - set(workspace.graph.group_stages)):
        asked = workspace.failing(stage)
        done = workspace.done(stage, asked)
        tried = dict(_unfinished(workspace, stage, done))
        left_out = workspace.plan.left_out if beyond else {}
        for part in sorted({*asked, *left_out}):
            known = before.at(stage, part)
            if part in left_out:
                yield from known.values()
            elif part in done:
                if _own(workspace.summaries.failed(done[part]), stage):
                    yield from _of_part(workspace, part, done[part], known)
            else:
                again = {one.video: one for one in known.values() if one.code != UNFINISHED}
                found = {**{video: replace(one, pending=True) for video, one in again.items()}, **tried.get(part, {})}
                yield from (found[video] for video in workspace.plan.members[part] if video in found)


def write_ledger(workspace: Workspace, most: int) -> tuple[list[Failure], int]:
    """Bring the ledger up to date; the first failures, those of our own bugs before others, and the number of all.

    Args:
        workspace: With the current marks.
        most: Most failures to return.
    """
    found = failures(workspace, beyond=True)
    rows = list(islice(found, ROWS_AT_ONCE))
    files = workspace.job.store.files
    if not rows:
        files.remove(FAILURES)
        return [], 0
    bugs, others, total = list[Failure](), list[Failure](), 0
    with files.scratch() as scratch:
        with pq.ParquetWriter(scratch / FAILURES, SCHEMA, compression="zstd") as writer:
            while rows:
                writer.write_table(pa.Table.from_pylist([asdict(one) for one in rows], schema=SCHEMA))
                asked = [one for one in rows if one.part not in workspace.plan.left_out]
                total += len(asked)
                bugs += islice((one for one in asked if one.code in OURS), most - len(bugs))
                others += islice((one for one in asked if one.code not in OURS), most - len(others))
                rows = list(islice(found, ROWS_AT_ONCE))
        files.replace(FAILURES, scratch / FAILURES)
    return [*bugs, *others][:most], total


def to_retry(
    workspace: Workspace, stages: Collection[str], codes: Sequence[str], *, retryable: bool
) -> dict[str, list[str]]:
    """The parts of each of the stages that hold a video which failed in that stage in a way that is asked for.

    Args:
        workspace: With the current marks.
        stages: Their names.
        codes: Codes, or codes with their stage before a dot.
        retryable: Whether every failure that may pass is asked for.
    """
    found: dict[str, list[str]] = {}
    for name in workspace.graph.names:
        if name in stages and name not in workspace.graph.group_stages:
            done, wanted = (
                workspace.done(name, workspace.failing(name)),
                {one.removeprefix(f"{name}.") for one in codes},
            )
            found[name] = [
                part
                for part, address in done.items()
                if (retryable and workspace.summaries.retryable(address))
                or wanted & _own(workspace.summaries.failed(address), name).keys()
            ]
    return found


def codes_there(workspace: Workspace) -> set[str]:
    """The codes of all failures as ``stage.code``, also of the last run's under other settings."""
    stages = [name for name in workspace.graph.names if name not in workspace.graph.group_stages]
    before = {f"{one.stage}.{one.code}" for one in _lines(workspace.job.store.files)}
    now = {code for name in stages for code in workspace.summary(name).failed}
    return before | now


def _own(failed: Mapping[str, int], stage: str) -> dict[str, int]:
    """The counts of a stage's own failures, by code."""
    prefix = f"{stage}."
    return {code.removeprefix(prefix): count for code, count in failed.items() if code.startswith(prefix)}


def _of_part(workspace: Workspace, part: str, address: Address, known: Mapping[str, Failure]) -> Iterator[Failure]:
    """The failures of a finished part; none when it was removed meanwhile."""
    store = workspace.job.store
    try:
        marked = store.files.entry(store.mark_file(address))
        with store.unchecked(address) as file:
            rows = file.read(columns=["video", "error"]).to_pylist()
    except (OSError, pa.ArrowException):  # a run does it again, now or when it finds it damaged
        return
    if marked is None:
        return
    last = _time(marked.modified)
    names = {line.video: line for line in workspace.lines[part]}
    for row in rows:
        error = row["error"]
        if error is None or error["stage"] != address.stage or row["video"] not in names:
            continue
        before = known.get(row["video"])
        again = before is None or last > before.last
        yield Failure(
            stage=address.stage,
            part=part,
            video=row["video"],
            name=_name(names[row["video"]]),
            code=error["code"],
            message=shown(without_secrets(error["message"])),
            retryable=error["retryable"],
            attempts=(before.attempts if before else 0) + again,
            last=last,
        )


def _unfinished(
    workspace: Workspace, stage: str, done: Mapping[str, Address]
) -> Iterator[tuple[str, dict[str, Failure]]]:
    """The videos over which attempts failed, by key, of each part that is not done."""
    entries: dict[str, list[Entry]] = defaultdict(list)
    for entry in workspace.job.store.files.entries(workspace.job.attempts_folder(stage)):
        entries[entry.name.rpartition("/")[2].partition(".")[0]].append(entry)
    for part in sorted(entries.keys() & workspace.plan.members.keys() - done.keys()):
        names = {line.video: line for line in workspace.lines[part]}
        last = _time(max(entry.modified for entry in entries[part]))
        tried: dict[str, list[Attempt]] = {}
        for attempt in workspace.job.attempts(stage, part).ended():
            if attempt.video in names:
                tried.setdefault(attempt.video, []).append(attempt)
        yield (
            part,
            {
                video: Failure(
                    stage=stage,
                    part=part,
                    video=video,
                    name=_name(names[video]),
                    code=UNFINISHED,
                    message=shown(without_secrets(some[-1].message)),
                    retryable=True,
                    attempts=len(some),
                    last=last,
                    pending=True,
                )
                for video, some in tried.items()
            },
        )


class _Ledger:
    """The lines of a ledger, read along as stages and parts are asked for in its order."""

    def __init__(self, files: Files) -> None:
        self._lines = _lines(files)
        self._next = next(self._lines, None)

    def at(self, stage: str, part: str) -> dict[str, Failure]:
        """The failures of a part, by video."""
        found = {}
        while self._next is not None and self._next.place <= (stage, part):
            if self._next.place == (stage, part):
                found[self._next.video] = self._next
            self._next = next(self._lines, None)
        return found


def _lines(files: Files) -> Iterator[Failure]:
    """The lines of the ledger; none of one that is missing, damaged or of another version."""
    with (
        contextlib.suppress(OSError, pa.ArrowException),
        files.open(FAILURES) as file,
        ParquetFile(file) as found,
    ):
        if found.schema_arrow.equals(SCHEMA):
            for batch in found.iter_batches(ROWS_AT_ONCE):
                yield from (Failure(**line) for line in batch.to_pylist())


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC)


def _name(line: ManifestRow) -> str:
    return shown(redacted(line.source_id))
