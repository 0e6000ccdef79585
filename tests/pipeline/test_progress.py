"""What a run tells of its progress."""

import io
from pathlib import Path

from rich.console import Console

from pipeline.plan import Plan, make_plan
from pipeline.progress import Advance, advance
from pipeline.status import StageStatus
from pipeline.terminal import TerminalListener
from schemas.config import PartsConfig
from tests.machine import config, files, ready
from tests.runs import Finished


def plan(folder: Path) -> Plan:
    return make_plan([f"{n:020x}" for n in range(7)], folder / "plan", PartsConfig(videos=4), 0)


def test_a_finished_part_brings_its_videos_and_seconds_of_media(demo_run: Finished) -> None:
    workspace = demo_run.workspace
    done = advance(workspace, "transcribe", workspace.plan.parts[0])
    assert (done.videos, done.failed, round(done.seconds)) == (1, 0, 52)


def test_failures_are_those_of_this_very_stage(tmp_path: Path) -> None:
    files(tmp_path, [1, 2])
    (tmp_path / "1.bin").unlink()
    workspace = ready(config(tmp_path), "measure", "echo")
    (part,) = workspace.plan.parts
    assert advance(workspace, "measure", part) == Advance("measure", part, 2, 1, 1.0)
    assert advance(workspace, "echo", part) == Advance("echo", part, 2, 0, 1.0)


def test_a_group_and_a_unit_that_came_undone_bring_nothing(tmp_path: Path) -> None:
    files(tmp_path, [1])
    workspace = ready(config(tmp_path))
    (part,) = workspace.plan.parts
    assert advance(workspace, "pack", "00000") == Advance("pack", "00000")
    workspace.invalidate("measure", [part])
    assert advance(workspace, "measure", part) == Advance("measure", part)


def listened(*done: Advance, folder: Path, to_do: int) -> str:
    """What is printed where there is no terminal."""
    printed = io.StringIO()
    listener = TerminalListener(Console(file=printed, width=160))
    listener.planned([StageStatus(stage="sample", units=to_do)], plan(folder), (), "ray")
    listener.started("/logs")
    for one in done:
        listener.advanced(one)
    listener.stop()
    return printed.getvalue()


def test_a_line_says_parts_videos_and_failures_where_there_is_no_terminal(tmp_path: Path) -> None:
    done = [Advance("sample", "a", 4, 1, 3600.0), Advance("sample", "b", 3, 0, 3600.0)]
    said = listened(*done, folder=tmp_path, to_do=2)
    assert "7 videos in 2 parts, 2 new" in said
    assert "Ray's logs: /logs" in said
    assert "sample: 2 of 2, 7 videos" in said
    assert "1 failed" in said


def test_a_stage_that_is_not_finished_has_no_line_yet(tmp_path: Path) -> None:
    assert "sample: " not in listened(Advance("sample", "a", 4, 1, 3600.0), folder=tmp_path, to_do=2)
