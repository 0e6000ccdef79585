"""A finished dataset of several shards and shapes of documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.write.stage import WriteConfig
from tests.documents import dataset, document, video

CONFIG = WriteConfig(name="read", shard_bytes=40_000, max_images=6, val_share=0.4)


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of one to six frames and one to five texts, in several shards of each split."""
    folder = tmp_path_factory.mktemp("reader")
    videos = [
        video(f"v{n}", *(document(d, start=100.0 * d, frames=1 + (n + d) % 6, texts=1 + n % 5) for d in range(3)))
        for n in range(24)
    ]
    published = dataset(folder, [videos[:15], videos[15:]], CONFIG)
    assert published.splits["train"].nshards >= 4
    assert published.splits["val"].nshards >= 2
    return folder / "out"
