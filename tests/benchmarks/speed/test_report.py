"""Turns, medians and ratios of the speed bench, and how they are printed."""

from __future__ import annotations

import pytest

from benchmarks.speed.environments import PeerReport
from benchmarks.speed.memory import Peak
from benchmarks.speed.report import Machine, SpeedReport, markdown, ratio
from benchmarks.speed.rounds import Comparison, Contender, Side, SideFailed, interleaved


def report(*sides: Side, peers: list[PeerReport] | None = None, memory: list[Peak] | None = None) -> SpeedReport:
    return SpeedReport(
        command="storyloom bench speed",
        machine=Machine(system="Linux", cpu="A", cores=2, memory_gibibytes=8.0, gpu="none"),
        versions={"torch": "2"},
        rounds=3,
        videos=["some/talk.mp4"],
        settings={"beam": "5"},
        limits={"decoding": "ffmpeg -i VIDEO"},
        comparisons=[Comparison(work="sample", media_seconds=60.0, sides=list(sides))],
        startup=Comparison(work="start-up", media_seconds=0.0, sides=[]),
        memory=memory or [],
        peers=peers or [],
    )


def cells(lines: list[str], name: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_sides_take_turns() -> None:
    order: list[str] = []

    def work(name: str) -> float:
        order.append(name)
        return float(10 * len(order))

    sides = interleaved(
        [Contender("a", "limit", lambda: work("a")), Contender("b", "ours", lambda: work("b"))],
        rounds=3,
    )
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert [side.seconds for side in sides] == [[10.0, 30.0, 50.0], [20.0, 40.0, 60.0]]


def test_a_side_that_fails_leaves_the_turns_to_the_others() -> None:
    turns: list[int] = []

    def fails() -> float:
        turns.append(1)
        raise SideFailed("no weights")

    bad, good = interleaved([Contender("bad", "peer", fails), Contender("good", "ours", lambda: 10.0)], rounds=3)
    assert (bad.failed, bad.median, len(turns)) == ("no weights", None, 1)
    assert good.seconds == [10.0, 10.0, 10.0]


@pytest.mark.parametrize(("seconds", "rounds"), [(0.001, 24), (1.0, 6), (30.0, 3)])
def test_short_work_is_measured_more_often(seconds: float, rounds: int) -> None:
    limit, ours = interleaved([Contender(name, "ours", lambda: seconds) for name in "ab"], rounds=3)
    assert len(limit.seconds) == len(ours.seconds) == rounds


def test_one_slow_round_does_not_move_the_median() -> None:
    assert Side(name="a", kind="ours", seconds=[1.0, 9.0, 1.1]).median == 1.1


def test_ratios_say_how_many_times_as_long_the_other_side_took() -> None:
    lines = list(
        markdown(
            report(
                Side(name="bare", kind="limit", seconds=[3.0]),
                Side(name="sample", kind="ours", seconds=[2.0]),
                Side(name="slow", kind="ours", seconds=[6.0]),
                Side(name="tool", kind="peer", seconds=[8.0], setup_seconds=4.0),
            )
        )
    )
    assert cells(lines, "bare")[5:8] == ["20.0", "–", "–"]
    assert cells(lines, "sample")[5:8] == ["30.0", "1.50", "–"]
    assert cells(lines, "slow")[6] == "0.50"
    assert cells(lines, "tool")[6:] == ["–", "4.00", "4.0"]


def test_a_side_that_failed_is_printed_with_its_reason() -> None:
    failed = Side(name="tool", kind="peer", seconds=[1.0], failed="ImportError: numpy")
    lines = list(markdown(report(Side(name="sample", kind="ours", seconds=[2.0]), failed)))
    assert cells(lines, "tool")[2] == "failed"
    assert "tool did not get to the end: ImportError: numpy" in lines


def test_what_a_peer_cannot_do_is_said_even_when_it_ran() -> None:
    ran = PeerReport(name="tool", work="whole", does="Frames.", cannot="No shards.", versions={"tool": "1.0"})
    broken = PeerReport(name="other", work="whole", does="All.", cannot="Nothing.", failed="not installed: no wheel")
    text = "\n".join(markdown(report(peers=[ran, broken])))
    assert "**tool**: Frames. No shards. Compared in: whole; tool 1.0." in text
    assert "Not run: not installed: no wheel" in text


def test_memory_is_printed_when_it_was_measured() -> None:
    peak = Peak(stage="sample", hours=2.0, worker_mebibytes=300.4, with_children_mebibytes=512.6, seconds=60.0)
    assert cells(list(markdown(report(memory=[peak]))), "sample")[1:] == ["2", "300", "513", "60"]


def test_a_report_comes_back_from_its_json() -> None:
    one = report(Side(name="sample", kind="ours", seconds=[2.0]), memory=[Peak(stage="sample", hours=1.0)])
    assert SpeedReport.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize(("other", "one"), [(None, 1.0), (1.0, None), (1.0, 0.0)])
def test_there_is_no_ratio_without_both_sides(other: float | None, one: float | None) -> None:
    assert ratio(other, one) is None
