"""A worker: whose fault a failure is, what it does about it, and how it goes on."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.attempts import Attempt
from pipeline.store import Mark
from pipeline.worker import LONGEST_PAUSE, Problem, Worker
from pipeline.workspace import Workspace
from stages.base import InputMissing, StageSetupError, Video
from stages.media.sandbox import Limits, Program, child
from storyloom.format.sample import FormatError
from tests.machine import Echo, EchoRow, Measure, MeasureConfig, MeasureRow, Pack, config, files, prepared, ready

SetTrouble = Callable[..., None]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three parts of two videos, whose files have 0 to 5 bytes; `measure` is done."""
    files(tmp_path, range(6))
    return ready(config(tmp_path), "measure")


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> SetTrouble:
    """`trouble(make, *sizes)`: `echo` raises what `make` makes over files of these sizes, or over all."""
    one = Echo.one

    def set_trouble(make: Callable[[], BaseException], *sizes: int) -> None:
        def one_or_trouble(self: Echo, video: Video) -> EchoRow:
            if not sizes or video[MeasureRow].size in sizes:
                raise make()
            return one(self, video)

        monkeypatch.setattr(Echo, "one", one_or_trouble)

    return set_trouble


@pytest.fixture
def setups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A name for each time that a stage was set up."""
    found: list[str] = []
    monkeypatch.setattr(Echo, "setup", lambda self: found.append(self.name))
    return found


def worker(workspace: Workspace, pauses: list[float] | None = None) -> Worker:
    return Worker(workspace.job, "echo", None if pauses is None else pauses.append)


def done(outcome: Mark | Problem) -> Mark:
    assert isinstance(outcome, Mark), outcome
    return outcome


def failed(outcome: Mark | Problem) -> Problem:
    assert isinstance(outcome, Problem), outcome
    return outcome


def part_with(workspace: Workspace, size: int) -> str:
    (part,) = workspace.lines.parts_with([f"{size}.bin"])
    return part


def test_a_stage_is_set_up_once_for_many_units(workspace: Workspace, setups: list[str]) -> None:
    one = worker(workspace)
    marks = [done(one.do(part)) for part in workspace.plan.parts]
    assert [mark.videos for mark in marks] == [2, 2, 2]
    assert setups == ["echo"]


def test_a_bug_fails_the_attempt_sets_the_stage_up_anew_and_the_next_unit_is_done(
    workspace: Workspace, trouble: SetTrouble, setups: list[str]
) -> None:
    trouble(lambda: ZeroDivisionError("three is a bug"), 3)
    one = worker(workspace)
    bad = part_with(workspace, 3)
    good = next(part for part in workspace.plan.parts if part != bad)
    problem = failed(one.do(bad))
    assert (problem.severity, problem.poisoned) == ("again", False)
    assert problem.text == f"echo, {bad}: ZeroDivisionError: three is a bug"
    assert done(one.do(good)).videos == 2
    assert setups == ["echo", "echo"]


def test_a_bug_is_narrowed_to_its_video_which_alone_is_given_up(workspace: Workspace, trouble: SetTrouble) -> None:
    trouble(lambda: ZeroDivisionError("three is a bug"), 3)
    one = worker(workspace)
    bad = part_with(workspace, 3)
    outcomes = [one.do(bad) for _ in range(5)]
    assert [failed(outcome).severity for outcome in outcomes[:4]] == ["again", "again", "narrowed", "narrowed"]
    mark = done(outcomes[4])
    assert (mark.videos, mark.live, mark.failed, mark.retryable) == (2, 1, {"echo.internal": 1}, 1)
    assert one.job.attempts("echo", bad).ended() == []


@pytest.mark.parametrize(
    "message", ["CUDA error: an illegal memory access was encountered", "CUDA out of memory. Tried to allocate 2 GiB"]
)
def test_a_device_error_poisons_the_process_and_is_no_videos_fault(
    workspace: Workspace, trouble: SetTrouble, message: str
) -> None:
    trouble(lambda: RuntimeError(message), 3)
    one = worker(workspace)
    bad = part_with(workspace, 3)
    problems = [failed(one.do(bad)) for _ in range(10)]
    assert all(problem.poisoned for problem in problems)
    assert {problem.severity for problem in problems} == {"again"}
    trouble(ZeroDivisionError, 77)  # the device is sound again
    assert done(one.do(bad)).live == 2


def test_a_disk_error_never_gives_a_video_up(workspace: Workspace, trouble: SetTrouble) -> None:
    trouble(lambda: ConnectionResetError("the file server is away"), 3)
    one = worker(workspace)
    bad = part_with(workspace, 3)
    problems = [failed(one.do(bad)) for _ in range(12)]
    assert {(problem.severity, problem.poisoned) for problem in problems} == {("again", False)}
    trouble(ZeroDivisionError, 77)
    assert done(one.do(bad)).live == 2


def test_a_full_disk_is_said_to_be_the_machines(workspace: Workspace, trouble: SetTrouble) -> None:
    trouble(lambda: OSError(28, "No space left on device"))
    problem = failed(worker(workspace).do(workspace.plan.parts[0]))
    assert (problem.severity, problem.poisoned) == ("machine", False)
    assert "No space left on device" in problem.text


@pytest.mark.parametrize("make", [MemoryError, None], ids=["memory", "a killed child"])
def test_want_of_memory_counts_little_and_six_times_give_nobody_up(
    workspace: Workspace, trouble: SetTrouble, monkeypatch: pytest.MonkeyPatch, make: type[Exception] | None
) -> None:
    def killed_child(self: Echo, video: Video) -> EchoRow:
        with child(Program("/bin/sh", ("-c", "kill -KILL $$")), Limits(60.0, 2**33)) as output:
            output.read()
        raise AssertionError

    if make is None:
        monkeypatch.setattr(Echo, "one", killed_child)
    else:
        trouble(make)
    one = worker(workspace)
    part = workspace.plan.parts[0]
    problems = [failed(one.do(part)) for _ in range(6)]
    assert [problem.severity for problem in problems] == ["again", "again", *["narrowed"] * 4]
    monkeypatch.undo()
    assert done(one.do(part)).live == 2


def test_pauses_grow_with_failures_in_a_row_and_end_with_the_first_success(
    workspace: Workspace, trouble: SetTrouble
) -> None:
    pauses: list[float] = []
    one = worker(workspace, pauses)
    trouble(lambda: ConnectionResetError("away"))
    for _ in range(9):
        failed(one.do(workspace.plan.parts[0]))
    assert pauses == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    trouble(ZeroDivisionError, 77)
    done(one.do(workspace.plan.parts[1]))
    trouble(lambda: ConnectionResetError("away"))
    failed(one.do(workspace.plan.parts[0]))
    assert pauses[-1] == 0.0


def test_a_damaged_input_is_forgotten_so_that_it_is_done_again(workspace: Workspace, tmp_path: Path) -> None:
    part = workspace.plan.parts[0]
    found = workspace.found("measure", part)
    assert found is not None
    assert found[1] is not None
    table = tmp_path / "work" / workspace.job.store.table_file(found[0], "rows", found[1].tables["rows"])
    table.write_bytes(table.read_bytes()[:-9])
    one = worker(workspace)
    problem = failed(one.do(part))
    assert problem.severity == "upstream"
    assert "was changed since it was written; it is done again" in problem.text
    assert workspace.refreshed().done("measure").keys() == set(workspace.plan.parts) - {part}
    assert failed(one.do(part)).text.endswith("what it reads is not done any more")
    done(Worker(workspace.job, "measure", None).do(part))
    assert done(one.do(part)).live == 2
    assert one.job.attempts("echo", part).ended() == []


def test_what_a_stage_left_outside_its_rows_and_is_gone_makes_that_stage_do_the_part_again(
    workspace: Workspace, trouble: SetTrouble
) -> None:
    trouble(lambda: InputMissing("measure", "media/3.mp4 is gone"), 3)
    part = part_with(workspace, 3)
    problem = failed(worker(workspace).do(part))
    assert (problem.severity, "media/3.mp4 is gone" in problem.text) == ("upstream", True)
    assert part not in workspace.refreshed().done("measure")


def test_what_no_other_machine_has_is_brought_back_by_the_worker_that_misses_it(
    workspace: Workspace, trouble: SetTrouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once() -> BaseException:
        trouble(ZeroDivisionError, 77)
        return InputMissing("measure", "media/3.mp4 is gone")

    monkeypatch.setattr(MeasureConfig, "files_stay_here", True)
    trouble(once, 3)
    assert done(worker(workspace).do(part_with(workspace, 3))).live == 2


def test_what_goes_again_as_often_as_it_is_brought_back_ends_the_run_and_says_what_is_too_small(
    workspace: Workspace, trouble: SetTrouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def always() -> BaseException:
        tries.append(1)
        return InputMissing("measure", "media/3.mp4 is gone")

    monkeypatch.setattr(MeasureConfig, "files_stay_here", True)
    trouble(always, 3)
    problem = failed(worker(workspace).do(part_with(workspace, 3)))
    assert (problem.severity, len(tries)) == ("final", 4)
    assert "media/3.mp4 is gone" in problem.text
    assert "Raise STORYLOOM_CACHE_BYTES, or let measure.keep be until_used" in problem.text


def test_a_stage_is_told_once_all_that_read_its_files_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(MeasureConfig, "files_go", True)
    monkeypatch.setattr(Measure, "spent", lambda _, rows: told.append(tuple(row.video for row in rows)))
    files(tmp_path, range(4))
    workspace = ready(config(tmp_path), "measure", "echo", "total")
    assert told == []
    for part in workspace.plan.parts:
        done(Worker(workspace.job, "share", None).do(part))
    assert told == [workspace.plan.members[part] for part in workspace.plan.parts]


def test_a_stage_that_cannot_start_is_a_final_problem_with_its_reason(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def setup(_: Echo) -> None:
        raise StageSetupError("echo.model 'small' is nowhere; install it")

    monkeypatch.setattr(Echo, "setup", setup)
    one = worker(workspace)
    assert one.set_up() == one.do(workspace.plan.parts[0])
    assert one.set_up() == Problem("echo.model 'small' is nowhere; install it", "final")


def test_a_bug_in_setup_is_a_final_problem_with_its_message(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def setup(_: Echo) -> None:
        raise KeyError("weights")

    monkeypatch.setattr(Echo, "setup", setup)
    assert worker(workspace).set_up() == Problem("echo cannot start: KeyError: 'weights'", "final")


def test_a_broken_contract_is_a_final_problem(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Echo, "process", lambda *_: iter(()))
    problem = failed(worker(workspace).do(workspace.plan.parts[0]))
    assert problem.severity == "final"
    assert "echo ended before it took" in problem.text


def test_a_document_that_breaks_the_format_is_a_final_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: object) -> None:
        raise FormatError("key-0000", "frame_time", "it is another frame's")

    files(tmp_path, [1, 2])
    workspace = ready(config(tmp_path), "measure", "echo", "total", "share")
    monkeypatch.setattr(Pack, "write", write)
    problem = failed(Worker(workspace.job, "pack", None).do("00000"))
    assert problem.severity == "final"
    assert "key-0000" in problem.text


def test_the_attempt_of_a_worker_that_was_killed_goes_once_its_group_is_done(tmp_path: Path) -> None:
    files(tmp_path, [1, 2])
    workspace = ready(config(tmp_path), "measure", "echo", "total", "share")
    workspace.job.attempts("pack", "00000").begin(Attempt(worker="another machine.1#1"))
    done(Worker(workspace.job, "pack", None).do("00000"))
    assert not list(Path(workspace.config.work, "attempts", "pack").rglob("*.json"))


def test_ctrl_c_is_no_attempt_and_goes_on_upward(workspace: Workspace, trouble: SetTrouble) -> None:
    trouble(KeyboardInterrupt)
    one = worker(workspace)
    part = workspace.plan.parts[0]
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            one.do(part)
    assert one.job.attempts("echo", part).ended() == []
    assert one.job.store.files.entries(one.job.attempts_folder("echo")) == []


def test_a_unit_that_is_not_ready_is_waited_for(tmp_path: Path) -> None:
    files(tmp_path, [1, 2])
    workspace = prepared(config(tmp_path))
    assert failed(worker(workspace).do(workspace.plan.parts[0])).severity == "upstream"


def test_a_stage_is_made_anew_for_another_result_over_the_corpus_and_for_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path, [1, 2, 3, 4])
    workspace = ready(config(tmp_path), "measure", "echo", "total")
    made: list[str] = []
    for kind in (Measure, Echo):
        monkeypatch.setattr(kind, "setup", lambda self: made.append(self.name))
    one = Worker(workspace.job, "share", None)
    first = done(one.do(workspace.plan.parts[0]))
    files(tmp_path, [1, 2, 3, 5])
    again = ready(config(tmp_path), "measure", "echo", "total")
    one.use(again.job)
    second = done(one.do(workspace.plan.parts[0]))
    assert first.inputs["total"] != second.inputs["total"]
    echo = worker(workspace)
    echo.do(workspace.plan.parts[0])
    before = len(made)
    echo.use(again.job)
    echo.do(workspace.plan.parts[1])
    assert len(made) == before


def test_two_threads_have_a_unit_each_in_hand_and_load_the_model_once(
    workspace: Workspace, setups: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2, timeout=60)
    one = Echo.one

    def one_together(self: Echo, video: Video) -> EchoRow:
        together.wait()
        return one(self, video)

    monkeypatch.setattr(Echo, "one", one_together)
    both = worker(workspace)
    with ThreadPoolExecutor(2) as pool:
        marks = list(pool.map(both.do, workspace.plan.parts[:2]))
    assert [done(mark).live for mark in marks] == [2, 2]
    assert setups == ["echo"]
