"""What clusters do to a run, done to it on purpose: nothing is lost, doubled or left behind, and no byte differs.

Where work and output are in a store, the nodes have nothing else in common.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline import seam
from pipeline.config import RunConfig, load_config
from pipeline.manifest import read_manifest
from schemas.rows import FramesRow
from storyloom.fs.atomic import TEMPORARY_SUFFIX
from storyloom.fs.files import files_at
from tests import stores
from tests.chat_server import MODEL, ChatServer, Fault, chatting
from tests.runs import FOR_FULL_DISKS, ROOT, Finished, clip, content_of, demo_config, run_quietly

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

FAULTS = ROOT / "tests" / "drills"
CLIPS = 6
SETTINGS = ["parts.videos=2", "parts.group=2", "filter.threshold=0.0", "filter.min_words=1"]
"""Three parts in two groups and two waves; no calibration, so that a clip stands for itself."""

ASKING = ("caption.enabled=true", "fuse.enabled=true", "fuse.min_words=1")
"""Settings that have two more stages ask a server."""

PATIENCE = 600.0

IN_BOTH = pytest.mark.parametrize("folder", ["disk", "seaweed"], indirect=True)
"""Drills of what writers leave in a store; the others are done there by `make test-long`."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(CLIPS):
        clip(folder / f"{number}.mp4", 8.0 * number, 7.0)
    return folder


@pytest.fixture(scope="module")
def undisturbed(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    config = demo_config(tmp_path_factory.mktemp("undisturbed"), f"manifest={clips}", *SETTINGS, "runner.kind=inline")
    run_quietly(config)
    return Finished(config)


@pytest.fixture(scope="module")
def seaweed() -> Iterator[stores.Store]:
    with stores.seaweed() as store:
        yield store


@pytest.fixture(params=["disk", pytest.param("seaweed", marks=pytest.mark.long)])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of a run: on a disk, or in a store to which the environment leads."""
    if request.param == "disk":
        return str(tmp_path)
    store: stores.Store = request.getfixturevalue("seaweed")
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    return store.folder()


@contextmanager
def cluster(nodes: int, **environment: str) -> Iterator[Any]:
    """A Ray cluster of some nodes on this machine, whose processes have these variables in their environment."""
    import ray
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    drill = {"PYTHONPATH": f"{FAULTS}:{ROOT}", seam.VARIABLE: "faults:fault"} if environment else {}
    os.environ.update({"RAY_BACKEND_LOG_LEVEL": "fatal", **drill, **environment})
    with tempfile.TemporaryDirectory() as caches:
        os.environ["STORYLOOM_CACHE"] = f"{caches}/0"
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 3, "include_dashboard": False})
        try:
            for number in range(1, nodes):
                os.environ["STORYLOOM_CACHE"] = f"{caches}/{number}"
                found.add_node(num_cpus=3)
            os.environ["STORYLOOM_CACHE"] = f"{caches}/driver"
            yield found
        finally:
            ray.shutdown()
            found.shutdown()
            os.environ.clear()
            os.environ.update(before)


def asking(server: ChatServer) -> list[str]:
    """The settings of the stages that ask this server."""
    places = [f"{stage}.{key}" for stage in ("caption", "fuse") for key in (f"url={server.url}", f"model={MODEL}")]
    return [*places, *ASKING]


@contextmanager
def dying_once(server: ChatServer) -> Iterator[None]:
    """A server that dies over its fifth request, with all that is in its hand, and comes back."""
    server.faults = [Fault("die", after=4)]

    def come_back() -> None:
        server.wait_for(lambda one: any(asked.fault == "die" for asked in one.asked), PATIENCE)
        server.kill()
        server.start()

    mending = threading.Thread(target=come_back)
    mending.start()
    yield
    mending.join()


class Run:
    """`storyloom run` in a process of its own, as a user starts it."""

    def __init__(
        self,
        folder: str | Path,
        clips: Path,
        *options: str,
        address: str = "",
        runner: str = "ray",
        program: Sequence[str] = (sys.executable, "-m", "pipeline.cli"),
    ) -> None:
        places = [f"manifest={clips}", f"work={folder}/work", f"output={folder}/out"]
        self.config = load_config(ROOT / "configs" / "demo.yaml", [*places, *SETTINGS])
        overrides = [part for setting in [*places, *SETTINGS, *options] for part in ("--set", setting)]
        command = [*program, "run", str(ROOT / "configs" / "demo.yaml"), *overrides]
        command += ["--runner", runner, *(["--address", address] if address else [])]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def ended(self) -> tuple[int, str]:
        """Exit code and everything that was printed."""
        said, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said

    def wait_for(self, stage: str, parts: int) -> None:
        """Until a stage has finished so many parts."""
        until = time.monotonic() + PATIENCE
        while len(marks_of(self.config, stage)) < parts:
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < until, f"{stage} did not finish {parts} parts"
            time.sleep(0.05)


def assert_like(config: Any, undisturbed: Finished) -> None:
    """The same bytes as an undisturbed run, and nothing else."""
    assert content_of(config.output) == content_of(undisturbed.config.output)
    assert content_of(config.work) == content_of(undisturbed.config.work)
    assert leftovers(config) == []


def marks_of(config: RunConfig, stage: str) -> list[str]:
    """The marks of the parts that a stage has finished."""
    names = (one.name for one in files_at(config.work).tree(stage))
    return [name for name in names if re.fullmatch(r".*/part-[^/]*\.json", name)]


def leftovers(config: RunConfig) -> list[str]:
    """Unfinished files, and notes of attempts at units that are finished."""
    attempts = [one.name for one in files_at(config.work).tree("attempts") if one.name.endswith(".json")]
    places = (config.work, config.output)
    unfinished = [one.name for place in places for one in files_at(place).unfinished(0.0)]
    on_disk = [file for place in places if "://" not in place for file in Path(place).rglob(f"*{TEMPORARY_SUFFIX}*")]
    return sorted([*attempts, *unfinished, *map(str, on_disk)])


def key_of(clips: Path, name: str) -> str:
    """The key of a clip."""
    manifest = read_manifest(str(clips)).rows
    (key,) = (row["video"] for row in manifest.to_pylist() if row["source_id"] == name)
    return str(key)


@IN_BOTH
def test_a_worker_of_every_stage_is_killed(clips: Path, folder: str, tmp_path: Path, undisturbed: Finished) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    with cluster(2, DRILL_KILL=str(killed)) as nodes:
        run = Run(folder, clips, address=nodes.address)
        code, said = run.ended()
    assert code == 0, said
    assert {mark.name for mark in killed.iterdir()} == set(run.config.graph.names) - {"calibrate"}
    assert_like(run.config, undisturbed)


def test_workers_that_ask_and_their_server_are_killed(clips: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    places = [f"manifest={clips}", *SETTINGS, "runner.kind=inline"]
    with chatting() as server:
        told = Finished(demo_config(tmp_path / "told", *places, *asking(server)))
        run_quietly(told.config)
    with chatting() as server, cluster(2, DRILL_KILL=str(killed)) as nodes, dying_once(server):
        run = Run(tmp_path, clips, *asking(server), address=nodes.address)
        code, said = run.ended()
    assert code == 0, said
    assert {"caption", "fuse"} <= {mark.name for mark in killed.iterdir()}
    assert content_of(run.config.output) == content_of(told.config.output)


def test_a_node_is_removed_in_the_middle(clips: Path, folder: str, undisturbed: Finished) -> None:
    with cluster(1) as nodes:
        lost = nodes.add_node(num_cpus=6)
        run = Run(folder, clips, address=nodes.address)
        run.wait_for("download", 2)
        nodes.remove_node(lost, allow_graceful=False)
        code, said = run.ended()
    assert code == 0, said
    assert_like(run.config, undisturbed)


def test_a_worker_of_every_stage_is_told_to_end_and_ends_its_part(
    clips: Path, folder: str, tmp_path: Path, undisturbed: Finished
) -> None:
    told = tmp_path / "told"
    told.mkdir()
    with cluster(2, DRILL_TERM=str(told)) as nodes:
        run = Run(folder, clips, address=nodes.address)
        code, said = run.ended()
    assert code == 0, said
    assert {mark.name for mark in told.iterdir()} == set(run.config.graph.names) - {"calibrate"}
    assert_like(run.config, undisturbed)


def test_a_worker_that_does_not_end_within_the_grace_drops_its_part(
    clips: Path, folder: str, tmp_path: Path, undisturbed: Finished
) -> None:
    told = tmp_path / "told"
    with cluster(1, DRILL_TERM_SLOW=str(told)) as nodes:
        run = Run(folder, clips, "runner.grace_seconds=1", address=nodes.address)
        code, said = run.ended()
    assert code == 0, said
    assert told.exists()
    assert_like(run.config, undisturbed)


def test_a_worker_that_hangs_is_ended_and_its_part_done_again(
    clips: Path, folder: str, tmp_path: Path, undisturbed: Finished
) -> None:
    hung = tmp_path / "hung"
    with cluster(1, DRILL_HANG=str(hung)) as nodes:
        run = Run(folder, clips, "runner.stall_seconds=60", address=nodes.address)
        code, said = run.ended()
    assert code == 0, said
    assert hung.exists()
    assert_like(run.config, undisturbed)


@IN_BOTH
def test_the_driver_is_killed_and_the_same_command_goes_on(clips: Path, folder: str, undisturbed: Finished) -> None:
    with cluster(2) as nodes:
        first = Run(folder, clips, address=nodes.address)
        first.wait_for("sample", 1)
        os.killpg(first.process.pid, signal.SIGKILL)
        first.process.wait()
        second = Run(folder, clips, address=nodes.address)
        code, said = second.ended()
    assert code == 0, said
    assert "sample     3 of 3" not in said
    assert_like(second.config, undisturbed)


@IN_BOTH
def test_two_drivers_work_on_one_folder_at_once(clips: Path, folder: str, undisturbed: Finished) -> None:
    with cluster(2) as nodes:
        runs = [Run(folder, clips, address=nodes.address) for _ in range(2)]
        ends = [run.ended() for run in runs]
    assert [code for code, _ in ends] == [0, 0], ends
    assert_like(runs[0].config, undisturbed)


def test_a_video_that_crashes_native_code_fails_alone(clips: Path, folder: str) -> None:
    with cluster(1, DRILL_CRASH=key_of(clips, "3.mp4")) as nodes:
        run = Run(folder, clips, address=nodes.address)
        code, said = run.ended()
    assert code == 0, said
    assert "sample.worker_crashed 1" in said
    rows = Finished(run.config).rows("sample")
    crashing = rows.pop("3.mp4")
    assert crashing.error is not None
    assert (crashing.error.code, crashing.error.retryable) == ("worker_crashed", True)
    assert "Segmentation fault" in crashing.error.message
    assert all(isinstance(row, FramesRow) and row.live and row.frames for row in rows.values())
    assert leftovers(run.config) == []


def test_six_killed_workers_in_one_video_lose_no_video(
    clips: Path, folder: str, tmp_path: Path, undisturbed: Finished
) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    with cluster(1, DRILL_KILL_ON=key_of(clips, "3.mp4"), DRILL_KILLED=str(killed)) as nodes:
        run = Run(folder, clips, address=nodes.address)
        code, said = run.ended()
    assert code == 0, said
    assert len(list(killed.iterdir())) == 6
    assert_like(run.config, undisturbed)


def test_a_full_disk_ends_the_run_with_its_reason_and_space_mends_it(
    clips: Path, tmp_path: Path, undisturbed: Finished
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        with cluster(1) as nodes:
            full = Run(disk, clips, address=nodes.address, program=FOR_FULL_DISKS)
            code, said = full.ended()
            assert code == 1, said
            assert "No space left on device" in said
            assert "Traceback" not in said
            subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
            mended = Run(disk, clips, address=nodes.address)
            code, said = mended.ended()
        assert code == 0, said
        assert_like(mended.config, undisturbed)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # whoever ends a little later may have a file open


def test_a_work_folder_that_cannot_be_written_is_named_before_anything_starts(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file where the folder should be")
    code, said = Run(tmp_path, clips).ended()
    assert code == 2
    assert f"{tmp_path / 'work'} is no folder: choose another `work`" in said
    assert (tmp_path / "work").read_text() == "a file where the folder should be"


def test_most_videos_failing_is_no_quiet_success(clips: Path, tmp_path: Path) -> None:
    names = "\n".join(str(file) for file in [clips / "0.mp4", clips / "gone-1.mp4", clips / "gone-2.mp4"])
    (tmp_path / "list.txt").write_text(names)
    run = Run(tmp_path, tmp_path / "list.txt", runner="inline")
    code, said = run.ended()
    assert code == 1
    assert "2 of 3 videos failed" in said
    assert "download.not_found 2" in said
    assert not Path(run.config.output).exists()
