"""What a real run wrote, loaded by the trainers' own readers: no word and no time is lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.runs import Finished

pytestmark = pytest.mark.consumers


@pytest.fixture
def document(demo_run: Finished) -> dict[str, Any]:
    (document,) = demo_run.documents()
    return document


def test_webdataset_reads_the_demo(demo_run: Finished, document: dict[str, Any]) -> None:
    import webdataset

    (shard,) = (Path(demo_run.config.output) / "data" / "train").glob("*.tar")
    (sample,) = webdataset.WebDataset(str(shard), shardshuffle=False, empty_check=False).decode("pil")
    assert sample["json"] == document
    sizes = [sample[name.split(".", 1)[1]].size for name in document["images"] if name]
    assert sizes == list(zip(document["image_width"], document["image_height"], strict=True))


def test_wids_reads_the_demo(demo_run: Finished, document: dict[str, Any]) -> None:
    from wids import ShardListDataset

    samples = ShardListDataset(str(Path(demo_run.config.output) / "wids-train.json"), localname=lambda path: path)
    assert samples[0][".json"] == document
    assert sum(name.endswith(".jpg") for name in samples[0]) == len(document["image_time"])


def test_datasets_reads_the_demo(demo_run: Finished, document: dict[str, Any], tmp_path: Path) -> None:
    from datasets import load_dataset

    (row,) = load_dataset(demo_run.config.output, split="train", cache_dir=str(tmp_path))
    assert row["json"] == document
    assert sum(row[f"{n:03d}.jpg"] is not None for n in range(30)) == len(document["image_time"])


def test_energon_reads_the_demo(demo_run: Finished, document: dict[str, Any]) -> None:
    from megatron.energon import DefaultTaskEncoder, WorkerConfig, get_loader, get_val_dataset

    samples = get_val_dataset(
        demo_run.config.output,
        split_part="train",
        dataset_config="dataset.yaml",
        worker_config=WorkerConfig(rank=0, world_size=1, num_workers=0),
        batch_size=None,
        task_encoder=DefaultTaskEncoder(),
    )
    (sample,) = get_loader(samples)
    assert [item if isinstance(item, str) else None for item in sample.sequence] == document["texts"]
