"""Whose fault it is: what machines, programs and bugs do to a run is no video's failure."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.run import Selection, run
from schemas.row import Row
from storyloom.errors import RunFailed
from storyloom.fs.atomic import TEMPORARY_SUFFIX
from tests.pipeline.faults import AWHILE, DEVICE_ERROR, KILLS
from tests.runs import (
    CLIP_SETTINGS,
    FOR_FULL_DISKS,
    NARRATED,
    Finished,
    Recorder,
    clip,
    command,
    content_of,
    demo_config,
    ended,
    run_quietly,
)

SAMPLED = Selection(("download", "sample"))

ONLY_SAMPLED = ("--only", "download", "--only", "sample")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three short clips."""
    folder = tmp_path_factory.mktemp("short")
    for number, start in enumerate((0.0, 9.0, 18.0)):
        clip(folder / f"{number}.mp4", start, 5.0, "-vf", "scale=320:-2")
    return folder


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment in which a fault happens once it is named in STORYLOOM_FAULTS."""
    (tmp_path / "faults").mkdir()
    monkeypatch.setenv("FAULT_FOLDER", str(tmp_path / "faults"))
    monkeypatch.setenv("FAULT_STAGE", "sample")
    return monkeypatch


def let(faults: pytest.MonkeyPatch, name: str) -> None:
    faults.setenv("STORYLOOM_FAULTS", f"tests.pipeline.faults:{name}")


def in_one_part(folder: Path, short: Path, *overrides: str) -> Finished:
    return Finished(demo_config(folder, f"manifest={short}", *CLIP_SETTINGS, "parts.videos=3", *overrides))


def in_three_parts(folder: Path, short: Path) -> Finished:
    return Finished(demo_config(folder, f"manifest={short}", *CLIP_SETTINGS))


def whole(rows: dict[str, Row]) -> bool:
    return len(rows) > 0 and all(row.live and row.counts()["frames"] for row in rows.values())


def attempts_left(finished: Finished) -> list[Path]:
    return sorted(Path(finished.config.work).glob("attempts/*/*/*.json"))


@pytest.mark.parametrize("cut", [in_one_part, in_three_parts])
def test_a_device_that_fails_for_a_while_costs_no_video(
    tmp_path: Path, short: Path, faults: pytest.MonkeyPatch, cut: type
) -> None:
    let(faults, "device_error_for_a_while")
    finished = cut(tmp_path, short)
    run_quietly(finished.config, SAMPLED)
    assert len(list((tmp_path / "faults").iterdir())) == AWHILE
    assert whole(finished.rows("sample"))
    assert attempts_left(finished) == []


@pytest.mark.parametrize("cut", [in_one_part, in_three_parts])
def test_a_device_that_always_fails_ends_the_run_and_no_video(
    tmp_path: Path, short: Path, faults: pytest.MonkeyPatch, cut: type
) -> None:
    let(faults, "device_error")
    finished = cut(tmp_path, short)
    code, said = ended(command(finished.config, "run", *ONLY_SAMPLED, *parts_setting(finished)))
    assert code == 1, said
    assert DEVICE_ERROR in said
    assert "Traceback" not in said
    assert list(Path(finished.config.work).glob("sample/*/part-*")) == []
    faults.delenv("STORYLOOM_FAULTS")
    run_quietly(finished.config, SAMPLED)
    assert whole(finished.rows("sample"))


def test_many_failures_of_a_device_never_speak_against_a_video(
    tmp_path: Path, short: Path, faults: pytest.MonkeyPatch
) -> None:
    finished = in_one_part(tmp_path, short)
    let(faults, "device_error")
    for _ in range(4):
        with pytest.raises(RunFailed, match="device-side assert"):
            run(finished.config, SAMPLED, Recorder())
    faults.delenv("STORYLOOM_FAULTS")
    run_quietly(finished.config, SAMPLED)
    assert whole(finished.rows("sample"))


def test_a_bug_on_one_video_costs_that_video_until_it_is_retried(
    tmp_path: Path, short: Path, faults: pytest.MonkeyPatch
) -> None:
    finished = in_one_part(tmp_path, short)
    (video,) = (
        line.video for line in finished.workspace.lines[finished.workspace.plan.parts[0]] if line.url == "1.mp4"
    )
    faults.setenv("FAULT_VIDEO", video)
    let(faults, "bug_on_one_video")
    run_quietly(finished.config, SAMPLED)
    rows = finished.rows("sample")
    error = rows.pop("1.mp4").error
    assert error is not None
    assert (error.stage, error.code, error.retryable) == ("sample", "internal", True)
    assert "ValueError: a bug in the stage" in error.message
    assert whole(rows)
    assert attempts_left(finished) == []
    faults.delenv("STORYLOOM_FAULTS")
    assert run_quietly(finished.config, SAMPLED).done == []
    run_quietly(finished.config, Selection(("download", "sample"), retry=True))
    assert whole(finished.rows("sample"))


def test_a_bug_on_every_video_ends_a_run_with_its_message(
    tmp_path: Path, short: Path, faults: pytest.MonkeyPatch
) -> None:
    let(faults, "bug_on_every_video")
    finished = in_one_part(tmp_path, short)
    code, said = ended(command(finished.config, "run", *ONLY_SAMPLED, *parts_setting(finished)))
    assert code == 1, said
    assert "Traceback" not in said
    assert "a bug in the stage" in said or "3 of 3 videos failed" in said


@pytest.mark.parametrize("stage", ["sample", "transcribe"])
def test_a_killed_child_is_not_the_videos_fault(
    tmp_path: Path, clips_run: Finished, faults: pytest.MonkeyPatch, stage: str
) -> None:
    let(faults, "kill_the_next_child")
    faults.setenv("FAULT_STAGE", stage)
    (tmp_path / "list.txt").write_text(str(Path(clips_run.config.manifest) / "0.mp4"))
    finished = Finished(demo_config(tmp_path, f"manifest={tmp_path / 'list.txt'}", *CLIP_SETTINGS))
    run_quietly(finished.config, Selection(("download", stage)))
    assert (tmp_path / "faults" / "killed").exists()
    assert [row.live for row in finished.rows(stage).values()] == [True]
    assert attempts_left(finished) == []


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "size", [pytest.param("4k", marks=pytest.mark.slow), "24k", pytest.param("60k", marks=pytest.mark.slow)]
)
def test_a_full_work_disk_ends_the_run_with_its_message_and_space_mends_it(
    tmp_path: Path, short: Path, size: str
) -> None:
    """So small that it is full at the start, in the middle, and at the end."""
    with small_disk(tmp_path / "disk", size):
        finished = in_three_parts(tmp_path / "disk", short)
        _, _, _, *words = command(finished.config, "run", *ONLY_SAMPLED)
        code, said = ended([*FOR_FULL_DISKS, *words])
        assert code in (1, 2), said
        assert "No space left on device" in said
        assert "Traceback" not in said
        status, seen = ended(command(finished.config, "status"))
        assert (status, "Traceback" in seen) == (0, False), seen
        subprocess.run(["mount", "-o", "remount,size=150m", str(tmp_path / "disk")], check=True)
        code, said = ended(command(finished.config, "run", *ONLY_SAMPLED))
        assert code == 0, said
        assert whole(finished.rows("sample"))
        assert leftovers(finished) == []


def test_a_full_folder_for_temporary_files_ends_the_run_with_its_message(
    tmp_path: Path, clips_run: Finished, faults: pytest.MonkeyPatch
) -> None:
    let(faults, "fill_the_temporary_folder")
    faults.setenv("FAULT_STAGE", "transcribe")
    with small_disk(tmp_path / "tmp", "400k"):
        (tmp_path / "list.txt").write_text(str(Path(clips_run.config.manifest) / "0.mp4"))
        finished = Finished(demo_config(tmp_path, f"manifest={tmp_path / 'list.txt'}", *CLIP_SETTINGS))
        transcribed = ("--only", "download", "--only", "transcribe")
        code, said = ended(command(finished.config, "run", *transcribed), TMPDIR=str(tmp_path / "tmp"))
        assert code == 1, said
        assert "No space left on device" in said
        assert "Traceback" not in said
        assert list(Path(finished.config.work).glob("transcribe/*/part-*")) == []
    run_quietly(finished.config, Selection(("download", "transcribe")))
    assert [row.live for row in finished.rows("transcribe").values()] == [True]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_six_killed_processes_cost_no_video(tmp_path: Path, faults: pytest.MonkeyPatch) -> None:
    let(faults, "kill_the_first_processes")
    faults.setenv("FAULT_STAGE", "transcribe")
    (tmp_path / "list.txt").write_text(str(NARRATED))
    finished = Finished(demo_config(tmp_path, f"manifest={tmp_path / 'list.txt'}", *CLIP_SETTINGS))
    again = command(finished.config, "run", "--only", "download", "--only", "transcribe")
    codes = [ended(again)[0] for _ in range(KILLS)]
    assert codes == [-signal.SIGKILL] * KILLS
    code, said = ended(again)
    assert code == 0, said
    assert [row.live for row in finished.rows("transcribe").values()] == [True]
    assert attempts_left(finished) == []


@pytest.mark.parametrize(("fault", "kept"), [("terminate_this_process", 0), ("tell_this_process_to_end", 1)])
def test_sigterm_ends_a_run_cleanly_and_the_same_command_goes_on(
    tmp_path: Path, short: Path, faults: pytest.MonkeyPatch, fault: str, kept: int
) -> None:
    """A part that ends within the grace is kept, another one is dropped."""
    let(faults, fault)
    finished = in_three_parts(tmp_path, short)
    grace = "1" if kept == 0 else "60"
    code, said = ended(command(finished.config, "run", *ONLY_SAMPLED, "--set", f"runner.grace_seconds={grace}"))
    assert len(list(Path(finished.config.work).glob("sample/*/part-*.json"))) == kept
    assert code == 143, said
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    assert attempts_left(finished) == []
    assert leftovers(finished) == []
    code, said = ended(command(finished.config, "run", *ONLY_SAMPLED))
    assert code == 0, said
    assert whole(finished.rows("sample"))
    undisturbed = in_three_parts(tmp_path / "undisturbed", short)
    faults.delenv("STORYLOOM_FAULTS")
    run_quietly(undisturbed.config, SAMPLED)
    assert content_of(finished.config.work) == content_of(undisturbed.config.work)


def parts_setting(finished: Finished) -> tuple[str, str]:
    return "--set", f"parts.videos={finished.config.parts.videos}"


def leftovers(finished: Finished) -> list[str]:
    files = Path(finished.config.work).rglob("*")
    return sorted(str(file) for file in files if TEMPORARY_SUFFIX in file.name)
