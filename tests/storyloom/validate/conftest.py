"""A good dataset, and a copy of it for each test to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stages.write.stage import WriteConfig
from tests.documents import dataset, videos


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training shards and a validation shard, 12 documents with 2 images each."""
    folder = tmp_path_factory.mktemp("good")
    dataset(folder, [videos(6)], WriteConfig(shard_bytes=30_000, max_images=4, val_share=0.3))
    return folder / "out"


@pytest.fixture
def out(good: Path, tmp_path: Path) -> Path:
    """A copy of the good dataset."""
    return Path(shutil.copytree(good, tmp_path / "out"))
