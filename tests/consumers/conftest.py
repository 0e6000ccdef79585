"""A published dataset whose documents differ in everything that a reader could get wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.rows import DocumentDraft
from stages.write.stage import VideoDocuments, WriteConfig
from tests.documents import complete, dataset, document, read_documents, read_shard, video, videos, with_codes

CONFIG = WriteConfig(name="consumed", shard_bytes=25_000, max_images=6, val_share=0.3)


@pytest.fixture(scope="session", params=["plain", "complete"])
def out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several shards per split. The first documents of a shard say little about the later ones.

    Once with nothing but frames and texts, once with captions, fused texts, word times, the sound of each text and the
    codes of each image.
    """
    folder = tmp_path_factory.mktemp("dataset")
    odd = [
        video(
            f"odd-{n}",
            shifted(document(0, frames=1 + n % 6, texts=1 + n % 4, start=3723.033, words="“ça va”, 你好, 🙂")),
            document(1, start=0.5),
        )
        for n in range(7)
    ]
    add = complete_with_codes if request.param == "complete" else (lambda one: one)
    published = dataset(folder, [list(map(add, videos(6))), list(map(add, odd))], CONFIG)
    assert published.splits["train"].nshards >= 3
    assert published.splits["val"].nshards >= 2
    return folder / "out"


def complete_with_codes(one: VideoDocuments) -> VideoDocuments:
    return with_codes(complete(one))


def shifted(one: DocumentDraft) -> DocumentDraft:
    frames = [frame.model_copy(update={"shift": -1.234, "similarity": 0.3123}) for frame in one.frames]
    return one.model_copy(update={"frames": frames})


def in_the_tars(out: Path, split: str) -> dict[str, dict[str, Any]]:
    """What a consumer is to see of each document of a split, by key."""
    members = [read_shard(path) for path in sorted((out / "data" / split).glob("*.tar"))]
    sounds = sorted((name, len(data)) for shard in members for name, data in shard.items() if name.endswith(".opus"))
    return {
        key: {
            "texts": each["texts"],
            "sizes": [[64, 48]] * len(each["image_time"]),
            "image_time": each["image_time"],
            "text_start": each["text_start"],
            "image_caption": each["image_caption"],
            "words": each["words"],
            "sounds": [size for name, size in sounds if name.startswith(f"{key}.")],
        }
        for key, each in read_documents(out / "data" / split).items()
    }
