"""One unit of one stage: joined by key, one row a video, failures and drops kept, what it read named."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from pipeline.attempts import RAISED, Attempt
from pipeline.execute import Job, NotReady, PartVideos, run_group, run_part
from pipeline.order import ContractBroken
from pipeline.profile import UnitTimer
from pipeline.store import Damaged, Mark, rows_of
from pipeline.workspace import Workspace
from schemas.row import Row, RowError
from stages.base import StageSetupError, Video, VideoDropped, VideoFailed
from tests.machine import (
    Echo,
    EchoConfig,
    EchoRow,
    LetterRow,
    Measure,
    MeasureRow,
    Pack,
    Share,
    ShareRow,
    TotalSize,
    config,
    files,
    prepared,
    ready,
)

COUNT = 5


class Troubled(Echo):
    """Says the title; fails or drops where the size asks for it."""

    def one(self, video: Video) -> EchoRow:
        size = video[MeasureRow].size
        if size == 1:
            raise VideoFailed("bad_size", "one is no size")
        if size == 2:
            raise VideoDropped("boring", "two")
        return super().one(video)


class Backwards(Troubled):
    """Works on the whole part at once and returns its rows in another order."""

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        for row in reversed([self.guarded(video) for video in videos]):
            yield row
            if isinstance(row, EchoRow):
                yield from (LetterRow(video=row.video, letter=letter) for letter in row.said)


class Forgetful(Troubled):
    """Loses a video."""

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        yield from [self.guarded(video) for video in videos][1:]


class Twice(Troubled):
    """Returns each video twice."""

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        for video in videos:
            yield self.guarded(video)
            yield self.guarded(video)


class Inventive(Troubled):
    """Returns a video that it was not given."""

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        yield from (self.guarded(video) for video in videos)
        yield EchoRow(video="f" * 20)


class Hasty(Troubled):
    """Ends before its last videos."""

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        yield from (self.guarded(video) for video in islice(videos, COUNT - 2))


class Idle(Troubled):
    """Takes no video."""

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        del videos
        return iter(())


class PartOfFive:
    """A work folder with one part whose `measure` is done, its files of 0 to 4 bytes."""

    def __init__(self, folder: Path) -> None:
        files(folder, range(COUNT))
        self.workspace = ready(config(folder, parts={"videos": COUNT, "group": 1}), "measure")
        self.job = self.workspace.job
        (self.part,) = self.workspace.plan.parts
        self.lines = self.workspace.lines[self.part]
        self.order = [line.video for line in self.lines]

    def run(self, kind: type[Echo] = Troubled) -> Mark:
        stage = kind(self.job.config.section(EchoConfig), self.job.context)
        attempts = self.job.attempts(kind.name, self.part)
        attempts.begin(Attempt(worker="host.1"))
        return run_part(self.job, stage, self.part, attempts, UnitTimer())

    def rows(self) -> dict[str, EchoRow]:
        """What `echo` said, by the title."""
        fresh = self.workspace.refreshed()
        return {line.title: row for line, row in zip(self.lines, fresh.rows("echo", self.part, EchoRow), strict=True)}


def test_every_video_keeps_its_row_in_the_parts_order(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    part.run()
    assert [row.video for row in part.workspace.refreshed().rows("echo", part.part, EchoRow)] == part.order


def test_a_failure_and_a_drop_cost_one_video_each(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    mark = part.run()
    rows = part.rows()
    assert rows["T1"].error == RowError(stage="echo", code="bad_size", message="one is no size")
    assert rows["T2"].dropped is not None
    assert (rows["T2"].dropped.reason, rows["T2"].dropped.detail) == ("boring", "two")
    assert [rows[f"T{n}"].said for n in (0, 3, 4)] == ["T00", "T33", "T44"]
    assert (mark.videos, mark.live) == (5, 3)
    assert (mark.failed, mark.dropped) == ({"echo.bad_size": 1}, {"echo.boring": 1})


def test_a_stage_may_work_in_any_order(tmp_path: Path) -> None:
    one, two = PartOfFive(tmp_path / "a"), PartOfFive(tmp_path / "b")
    assert one.run(Troubled).tables == two.run(Backwards).tables


def test_a_further_table_holds_any_number_of_rows_a_video_beside_the_rows(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    part.run()
    found = part.workspace.refreshed().found("echo", part.part)
    assert found is not None
    address, mark = found
    assert mark is not None
    with part.job.store.table(address, mark, "letters") as file:
        letters = [(row.video, row.letter) for row in rows_of(file, LetterRow)]
    assert letters == [(line.video, letter) for line in part.lines for letter in part.rows()[line.title].said]


@pytest.mark.parametrize("stage", [Hasty, Idle])
def test_a_stage_that_ends_before_its_last_video_commits_nothing(tmp_path: Path, stage: type[Echo]) -> None:
    part = PartOfFive(tmp_path)
    with pytest.raises(ContractBroken, match=r"echo ended before it took .* and the videos after it"):
        part.run(stage)
    assert part.workspace.refreshed().done("echo") == {}


@pytest.mark.parametrize("stage", [Forgetful, Twice, Inventive])
def test_a_stage_that_breaks_its_contract_commits_nothing(tmp_path: Path, stage: type[Echo]) -> None:
    part = PartOfFive(tmp_path)
    with pytest.raises(ContractBroken, match="echo returned"):
        part.run(stage)
    assert part.workspace.refreshed().done("echo") == {}


def test_an_earlier_error_is_passed_on_unchanged(tmp_path: Path) -> None:
    files(tmp_path, range(COUNT))
    (tmp_path / "3.bin").unlink()
    part = PartOfFive.__new__(PartOfFive)
    part.workspace = ready(config(tmp_path, parts={"videos": COUNT, "group": 1}), "measure")
    part.job, (part.part,) = part.workspace.job, part.workspace.plan.parts
    part.lines = part.workspace.lines[part.part]
    part.run(Echo)
    error = RowError(stage="measure", code="not_found", message="no 3.bin", retryable=True)
    rows = part.rows()
    assert (rows["T3"].error, rows["T3"].said) == (error, "")
    assert [rows[f"T{n}"].said for n in (0, 1, 2, 4)] == ["T00", "T11", "T22", "T44"]


def test_rows_of_other_videos_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = PartOfFive(tmp_path)
    videos = PartVideos(part.job, Troubled(part.job.config.section(EchoConfig), part.job.context), part.part)
    videos.lines = [videos.lines[1], videos.lines[0], *videos.lines[2:]]
    with pytest.raises(ContractBroken, match=f"measure has {part.order[0]} where the plan has {part.order[1]}"):
        list(videos)


def test_a_stage_is_shown_no_field_of_the_manifest_that_it_does_not_name(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    for video in PartVideos(part.job, Echo(part.job.config.section(EchoConfig), part.job.context), part.part):
        assert video.manifest.title.startswith("T")
        assert (video.manifest.url, video.manifest.folder, video.manifest.source_id) == ("", "", "")


def test_a_part_that_is_done_is_left_alone(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    first = part.run()
    file = next((tmp_path / "work" / "echo").glob("*/*.rows.parquet"))
    before = file.stat().st_mtime_ns
    assert part.run(Backwards) == first
    assert file.stat().st_mtime_ns == before


def test_what_is_not_done_yet_is_waited_for(tmp_path: Path) -> None:
    files(tmp_path, range(COUNT))
    job = prepared(config(tmp_path)).job
    (part, *_) = prepared(config(tmp_path)).plan.parts
    stage = Echo(job.config.section(EchoConfig), job.context)
    with pytest.raises(NotReady, match=f"echo, part {part}: what it reads is not done any more"):
        run_part(job, stage, part, job.attempts("echo", part), UnitTimer())


def test_a_table_that_is_damaged_is_never_read(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    (file,) = (tmp_path / "work" / "measure").glob("*/*.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(Damaged, match="measure, part-"):
        part.run()
    assert part.workspace.refreshed().done("echo") == {}


def test_the_mark_says_what_was_read_and_what_ran(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    mark = part.run()
    found = part.workspace.refreshed().found("measure", part.part)
    assert found is not None
    assert found[1] is not None
    assert mark.inputs == {"measure": found[1].tables["rows"], "manifest": mark.inputs["manifest"]}
    assert mark.ran.startswith("storyloom ")
    assert mark.ran.endswith("; small@1")


class Broken(Echo):
    """Has a bug that one video meets; or whatever else a test makes of it."""

    raised: Callable[[], Exception] = ZeroDivisionError
    seen: list[int]

    def one(self, video: Video) -> EchoRow:
        size = video[MeasureRow].size
        type(self).seen.append(size)
        if size == 3:
            raise type(self).raised()
        return super().one(video)


def suspicious(part: PartOfFive, *ended: Attempt) -> None:
    for one in ended:
        attempts = part.job.attempts("echo", part.part)
        attempts.begin(one)
        attempts.fail(ZeroDivisionError(one.video), proven=True)


def test_a_bug_fails_the_attempt_and_makes_no_row(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    Broken.seen, Broken.raised = [], ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        part.run(Broken)
    assert part.workspace.refreshed().done("echo") == {}


def test_after_two_bad_ends_the_videos_are_tried_one_by_one_and_the_culprit_is_named(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    suspicious(part, Attempt(worker="a.1"), Attempt(worker="a.2"))
    Broken.seen, Broken.raised = [], ZeroDivisionError
    stage = Broken(part.job.config.section(EchoConfig), part.job.context)
    attempts = part.job.attempts("echo", part.part)
    attempts.begin(Attempt(worker="a.3"))
    with pytest.raises(ZeroDivisionError) as raised:
        run_part(part.job, stage, part.part, attempts, UnitTimer())
    attempt = attempts.fail(raised.value, proven=False)
    (culprit,) = (line.video for line in part.lines if line.title == "T3")
    assert sorted(Broken.seen) == list(range(COUNT))  # those behind the culprit too
    assert (attempt.alone, attempt.video, attempt.evidence) == (True, culprit, RAISED)
    assert sorted(attempt.passed) == sorted(set(part.order) - {culprit})


def test_a_machines_fault_ends_the_attempt_at_once(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    suspicious(part, Attempt(worker="a.1"), Attempt(worker="a.2"))
    Broken.seen, Broken.raised = [], MemoryError
    with pytest.raises(MemoryError):
        part.run(Broken)
    assert Broken.seen[-1] == 3


def test_a_video_with_enough_against_it_gets_a_row_and_is_not_touched(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    (culprit,) = (line.video for line in part.lines if line.title == "T3")
    suspicious(part, *(Attempt(worker=f"a.{n}", alone=True, video=culprit) for n in range(2)))
    Broken.seen, Broken.raised = [], ZeroDivisionError
    mark = part.run(Broken)
    assert 3 not in Broken.seen
    assert (mark.failed, mark.retryable, mark.live) == ({"echo.internal": 1}, 1, 4)
    assert part.rows()["T4"].said == "T44"


def test_a_group_is_written_from_its_parts_rows_and_says_what_it_read(tmp_path: Path) -> None:
    files(tmp_path, [1, 2, 3])
    workspace = ready(config(tmp_path), "measure", "echo", "total", "share")
    job = workspace.job
    stage = Pack(job.config.stage("pack"), job.context)
    mark = run_group(job, stage, "00000", UnitTimer())
    found = workspace.refreshed().found("pack", "00000")
    assert found is not None
    lines = job.store.files.read(f"{job.store.group_folder(found[0], mark.files)}/lines.txt").decode().splitlines()
    order = [line for part in workspace.plan.parts for line in workspace.lines[part]]
    sizes = {line.url: (int(line.url[0]) + 1) for line in order}
    assert lines == [f"{line.title}{sizes[line.url]} {round(sizes[line.url] / 6, 6)} " for line in order]
    assert mark.result == {"sha256": mark.files["lines.txt"], "lines": 3}
    assert {key.rpartition("/")[2] for key in mark.inputs} == {"echo", "share", "manifest"}
    assert {key.partition("/")[0] for key in mark.inputs} == set(workspace.plan.parts)


def test_a_group_waits_for_what_it_reads(tmp_path: Path) -> None:
    files(tmp_path, [1, 2, 3])
    job = prepared(config(tmp_path)).job
    with pytest.raises(NotReady, match="pack, group 00000"):
        run_group(job, Pack(job.config.stage("pack"), job.context), "00000", UnitTimer())


def test_a_stage_is_given_the_result_over_the_corpus(tmp_path: Path) -> None:
    files(tmp_path, [1, 2, 5])
    workspace: Workspace = ready(config(tmp_path), "measure", "echo", "total", "share")
    assert workspace.job.context.result("total", TotalSize) == TotalSize(size=8)
    shares = [row.share for part in workspace.plan.parts for row in workspace.rows("share", part, ShareRow)]
    assert sorted(shares) == [0.125, 0.25, 0.625]
    assert Share.inputs(workspace.config.stage("share"))[2].stage == "total"


def test_seconds_of_media_are_those_that_the_first_stages_counted(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    assert part.job.media_seconds(part.part) == 0 + 1 + 2 + 3 + 4
    assert part.job.media_seconds("00000") == 0.0


def test_a_machine_with_another_model_than_the_plan_had_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = PartOfFive(tmp_path)
    monkeypatch.setattr(Echo, "revision", lambda _: "small@2")
    with pytest.raises(StageSetupError, match=r"planned with 'small@1', but .* has 'small@2'; install the same"):
        part.job.ready_stage("echo")
    assert isinstance(part.job.ready_stage("measure"), Measure)


def test_a_job_travels_to_another_process(tmp_path: Path) -> None:
    import pickle

    job = PartOfFive(tmp_path).job
    copy: Job = pickle.loads(pickle.dumps(job))
    assert copy.config == job.config
    assert (copy.keys, copy.results, copy.groups) == (job.keys, job.results, job.groups)
    assert replace(copy, config=job.config) == job
