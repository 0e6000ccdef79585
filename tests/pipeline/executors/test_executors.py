"""Whatever runs the work, and in whatever order, the bytes are the same."""

from pathlib import Path

import pytest

from pipeline.executors.inline import InlineRunner
from pipeline.run import run, select
from pipeline.situation import survey
from schemas.config import RunnerConfig
from stages.registry import ROW_STAGES
from storyloom.errors import RunFailed
from tests.runs import EVERYTHING, Finished, Recorder, clip, content_of, demo_config, run_quietly

PARTS = 3


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
    config = demo_config(tmp_path, f"manifest={clips}", "parts.videos=1", "filter.threshold=0.0")
    situation = survey(config)
    stages = [stage.name for stage in ROW_STAGES]
    InlineRunner().rows(situation.job, stages, tuple(reversed(situation.plan.parts)), lambda _stage, _part: None)
    run_quietly(config)
    assert len(situation.plan.parts) == PARTS
    assert content_of(config.output) == content_of(inline_run.config.output)
    parquet = {name: digest for name, digest in content_of(inline_run.config.work).items() if name.endswith(".parquet")}
    mine = content_of(config.work)
    assert {name: mine[name] for name in parquet} == parquet


@pytest.mark.ray
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
    assert len(recorder.done) == PARTS * len(ROW_STAGES) + 1


@pytest.mark.ray
def test_a_stage_that_cannot_start_ends_a_ray_run_with_its_reason(clips: Path, tmp_path: Path) -> None:
    config = demo_config(tmp_path, f"manifest={clips}", "runner.kind=ray", "transcribe.model=nothing")
    run_quietly(
        config.model_copy(update={"runner": RunnerConfig(kind="inline")}), select(["download"], None, force=False)
    )
    with pytest.raises(RunFailed, match=r"^transcribe\.model 'nothing' cannot be loaded by faster-whisper"):
        run(config, select(["transcribe"], None, force=False), Recorder())
