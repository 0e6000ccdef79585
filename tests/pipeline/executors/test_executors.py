"""Whatever runs the work, and in whatever order, the bytes are the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import preflight
from pipeline.executors.executor import UnitsMissing
from pipeline.executors.inline import IN_A_ROW, InlineExecutor
from pipeline.executors.ray import RayExecutor, StageWorker
from pipeline.executors.ray_session import ray_session
from pipeline.run import Selection, run
from pipeline.workspace import Work, Workspace, survey
from schemas.config import RunnerConfig
from stages.base import StageSetupError, Video
from storyloom.errors import RunFailed
from storyloom.fs.disk import DiskFiles
from tests import machine
from tests.machine import Echo, EchoRow, MeasureRow
from tests.runs import EVERYTHING, Finished, Recorder, clip, content_of, demo_config, run_quietly

PARTS = 3
PART_STAGES = ("download", "transcribe", "sample", "align", "score", "filter")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of three short videos, one of them without sound."""
    folder = tmp_path_factory.mktemp("clips")
    clip(folder / "a.mp4", 0, 9)
    clip(folder / "b.mp4", 9, 9)
    clip(folder / "c.mp4", 0, 3, "-an")
    (folder / "list.txt").write_text("a.mp4\nb.mp4\nc.mp4\n")
    return folder / "list.txt"


@pytest.fixture(scope="module")
def inline_run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("inline")
    config = demo_config(folder, f"manifest={clips}", "parts.videos=1", "filter.threshold=0.0", "runner.kind=inline")
    run_quietly(config)
    return Finished(config)


def test_parts_in_reverse_order_give_the_same_bytes(clips: Path, tmp_path: Path, inline_run: Finished) -> None:
    config = demo_config(tmp_path, f"manifest={clips}", "parts.videos=1", "filter.threshold=0.0", "runner.kind=inline")
    workspace = survey(config, write=True)
    assert len(workspace.plan.parts) == PARTS
    backwards = dict.fromkeys(PART_STAGES, workspace.plan.parts[::-1])
    done: list[tuple[str, str]] = []
    InlineExecutor().run(workspace, backwards, lambda stage, part: done.append((stage, part)))
    assert [part for stage, part in done if stage == "filter"] == list(workspace.plan.parts[::-1])
    run_quietly(config)
    assert content_of(config.output) == content_of(inline_run.config.output)
    tables = {name: digest for name, digest in content_of(config.work).items() if name.endswith(".parquet")}
    whole = content_of(inline_run.config.work)
    assert {name: whole[name] for name in tables} == tables


@pytest.mark.ray
@pytest.mark.slow
def test_ray_gives_the_same_bytes_as_inline(clips: Path, tmp_path: Path, inline_run: Finished) -> None:
    # Two parts at once in the workers with a model, as on a GPU.
    ahead = [f"{stage}.resources.parts_at_once=2" for stage in ("transcribe", "sample", "score")]
    config = demo_config(
        tmp_path, f"manifest={clips}", "parts.videos=1", "filter.threshold=0.0", "runner.kind=ray", *ahead
    )
    recorder = Recorder()
    run(config, EVERYTHING, recorder)
    assert content_of(config.work) == content_of(inline_run.config.work)
    assert content_of(config.output) == content_of(inline_run.config.output)
    assert sorted(recorder.done) == sorted(set(recorder.done))
    maps = PARTS + 1  # of `duplicates`, and its reduce
    assert len(recorder.done) == PARTS * len(PART_STAGES) + maps + 1


@pytest.mark.ray
@pytest.mark.slow
def test_a_stage_that_cannot_start_on_a_worker_ends_a_ray_run_with_its_reason(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "on_a_cluster", lambda _config: True)  # whose workers look for themselves
    config = demo_config(tmp_path, f"manifest={clips}", "runner.kind=ray", "sample.hwaccel=cuda")
    inline = config.model_copy(update={"runner": RunnerConfig(kind="inline")})
    run_quietly(inline, Selection(("download",)))
    with pytest.raises(RunFailed, match=r"sample\.hwaccel cuda cannot be used here .*; set it to none"):
        run(config, Selection(("sample",)), Recorder())


@pytest.mark.ray
@pytest.mark.slow
def test_ray_runs_small_stages_of_a_users_own_with_the_same_bytes(tmp_path: Path) -> None:
    machine.files(tmp_path, [1, 2, 3, 4, 5])
    by_inline = machine.config(tmp_path)
    by_ray = machine.config(tmp_path, work=str(tmp_path / "ray"), runner={"kind": "ray"})
    machine.ran(by_inline)
    machine.ran(by_ray)
    assert content_of(by_ray.work) == content_of(by_inline.work)


MACHINE_STAGES = ("measure", "echo")


@pytest.fixture
def small(tmp_path: Path) -> Workspace:
    """Eight parts of one video in small stages; nothing is done."""
    machine.files(tmp_path, range(1, 9))
    return machine.prepared(machine.config(tmp_path, parts={"videos": 1, "group": 8}))


def work(workspace: Workspace) -> Work:
    return dict.fromkeys(MACHINE_STAGES, workspace.plan.parts)


def run_inline(workspace: Workspace) -> list[tuple[str, str]]:
    done: list[tuple[str, str]] = []
    InlineExecutor().run(workspace, work(workspace), lambda stage, unit: done.append((stage, unit)))
    return done


def failing(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[str], Exception], *sizes: int, times: int = 10**6
) -> list[int]:
    """Let `echo` raise over files of these sizes, so many times; the sizes over which it did."""
    one = Echo.one
    raised: list[int] = []

    def one_or_failure(self: Echo, video: Video) -> EchoRow:
        size = video[MeasureRow].size
        if size in sizes and len(raised) < times:
            raised.append(size)
            raise make("on purpose")
        return one(self, video)

    monkeypatch.setattr(Echo, "one", one_or_failure)
    return raised


def test_inline_brings_each_unit_as_far_as_it_goes_before_the_next(small: Workspace) -> None:
    assert run_inline(small) == [(stage, part) for part in small.plan.parts for stage in MACHINE_STAGES]
    assert run_inline(small) == []


def test_inline_tries_what_failed_again_after_the_others(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ConnectionResetError, 3, times=1)
    (part,) = small.lines.parts_with(["2.bin"])
    done = run_inline(small)
    assert done[-1] == ("echo", part)
    assert len(done) == len(set(done)) == 16


def test_inline_narrows_a_bug_to_its_video_and_goes_on(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError, 3)
    assert len(run_inline(small)) == 16
    fresh = small.refreshed()
    summary = fresh.summaries.summary(fresh.done("echo").values())
    assert (summary.failed, summary.live, summary.retryable) == ({"echo.internal": 1}, 7, 1)


def test_inline_gives_up_a_part_whose_machine_never_mends_and_gives_no_video_up(
    small: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, ConnectionResetError, 3)
    with pytest.raises(UnitsMissing, match="ConnectionResetError: on purpose") as missing:
        run_inline(small)
    assert not missing.value.upstream
    assert len(small.refreshed().done("echo")) == 7


def test_inline_stops_after_several_failures_in_a_row(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    raised = failing(monkeypatch, ZeroDivisionError, *range(1, 9))
    with pytest.raises(UnitsMissing, match=f"{IN_A_ROW} parts in a row failed. Last: echo, .*ZeroDivisionError"):
        run_inline(small)
    assert len(raised) == IN_A_ROW


def test_a_full_disk_ends_an_inline_run_at_once_with_its_reason(
    small: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = failing(monkeypatch, lambda _: OSError(28, "No space left on device"), *range(1, 9))
    with pytest.raises(RunFailed, match=r"No space left on device\. Nothing is lost: mend that and run again"):
        run_inline(small)
    assert len(raised) == 1


def test_a_stage_that_cannot_start_ends_an_inline_run_with_its_reason(
    small: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def setup(_: Echo) -> None:
        raise StageSetupError("echo has no model")

    monkeypatch.setattr(Echo, "setup", setup)
    with pytest.raises(RunFailed, match=r"^echo has no model$"):
        run_inline(small)


def test_a_damaged_input_is_done_again_on_the_way(small: Workspace) -> None:
    InlineExecutor().run(small, {"measure": small.plan.parts}, lambda *_: None)
    table = sorted(Path(small.config.work, "measure").glob("*/*.rows.parquet"))[3]
    whole = table.read_bytes()
    table.write_bytes(whole[:-20])
    done = run_inline(small.refreshed())
    assert len([stage for stage, _ in done if stage == "echo"]) == 8
    assert [stage for stage, _ in done].count("measure") == 1
    assert table.read_bytes() == whole


@pytest.mark.ray
@pytest.mark.slow
def test_ray_tells_each_unit_once_and_leaves_alone_what_is_done(small: Workspace) -> None:
    InlineExecutor().run(small, {"measure": small.plan.parts[:3]}, lambda *_: None)
    done: list[tuple[str, str]] = []
    with ray_session(""):
        RayExecutor(MACHINE_STAGES).run(small, work(small), lambda stage, unit: done.append((stage, unit)))
    assert len(done) == len(set(done)) == 16 - 3


def test_rows_are_heavy_enough_to_have_a_node_where_media_are_brought_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.files(tmp_path, range(2))
    workspace = machine.prepared(machine.config(tmp_path))
    batch = {"unit": [workspace.plan.parts[0]], "problem": [""], "severity": [""]}

    def weight() -> int:
        made = StageWorker(workspace.job, "measure", frozenset())(batch)
        return sum(len(str(value)) if isinstance(value, str) else len(value) for (value,) in made.values())

    assert weight() < 1000
    monkeypatch.setattr(DiskFiles, "cached", True)
    assert weight() > 102_400
