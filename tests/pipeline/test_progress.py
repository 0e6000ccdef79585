"""What a run tells of its progress."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from pipeline.attempts import doing, remove_notes
from pipeline.plan import Plan, make_plan
from pipeline.preview import preview
from pipeline.progress.estimate import Estimate, estimate, unit_seconds
from pipeline.progress.listener import Advance, advance
from pipeline.progress.pace import Pace, about
from pipeline.progress.terminal import TerminalListener
from pipeline.run import Selection, run
from pipeline.status import StageStatus, status
from pipeline.workspace import survey
from schemas.config import PartsConfig
from storyloom.fs.files import files_at
from tests.machine import Echo, Measure, config, files, prepared, ran, ready
from tests.runs import EVERYTHING, Finished, Recorder, content_of


def plan(folder: Path) -> Plan:
    return make_plan([f"{n:020x}" for n in range(7)], files_at(folder), PartsConfig(videos=4), 0)


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


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Told:
    """A listener off a terminal or on one, the pace of two stages, and what is printed."""

    folder: Path
    terminal: bool = False
    units: int = 10
    price: float = 0.0
    clock: Clock = field(default_factory=Clock)
    printed: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        console = Console(file=self.printed, width=80 if self.terminal else 300, force_terminal=self.terminal)
        self.listener = TerminalListener(console, price=self.price, models={"score"})
        self.pace = Pace({"sample": self.units, "score": self.units}, self.clock)
        stages = [StageStatus(stage=name, units=self.units) for name in ("sample", "score")]
        self.listener.planned(stages, plan(self.folder), (), "ray")
        self.listener.started("/logs", self.pace)

    def done(self, stage: str, seconds: float, media: float = 0.0, failed: int = 0) -> None:
        """A part is finished after so many seconds."""
        self.clock.now += seconds
        one = Advance(stage, f"{self.clock.now}", 4, failed, media)
        self.pace.add(one)
        self.listener.advanced(one)

    @property
    def text(self) -> str:
        self.listener.stop()
        return self.printed.getvalue()


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[Told]:
    yield (told := Told(tmp_path))
    told.listener.stop()


def test_a_line_says_when_what_and_how_many_where_there_is_no_terminal(tmp_path: Path) -> None:
    told = Told(tmp_path, units=2)
    told.done("sample", 30.0, 3600.0, failed=1)
    told.done("sample", 3600.0, 3600.0)
    assert "7 videos in 2 parts, 2 new" in told.text
    assert "Ray's logs: /logs" in told.text
    assert "\n1:00:30  sample: 2 of 2, 8 videos, 1.0 media h/h, 1 failed\n" in told.text
    assert "score" not in told.text.partition("Ray's logs")[2]


def test_a_stage_that_loads_its_model_says_so_once(piped: Told) -> None:
    piped.clock.now += 4.0
    for _ in range(3):
        piped.listener.works({"score": "setup", "sample": "work"})
    assert piped.text.count("0:00:04  score: loading the model\n") == 1
    assert "sample: loading" not in piped.text
    piped.listener.works({"sample": "setup"})
    assert "0:00:04  sample: starting\n" in piped.text


def test_lines_come_each_minute_of_the_stages_that_work_and_of_the_time_left(piped: Told) -> None:
    for _ in range(4):
        piped.done("sample", 9.0, 360.0)
        piped.done("score", 1.0)
    piped.listener.works({"sample": "work"})
    assert "sample: 4" not in piped.text
    piped.clock.now += 25.0
    piped.listener.works({"sample": "work"})
    assert "\n0:01:05  sample: 4 of 10, 16 videos, 19.3 media h/h\n" in piped.text  # 18 min in the last 56 s
    assert "\n0:01:05  about 1 min left\n" in piped.text.replace("about 60 s", "about 1 min")
    piped.listener.works({"sample": "work"})
    assert piped.text.count("sample: 4 of 10") == 1


def test_bars_say_which_stage_works_and_what_is_left(tmp_path: Path) -> None:
    told = Told(tmp_path, terminal=True)
    for _ in range(3):
        told.done("sample", 60.0, 360.0)
    told.listener.works({"sample": "work", "score": "setup"})
    last = told.text.rpartition("> sample")[2]
    assert "> score" in last
    assert "loading the model" in last
    assert "0:03:00, about 7 min left, without score" in last
    assert max(len(Text.from_ansi(line).plain) for line in told.text.splitlines()) <= 80


def test_the_speed_is_that_of_the_last_parts() -> None:
    clock = Clock()
    pace = Pace({"score": 1000}, clock)
    for seconds in [100.0] * 50 + [1.0] * 40:
        clock.now += seconds
        pace.add(Advance("score", "x", 1, 0, 10.0))
    assert round(pace.stages["score"].speed(clock()), 3) == 10.0
    assert pace.left() == (910.0, ())


def test_the_times_of_all_stages_add_up_to_that_of_the_run() -> None:
    clock = Clock()
    pace = Pace({"sample": 10, "score": 10}, clock)
    for _ in range(5):
        for stage, seconds in (("sample", 0.0), ("score", 10.0)):  # two that are found together, as on Ray
            clock.now += seconds
            pace.add(Advance(stage, "x", 1))
    assert pace.left()[0] == pytest.approx(50.0, rel=0.1)


def test_a_model_that_takes_long_to_load_is_not_in_the_time_left() -> None:
    clock = Clock()
    pace = Pace({"score": 10}, clock)
    for seconds in (1000.0, 1.0, 1.0):
        clock.now += seconds
        pace.add(Advance("score", "x", 1))
    assert pace.left() == (7.0, ())


def test_an_earlier_run_tells_of_stages_that_have_not_begun() -> None:
    pace = Pace({"sample": 10, "score": 10, "write": 1}, Clock(), {"sample": 2.0, "write": 5.0})
    assert pace.left() == (25.0, ("score",))


def test_the_result_over_the_parts_is_none_of_them() -> None:
    pace = Pace({"calibrate": 2}, Clock())
    for unit in ("a", "b", "corpus"):
        stage = pace.add(Advance("calibrate", unit))
    assert (stage.done, stage.left) == (2, 0)
    alone = Pace({"calibrate": 1}, Clock())
    assert alone.add(Advance("calibrate", "corpus")).left == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "about 1 s"),
        (59.0, "about 59 s"),
        (600.0, "about 10 min"),
        (9000.0, "about 2.5 h"),
        (9e5, "about 10 days"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert about(seconds) == words


def test_an_estimate_says_after_how_many_parts_and_what_it_costs(tmp_path: Path) -> None:
    told = Told(tmp_path, price=6.0, units=200)
    for _ in range(3):
        told.done("sample", 60.0)
    told.listener.estimated(Estimate(3, 200, 12.5, 34_000_000_000, 2_000_000_000, 41.0, 380.0))
    assert (
        "0:03:00  after 3 of 200 parts; all will be about 12 h of media, 34.0 GB of work, 2.0 GB of shards; so far 41"
        " documents and 380 frames an hour of media; about 3.3 h left, without score; this run costs about 20 at 6 an"
        " hour\n" in told.text
    )


def test_an_estimate_is_in_plain_numbers(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.listener.estimated(Estimate(1, 1, 0.0086, 3_000_000, 0, 2.5, 1050.0))
    assert "all will be about 31 s of media" in told.text
    assert "so far 2.5 documents and 1,050 frames an hour of media" in told.text


def test_what_is_finished_tells_what_all_will_be(tmp_path: Path) -> None:
    files(tmp_path, [360] * 10)
    ran(config(tmp_path, parts={"videos": 2, "group": 2, "limit": 4}))
    found = estimate(survey(config(tmp_path)))
    assert found is not None
    assert (found.parts, found.of, found.hours, found.documents) == (2, 5, 1.0, None)
    whole = sum(file.stat().st_size for file in (tmp_path / "work").glob("[mets]*/*/part-*"))
    assert found.work > 2 * whole
    assert estimate(survey(config(tmp_path, work=str(tmp_path / "new")))) is None


def test_a_run_keeps_its_speeds_and_gives_the_same_without_them(tmp_path: Path) -> None:
    files(tmp_path, [10] * 10)
    found, clock = config(tmp_path), Clock()

    def tick() -> float:
        clock.now += 1.0
        return clock.now

    run(found, EVERYTHING, Recorder(), tick)
    assert unit_seconds(survey(found)).keys() >= {"measure", "echo"}
    assert all(seconds > 0.0 for seconds in unit_seconds(survey(found)).values())
    before = content_of(found.work)
    (tmp_path / "work" / "speeds.json").write_text("no JSON")
    run(found, Selection(force=True), Recorder())
    assert content_of(found.work) == before


def test_a_dry_run_says_on_what_and_for_how_long(tmp_path: Path) -> None:
    files(tmp_path, [360] * 10)
    run(config(tmp_path, parts={"videos": 2, "group": 2, "limit": 6}), EVERYTHING, Recorder(), Clock())
    printed = io.StringIO()
    preview(config(tmp_path), EVERYTHING, TerminalListener(Console(file=printed, width=160)))
    assert "runner inline: in this process (runner.kind)" in printed.getvalue()
    assert "  echo with small@1\n" in printed.getvalue()
    assert "after 3 of 5 parts; all will be about 60 min of media" in printed.getvalue()


def test_what_stages_do_is_seen_in_the_work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []
    files(tmp_path, [10])
    workspace = prepared(config(tmp_path))
    keys = {name: key.key for name, key in workspace.job.keys.items()}

    def look(*_: object) -> None:
        seen.append(dict(doing(workspace.job.store.files, keys)))

    monkeypatch.setattr(Measure, "setup", look)
    monkeypatch.setattr(Measure, "outside", lambda _: "")
    monkeypatch.setattr(Echo, "setup", look)
    ran(config(tmp_path))
    assert seen == [{"measure": "setup"}, {"echo": "setup"}]
    assert doing(workspace.job.store.files, keys) == {}


def test_a_note_of_a_killed_process_goes(tmp_path: Path) -> None:
    note = tmp_path / "attempts" / "score" / "0123456789abcdef" / "setup.elsewhere.1"
    note.parent.mkdir(parents=True)
    note.touch()
    assert doing(files_at(tmp_path), {"score": "0123456789abcdef"}) == {"score": "setup"}
    remove_notes(files_at(tmp_path))
    assert not note.exists()


def test_steps_over_the_corpus_count_their_parts_alone(tmp_path: Path) -> None:
    files(tmp_path, [1, 2, 3, 4])
    units = {one.stage: (one.done, one.units, one.to_do) for one in status(ready(config(tmp_path), "measure"))}
    assert units["total"] == (0, 2, 2)
    workspace = ready(config(tmp_path), "measure", "total")
    assert next((one.done, one.units, one.to_do) for one in status(workspace) if one.stage == "total") == (2, 2, 0)
    workspace = replace(workspace, job=replace(workspace.job, results={}))
    assert next((one.done, one.units, one.to_do) for one in status(workspace) if one.stage == "total") == (2, 2, 1)
