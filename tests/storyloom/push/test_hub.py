"""A push to a dataset repository, against a server that speaks what huggingface_hub asks of the Hub."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from storyloom.format.manifest import finished_dataset
from storyloom.push.hub import HubTarget
from storyloom.push.target import PushFailed
from tests.storyloom.push.hub_server import TOKEN, Hub, hub
from tests.storyloom.push.made import mugs, planned, pushed


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mugs(tmp_path_factory.mktemp("pushed"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The client reads its settings when it is imported."""
    with hub() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield found


def target(*, public: bool = False) -> HubTarget:
    return HubTarget("me/mugs", public=public)


def test_a_repository_is_made_private_and_gets_the_whole_dataset_the_manifest_last(output: Path, server: Hub) -> None:
    pushed(output, target())
    repository = server.repositories["me/mugs"]
    assert repository.private
    for shard in finished_dataset(output).shards:
        assert repository.files[shard.file] == (output / shard.file).read_bytes()
        assert shard.file in repository.large
    assert repository.files["manifest.json"] == (output / "manifest.json").read_bytes()
    assert b"pictures/story-0.jpg" in repository.files["README.md"]
    assert repository.commits[-1] == (["manifest.json"], [])


def test_everybody_sees_a_repository_only_when_asked_for(output: Path, server: Hub) -> None:
    pushed(output, target(public=True))
    assert not server.repositories["me/mugs"].private


def test_an_interrupted_push_leaves_no_manifest_and_sends_no_shard_twice(output: Path, server: Hub) -> None:
    server.most_puts = 1
    with pytest.raises(PushFailed, match="goes on where this one ended"):
        pushed(output, target())
    assert "manifest.json" not in server.repositories["me/mugs"].files
    assert server.puts.total() == 1
    server.most_puts = None
    pushed(output, target())
    assert set(server.puts.values()) == {1}
    assert server.repositories["me/mugs"].files["manifest.json"] == (output / "manifest.json").read_bytes()


def test_pushing_again_makes_no_commit(output: Path, server: Hub) -> None:
    pushed(output, target())
    commits = len(server.repositories["me/mugs"].commits)
    plan = pushed(output, target())
    assert (plan.send, plan.stale) == ([], [])
    assert len(server.repositories["me/mugs"].commits) == commits


def test_what_changed_there_is_replaced_and_old_shards_are_removed(output: Path, server: Hub, tmp_path: Path) -> None:
    pushed(output, target())
    repository = server.repositories["me/mugs"]
    repository.files["croissant.json"] = repository.files["croissant.json"].replace(b"mugs", b"jugs")
    assert planned(output, target()).replaced == ["croissant.json"]
    pushed(mugs(tmp_path / "less", "one"), target())
    assert "data/train/shard-000001.tar" not in repository.files
    assert ".gitattributes" in repository.files
    removed = next(n for n, (_, gone) in enumerate(repository.commits) if "manifest.json" in gone)
    assert all("manifest.json" not in added for added, _ in repository.commits[removed:-1])
    assert repository.commits[-1] == (["manifest.json"], [])


def test_another_s_commit_in_between_is_not_overwritten(output: Path, server: Hub) -> None:
    plan = planned(output, target())
    plan.target.prepare()
    server.repositories["me/mugs"].commits.append((["theirs"], []))
    with pytest.raises(PushFailed):
        plan.target.send(plan.send, [], lambda _sent: None)
    assert "manifest.json" not in server.repositories["me/mugs"].files


def test_the_command_prints_no_token(output: Path, server: Hub, tmp_path: Path) -> None:
    settings = {
        "HF_ENDPOINT": server.address,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path),
    }
    server.most_puts = 0
    command = [sys.executable, "-m", "pipeline.cli", "push", str(output), "hf://datasets/me/mugs"]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "403" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
