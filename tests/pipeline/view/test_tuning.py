"""Tuning: `filter` over recorded scores gives what a run gives, under the run's settings and under others."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.run import Selection
from pipeline.view.moves import WAYS, WHAT, Tuning
from pipeline.view.recorded import Recorded, Sentences, parts_recorded, recorded_part
from pipeline.view.tuning import Known, Retuned, results
from pipeline.workspace import Workspace
from schemas.media import MediaRow
from schemas.rows import AlignedRow, DocumentsRow, FramesRow, ScoresRow
from stages.base import Context, Stage, Video
from stages.filter.stage import Filter, FilterConfig
from storyloom.fs.files import files_at
from tests.pipeline.view.made import beside
from tests.runs import Finished, run_quietly

CHANGED = [
    ("filter.false_accept_rate=0.6", "filter.min_words=12", "filter.max_images=3"),
    ("filter.threshold=0.11", "filter.shift_cost=0.1"),
    ("filter.mode=time", "filter.max_silence=2"),
]


def videos_of(workspace: Workspace) -> list[Recorded]:
    return [video for part in parts_recorded(workspace) for video in recorded_part(workspace, part)]


def decided(workspace: Workspace, videos: Sequence[Recorded], config: FilterConfig) -> dict[str, DocumentsRow]:
    stage = Retuned(config, Context(0, files_at(""), results(workspace)))
    return {video.line.url: stage.decided(video, Known({}, {}))[0] for video in videos}


@pytest.fixture(scope="module", params=["demo_run", "clips_run"])
def finished(request: pytest.FixtureRequest) -> Finished:
    found: Finished = request.getfixturevalue(request.param)
    return found


def test_the_runs_own_settings_give_the_runs_own_rows(finished: Finished) -> None:
    workspace = finished.workspace
    config = workspace.config.section(FilterConfig)
    assert decided(workspace, videos_of(workspace), config) == finished.rows("filter")


@pytest.mark.parametrize("settings", CHANGED)
def test_other_settings_give_what_a_run_with_them_gives(
    clips_run: Finished, tmp_path: Path, settings: Sequence[str]
) -> None:
    changed = beside(clips_run, tmp_path, *settings)
    told = decided(clips_run.workspace, videos_of(clips_run.workspace), changed.config.section(FilterConfig))
    run_quietly(changed.config, Selection(only=("filter",)))
    assert told == changed.rows("filter")
    assert told != clips_run.rows("filter")


knobs = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["time", "clip"]),
        "shift_cost": st.floats(0.0, 5.0),
        "threshold": st.one_of(st.just("calibrated"), st.floats(-0.2, 0.5)),
        "false_accept_rate": st.floats(0.001, 0.9),
        "min_sharpness": st.floats(0.0, 2000.0),
        "min_words": st.integers(1, 40),
        "max_words": st.integers(1, 60),
        "max_images": st.integers(1, 12),
        "max_silence": st.floats(0.1, 20.0),
        "topic_similarity": st.floats(-1.0, 1.0),
    },
)


@pytest.fixture(scope="module")
def rows(demo_run: Finished) -> tuple[Workspace, Recorded, Video]:
    """The demo's video as it is recorded in arrays, and with the rows that the stage reads."""
    workspace = demo_run.workspace
    (part,) = workspace.plan.parts
    of: dict[str, Any] = {"align": AlignedRow, "score": ScoresRow, "sample": FramesRow, "download": MediaRow}
    found = [next(workspace.rows(name, part, model)) for name, model in of.items()]
    (recorded,) = videos_of(workspace)
    return workspace, recorded, Video(recorded.line, found)


@settings(max_examples=40)
@given(moves=st.lists(knobs, min_size=1, max_size=3))
def test_moves_one_after_the_other_give_what_the_stage_gives_each_time(
    rows: tuple[Workspace, Recorded, Video], moves: list[dict[str, Any]]
) -> None:
    workspace, recorded, video = rows
    context, known = Context(0, files_at(""), results(workspace)), Known({}, {})
    for move in moves:
        config = FilterConfig.model_validate(move)
        stage: Stage[Any, Any] = Filter(config, context)
        assert Retuned(config, context).decided(recorded, known)[0] == stage.guarded(video)


def test_a_frame_is_kept_by_similarity_exactly_where_it_reaches_what_is_needed(
    rows: tuple[Workspace, Recorded, Video],
) -> None:
    workspace, recorded, _ = rows
    context = Context(0, files_at(""), results(workspace))
    for setting in ({}, {"threshold": 0.12}, {"mode": "time"}, {"false_accept_rate": 0.3, "shift_cost": 2.0}):
        stage = Retuned(FilterConfig.model_validate(setting), context)
        _, assignment = stage.decided(recorded, Known({}, {}))
        assert assignment is not None
        paired = assignment.sentence >= 0
        margin = (assignment.similarity - stage.needed(assignment))[paired]
        clear = np.abs(margin) > 1e-9
        assert ((margin > 0) == assignment.accepted[paired])[clear].all()
        assert (margin > 0).any()
        assert (margin < 0).any()


def test_a_move_over_all_videos_counts_them_exactly(clips_run: Finished) -> None:
    tuning = Tuning(clips_run.workspace)
    config = tuning.config.model_copy(update={"false_accept_rate": 0.6})
    move, whole = tuning.move(config, seconds=60.0)
    assert whole
    rows = decided(clips_run.workspace, videos_of(clips_run.workspace), config).values()
    before = [row for row in clips_run.rows("filter").values() if isinstance(row, DocumentsRow)]

    def kept(some: Sequence[DocumentsRow]) -> set[tuple[str, int]]:
        return {(row.video, frame.frame) for row in some for document in row.documents for frame in document.frames}

    now, then = kept(list(rows)), kept(before)
    assert now != then
    counted = {way: tuning.estimate(move, "frames", way) for way in WAYS}
    assert {way: one.value for way, one in counted.items()} == {
        "now": len(now), "then": len(then), "gained": len(now - then), "lost": len(then - now),
    }  # fmt: skip
    assert {one.error for one in counted.values()} == {0.0}
    words = sum(len(t.text.split()) for row in rows for d in row.documents for t in d.texts)
    assert tuning.estimate(move, "words", "now").value == words
    assert tuning.estimate(move, "documents", "now").value == sum(len(row.documents) for row in rows)


@pytest.mark.parametrize("known", [False, True])
def test_the_stated_error_of_a_sample_holds_the_truth(clips_run: Finished, *, known: bool) -> None:
    """Over many draws of 12 of 60 parts, about 95 % of the intervals hold the true count."""
    tuning = Tuning(clips_run.workspace)
    move, _ = tuning.move(tuning.config, seconds=60.0)
    rng = np.random.default_rng(0)
    counts = rng.poisson(3.0, (60, len(WHAT), len(WAYS)))
    tuning.parts, tuning.videos = [str(n) for n in range(60)], 240
    tuning.then = {"documents": int(counts[:, 1, 1].sum())} if known else {}
    held = 0
    for _ in range(300):
        drawn = rng.choice(60, 12, replace=False)
        some = replace(move, parts=[counts[n] for n in drawn], videos=[4] * 12)
        told = tuning.estimate(some, "documents", "now")
        held += abs(told.value - counts[:, 1, 0].sum()) <= told.error
    assert 0.88 <= held / 300 <= 0.99


def test_examples_are_the_frames_nearest_to_the_threshold(clips_run: Finished) -> None:
    tuning = Tuning(clips_run.workspace)
    move, _ = tuning.move(tuning.config, seconds=60.0)
    kept, dropped = ([one[3] for one in move.examples[kind]] for kind in ("worst_kept", "best_dropped"))
    margins = [one.similarity - one.needed for one in kept]
    assert margins == sorted(margins)
    assert min(margins) >= 0
    assert [one.similarity - one.needed for one in dropped] == sorted(
        (one.similarity - one.needed for one in dropped), reverse=True
    )
    assert {one.reason for one in dropped} == {"low_similarity"}
    assert move.examples["gained"] == move.examples["lost"] == []


def test_a_sample_reads_no_more_than_its_bounds(clips_run: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.view.moves.MOST_VIDEOS", 2)
    tuning = Tuning(clips_run.workspace)
    move, whole = tuning.move(tuning.config, seconds=60.0)
    assert whole
    assert len(move.parts) == 2
    assert tuning.estimate(move, "videos", "now").error >= 0.0


def test_no_picture_is_read(clips_run: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = __import__("pyarrow.parquet").parquet.ParquetFile.read

    def noted(self: Any, *columns: Any, **options: Any) -> Any:
        read.extend(options.get("columns", ["everything"]))
        return real(self, *columns, **options)

    workspace = clips_run.workspace
    parts = list(parts_recorded(workspace))
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.read", noted)
    assert all(recorded_part(workspace, part) for part in parts)
    assert "frames" in read
    assert not {"jpegs", "everything"} & set(read)


def test_words_are_counted_as_the_dataset_counts_them_and_not_as_the_recogniser_does() -> None:
    some = Sentences(
        np.zeros(2), np.ones(2), np.array([4, 2], np.int32), ("an off-camera voice", "猫が"), ("", ""), ("", "")
    )
    assert some.counted.tolist() == [3, 2]
