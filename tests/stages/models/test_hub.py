"""Which commit of the hub a model is: from a cache laid out as huggingface_hub does it, without the network."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants, try_to_load_from_cache

from stages.base import StageSetupError
from stages.models.hub import cached_commit, hub_commit

REPOSITORY = "Systran/faster-whisper-tiny"
COMMIT = "d90ca5fe260221311c53c58e660288d3deb8d356"
OTHER = "0" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the hub must not be asked."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def put(cache: Path, repository: str, commit: str, files: tuple[str, ...] = ("model.bin",)) -> None:
    """A repository as `snapshot_download` leaves it: blobs, a snapshot that links to them, and the branch's commit."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    for place in (folder / "refs", folder / "blobs", snapshot):
        place.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / "blobs" / file).write_bytes(b"weights")
        (snapshot / file).symlink_to(folder / "blobs" / file)
    (folder / "refs" / "main").write_text(commit)


def test_a_cached_repository_is_its_branchs_commit(cache: Path) -> None:
    put(cache, REPOSITORY, COMMIT)
    found = try_to_load_from_cache(REPOSITORY, "model.bin", cache_dir=cache)
    assert isinstance(found, str)  # so the library itself reads the cache that was laid out here
    assert hub_commit(REPOSITORY) == Path(found).parent.name == COMMIT


def test_a_newer_snapshot_is_another_commit(cache: Path) -> None:
    put(cache, REPOSITORY, COMMIT)
    put(cache, REPOSITORY, OTHER)
    assert cached_commit(REPOSITORY) == OTHER


def test_a_branch_whose_snapshot_was_deleted_is_not_cached(cache: Path) -> None:
    put(cache, REPOSITORY, COMMIT)
    snapshot = cache / "models--Systran--faster-whisper-tiny" / "snapshots" / COMMIT
    (snapshot / "model.bin").unlink()
    snapshot.rmdir()
    assert cached_commit(REPOSITORY) == ""


@pytest.mark.usefixtures("cache")
def test_a_repository_that_is_nowhere_says_how_to_get_it() -> None:
    with pytest.raises(StageSetupError, match=rf"{REPOSITORY} is not in the cache.*`hf download {REPOSITORY}`.*folder"):
        hub_commit(REPOSITORY)


@pytest.mark.usefixtures("cache")
def test_a_hub_that_cannot_be_reached_says_how_to_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StageSetupError, match=r"the hub says nothing of Systran.*`hf download"):
        hub_commit(REPOSITORY)
