"""What a run tells of its pace and of its end."""

import io
from pathlib import Path

from rich.console import Console

from pipeline.plan import Plan
from pipeline.progress import LEAST_FOR_A_TAIL, Advance, Pace, advance
from pipeline.status import StageStatus
from pipeline.terminal import TerminalListener
from tests.runs import Finished


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_tail_is_the_last_twentieth_of_the_media_and_names_its_videos(demo_run: Finished) -> None:
    situation, clock = demo_run.situation, Clock()
    pace = Pace(clock)
    for number in range(95):
        clock.now = float(number)
        pace.add(Advance("sample", "an early part", 1, 0, 10.0))
    for _ in range(5):
        clock.now += 60.0
        pace.add(Advance("sample", situation.plan.parts[0], 1, 0, 10.0))
    tail = pace.tail(situation.job)
    assert tail is not None
    assert (tail.seconds, tail.of) == (300.0, 394.0)
    ((name, seconds),) = tail.videos
    assert (name, round(seconds)) == ("narrated.mp4", 52)


def test_a_short_run_has_no_tail(demo_run: Finished) -> None:
    pace = Pace()
    for _ in range(LEAST_FOR_A_TAIL - 1):
        pace.add(Advance("sample", "part", 1, 0, 10.0))
    assert pace.tail(demo_run.situation.job) is None


def test_a_finished_part_brings_its_videos_and_seconds_of_media(demo_run: Finished) -> None:
    situation = demo_run.situation
    done = advance(situation.job, "transcribe", situation.plan.parts[0])
    assert (done.videos, done.failed, round(done.seconds)) == (1, 0, 52)


def test_a_line_says_parts_videos_and_failures_where_there_is_no_terminal(tmp_path: Path) -> None:
    del tmp_path
    printed = io.StringIO()
    listener = TerminalListener(Console(file=printed, width=160), frozenset({"sample"}))
    listener.planned([StageStatus(stage="sample", units=2)], Plan(("a", "b"), 7, 2), 0, "ray")
    listener.started("/logs")
    listener.advanced(Advance("sample", "a", 4, 1, 3600.0))
    listener.advanced(Advance("sample", "b", 3, 0, 3600.0))
    listener.stop()
    assert "Ray's logs: /logs" in printed.getvalue()
    assert "sample: 2 of 2, 7 videos" in printed.getvalue()
    assert "1 failed" in printed.getvalue()
