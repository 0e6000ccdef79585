"""What is drilled on a disk holds in a store: the same bytes, whatever is damaged or killed on the way."""

import re
import signal
import subprocess
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from pipeline.config import RunConfig
from storyloom.fs import store as of_stores
from storyloom.fs.files import files_at
from tests import machine, stores
from tests.misbehaving import Fault, Misbehaving, misbehaving
from tests.runs import CLIP_SETTINGS, ROOT, Finished, command, content_of, demo_config, run_quietly

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def proxy(request: pytest.FixtureRequest) -> Iterator[Misbehaving]:
    """A store through a proxy, to which the environment leads."""
    with (
        getattr(stores, request.param)() as server,
        misbehaving(server) as found,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in found.environment.items():
            patch.setenv(name, value)
        yield found


@pytest.fixture
def folder(proxy: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty folder in the store; this machine has brought nothing of it yet."""
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    proxy.faults.clear()
    return proxy.folder()


def in_store(folder: str, finished: Finished, tmp_path: Path) -> RunConfig:
    """The config of a run with work and output in the store."""
    places = [f"manifest={finished.config.manifest}", f"work={folder}/work", f"output={folder}/out"]
    return demo_config(tmp_path, *places, *CLIP_SETTINGS)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def emptied(content: bytes) -> bytes:
    return b""


def removed(content: bytes) -> None:
    return None


DAMAGES = (flipped, cut, emptied, removed)


@pytest.mark.parametrize("proxy", ["seaweed"], indirect=True)
def test_what_is_damaged_in_a_store_is_done_again(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.files(tmp_path, [*range(1, 9)])
    undisturbed = machine.config(tmp_path)
    config = machine.config(tmp_path, work=folder)
    machine.ran(undisturbed)
    machine.ran(config)
    assert content_of(folder) == content_of(undisturbed.work)
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "of-another-machine"))
    files = files_at(folder)
    for kind in ("measure/.*rows", "echo/.*letters", "share/.*part-.*json", "pack/.*group-.*json"):
        names = [one.name for one in files.tree() if re.search(kind, one.name)]
        for name, damage in zip(names, cycle(DAMAGES), strict=False):
            if (after := damage(files.read(name))) is None:
                files.remove(name)
            else:
                files.replace(name, after)
    workspace = machine.prepared(config)
    for name in ("pack", "share"):
        workspace.invalidate(name, workspace.units(name))
    machine.ran(config)
    assert content_of(folder) == content_of(undisturbed.work)


def end_at(proxy: Misbehaving, config: RunConfig, number: signal.Signals, method: str, within: str) -> tuple[int, str]:
    """Start a run, and send it a signal at a request of it; its exit code and what it printed."""
    process = subprocess.Popen(
        command(config, "run"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    proxy.faults[:] = [Fault(method, within, act=lambda: process.send_signal(number))]
    said, _ = process.communicate(timeout=600)
    assert proxy.faults[0].times == 0, said
    return process.returncode, said


@pytest.mark.parametrize("proxy", ["moto"], indirect=True)
def test_a_run_in_a_store_gives_the_bytes_of_a_local_one(folder: str, tmp_path: Path, clips_run: Finished) -> None:
    config = in_store(folder, clips_run, tmp_path)
    run_quietly(config)
    assert content_of(config.output) == content_of(clips_run.config.output)
    assert content_of(config.work) == content_of(clips_run.config.work)


@pytest.mark.parametrize("proxy", ["seaweed"], indirect=True)
def test_a_run_in_a_store_that_is_killed_here_and_there_gives_the_bytes_of_a_local_one(
    proxy: Misbehaving, folder: str, tmp_path: Path, clips_run: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = in_store(folder, clips_run, tmp_path)
    assert end_at(proxy, config, signal.SIGKILL, "PUT", r"/work/sample/.*rows\.parquet")[0] == -signal.SIGKILL
    assert end_at(proxy, config, signal.SIGKILL, "GET", r"/work/.*rows\.parquet")[0] == -signal.SIGKILL
    code, said = end_at(proxy, config, signal.SIGTERM, "PUT", r"/work/score/.*rows\.parquet")
    assert code == 143, said
    assert "Traceback" not in said
    assert end_at(proxy, config, signal.SIGKILL, "PUT", r"/out/data/.*\.tar")[0] == -signal.SIGKILL
    assert files_at(config.output).entry("manifest.json") is None
    monkeypatch.setattr(of_stores, "LEASE", 3.0)
    proxy.faults[:] = [Fault(status=503, code="SlowDown", times=20), Fault(sent=0.0, times=5)]
    run_quietly(config)
    assert content_of(config.output) == content_of(clips_run.config.output)
    assert content_of(config.work) == content_of(clips_run.config.work)
    assert not [one for one in files_at(f"{folder}/work/attempts").tree() if one.name.endswith(".json")]
    assert run_quietly(config).done == []
