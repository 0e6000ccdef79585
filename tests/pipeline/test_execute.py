"""One part through one stage: joined by key, one row a video, failures and drops kept."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.config import RunConfig
from pipeline.execute import ContractBroken, Job, run_part
from pipeline.plan import make_plan
from pipeline.profile import Clock
from schemas.config import PartsConfig, StageConfig
from schemas.row import Row, RowError
from schemas.rows import ManifestRow, MediaRow
from stages.base import Context, Input, Stage, Video, VideoDropped, VideoFailed
from tests.manifests import table

COUNT = 5


class EchoRow(Row):
    """What `Echo` returns."""

    said: str = ""


class Echo(Stage[StageConfig, EchoRow]):
    """Says the media's name; fails, drops and breaks where the name asks for it."""

    name = "echo"
    version = 1
    reads = (Input("download"),)
    row = EchoRow
    Config = StageConfig

    def one(self, video: Video) -> EchoRow:
        said = video[MediaRow].media
        if said == "1":
            raise VideoFailed("bad_name", "one is no name")
        if said == "2":
            raise VideoDropped("boring")
        if said == "3":
            raise ZeroDivisionError("three is a bug")
        return EchoRow(video=video.key, said=said)


class Backwards(Echo):
    """Works on the whole part at once and returns its rows in another order."""

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        yield from reversed([self.guarded(video) for video in videos])


class Forgetful(Echo):
    """Loses a video."""

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        yield from [self.guarded(video) for video in videos][1:]


class Twice(Echo):
    """Returns each video twice."""

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        for video in videos:
            yield self.guarded(video)
            yield self.guarded(video)


class PartOfFive:
    """A work folder with one part whose `download` is done."""

    digests: ClassVar = {"download": "d", "echo": "e"}

    def __init__(self, work: Path, media: list[MediaRow] | None = None) -> None:
        self.keys = [f"{n:020x}" for n in range(COUNT)]
        config = RunConfig(manifest="-", work=str(work), output="-", parts=PartsConfig(videos=COUNT))
        self.job = Job(config, None, self.digests, {})
        rows = [ManifestRow(video=key, url=f"/{n}.mp4", source_id=str(n)) for n, key in enumerate(self.keys)]
        (self.part,) = make_plan(table(rows), self.job.store.plan, config.parts, seed=0).parts
        from pipeline.plan import part_rows

        self.order = [row.video for row in part_rows(self.job.store.plan, self.part)]
        found = media or [MediaRow(video=key, media=str(int(key, 16))) for key in self.order]
        self.job.store.commit("download", "d", self.part, MediaRow, found)

    def run(self, stage: type[Echo]) -> list[EchoRow]:
        run_part(self.job, stage(StageConfig(), Context(0, Path())), self.part, Clock())
        return list(self.job.store.rows("echo", "e", self.part, EchoRow))


def test_every_video_keeps_its_row_in_the_parts_order(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    assert [row.video for row in part.run(Echo)] == part.order


def test_a_failure_a_drop_and_a_bug_cost_one_video_each(tmp_path: Path) -> None:
    rows = {int(row.video, 16): row for row in PartOfFive(tmp_path).run(Echo)}
    assert rows[1].error == RowError(stage="echo", code="bad_name", message="one is no name")
    assert rows[2].dropped is not None
    assert rows[2].dropped.reason == "boring"
    assert rows[3].error is not None
    assert (rows[3].error.code, "three is a bug" in rows[3].error.message) == ("internal", True)
    assert [rows[n].said for n in (0, 4)] == ["0", "4"]


def test_a_stage_may_work_in_any_order(tmp_path: Path) -> None:
    assert PartOfFive(tmp_path / "a").run(Echo) == PartOfFive(tmp_path / "b").run(Backwards)


@pytest.mark.parametrize("stage", [Forgetful, Twice])
def test_a_stage_that_loses_or_doubles_a_video_commits_nothing(tmp_path: Path, stage: type[Echo]) -> None:
    part = PartOfFive(tmp_path)
    with pytest.raises(ContractBroken):
        part.run(stage)
    assert part.job.store.done("echo", "e") == set()


def test_an_earlier_error_is_passed_on_unchanged(tmp_path: Path) -> None:
    keys = PartOfFive(tmp_path / "order").order
    error = RowError(stage="download", code="not_found", message="gone")
    media = [MediaRow(video=keys[0], error=error), *(MediaRow(video=key, media="9") for key in keys[1:])]
    rows = PartOfFive(tmp_path / "part", media).run(Echo)
    assert rows[0] == EchoRow(video=keys[0], error=error)
    assert [row.said for row in rows[1:]] == ["9"] * 4


def test_rows_of_other_videos_are_refused(tmp_path: Path) -> None:
    media = [MediaRow(video=f"{n + 100:020x}", media="9") for n in range(COUNT)]
    with pytest.raises(ContractBroken, match="where the plan has"):
        PartOfFive(tmp_path, media).run(Echo)


def test_a_part_that_is_done_is_left_alone(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    part.run(Echo)
    file = part.job.store.folder("echo", "e") / f"part-{part.part}.parquet"
    before = file.stat().st_mtime_ns
    part.run(Backwards)
    assert file.stat().st_mtime_ns == before


def test_metrics_add_up(tmp_path: Path) -> None:
    part = PartOfFive(tmp_path)
    part.run(Echo)
    metrics = part.job.store.metrics("echo", "e", part.part)
    assert (metrics.videos, metrics.live) == (5, 2)
    assert metrics.failed == {"echo.bad_name": 1, "echo.internal": 1}
    assert metrics.dropped == {"echo.boring": 1}
