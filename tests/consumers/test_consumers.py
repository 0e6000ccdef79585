"""The published output, loaded by the trainers' own readers: every document and every image, every time."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.write import WriteConfig
from tests.documents import dataset, document, read_documents, read_shard, video, videos

pytestmark = pytest.mark.consumers

CONFIG = WriteConfig(name="consumed", shard_bytes=25_000, max_images=6, val_share=0.3)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    # Shapes differ, and the first documents of a shard say little about the later ones.
    odd = [video(f"odd-{n}", document(0, frames=1 + n % 6, texts=1 + n % 4), document(1, start=0.5)) for n in range(7)]
    published = dataset(folder, [videos(6), odd], CONFIG)
    assert published.splits["train"].nshards >= 3
    assert published.splits["val"].nshards >= 2
    return folder / "out"


def expected(out: Path, split: str) -> dict[str, tuple[list[str], int]]:
    """By key: the texts, and how many images, as the tar files hold them."""
    documents = read_documents(out / "data" / split)
    return {
        key: ([text for text in each["texts"] if text is not None], len(each["image_time"]))
        for key, each in documents.items()
    }


def spoken(each: dict[str, Any]) -> list[str]:
    return [text for text in each["texts"] if text is not None]


@pytest.mark.parametrize("split", ["train", "val"])
def test_webdataset_reads_every_document_and_decodes_every_image(out: Path, split: str) -> None:
    import webdataset

    urls = [str(path) for path in sorted((out / "data" / split).glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode("rgb8"))
    found = {
        sample["__key__"]: (
            spoken(sample["json"]),
            sum(1 for name, value in sample.items() if name.endswith(".jpg") and value.shape == (48, 64, 3)),
        )
        for sample in samples
    }
    assert found == expected(out, split)


@pytest.mark.parametrize("split", ["train", "val"])
def test_wids_reads_every_document_at_random_and_agrees_with_counts_and_checksums(out: Path, split: str) -> None:
    from wids import ShardListDataset
    from wids.wids import IndexedTarSamples

    samples = ShardListDataset(str(out / f"wids-{split}.json"), localname=lambda path: path)
    found = {}
    for position in reversed(range(len(samples))):
        sample = samples[position]
        images = [value for name, value in sample.items() if name.endswith(".jpg")]
        assert all(image.convert("RGB").size == (64, 48) for image in images)
        found[sample["__key__"]] = (spoken(sample[".json"]), len(images))
    assert found == expected(out, split)
    for shard in samples.shards:
        indexed = IndexedTarSamples(path=shard["url"], md5sum=shard["md5sum"], expected_size=shard["nsamples"])
        assert Path(shard["url"]).stat().st_size == shard["filesize"]
        indexed.close()


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(("split", "folder"), [("train", "train"), ("validation", "val")])
def test_hugging_face_datasets_loads_the_folder_with_every_key_and_image(
    out: Path, split: str, folder: str, *, streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    rows = list(load_dataset(str(out), split=split, streaming=streaming, cache_dir=str(tmp_path)))
    found = {
        row["__key__"]: (
            spoken(row["json"]),
            sum(1 for name, value in row.items() if name.endswith(".jpg") and value is not None),
        )
        for row in rows
    }
    assert found == expected(out, folder)
    documents = read_documents(out / "data" / folder)
    assert {row["__key__"]: row["json"] for row in rows} == documents
    assert all(row["000.jpg"].size == (64, 48) for row in rows)


def energon_samples(out: Path, split: str, dataset_config: str, task_encoder: Any = None) -> list[Any]:
    """One pass over a split, in order."""
    from megatron.energon import DefaultTaskEncoder, WorkerConfig, get_loader, get_val_dataset

    samples = get_val_dataset(
        str(out),
        split_part=split,
        dataset_config=dataset_config,
        worker_config=WorkerConfig(rank=0, world_size=1, num_workers=0),
        batch_size=None,
        task_encoder=task_encoder or DefaultTaskEncoder(),
    )
    return list(get_loader(samples))


@pytest.mark.parametrize("split", ["train", "val"])
def test_energon_interleaves_texts_and_images_as_the_document_does(out: Path, split: str) -> None:
    documents = read_documents(out / "data" / split)
    samples = energon_samples(out, split, "dataset.yaml")
    assert {sample.__key__ for sample in samples} == set(documents)
    for sample in samples:
        texts = [item if isinstance(item, str) else None for item in sample.sequence]
        assert texts == documents[sample.__key__]["texts"]
        assert all(item.shape == (3, 48, 64) for item in sample.sequence if not isinstance(item, str))


@pytest.mark.parametrize("split", ["train", "val"])
def test_energon_matches_images_to_texts(out: Path, split: str) -> None:
    documents = read_documents(out / "data" / split)
    samples = energon_samples(out, split, "similarity.yaml")
    found = {s.__key__: (s.texts, len(s.images), s.matched_text_indices) for s in samples}
    assert found == {
        key: (spoken(each), len(each["image_time"]), each["image_text_index"]) for key, each in documents.items()
    }


def test_energon_hands_a_crude_sample_to_the_cooker_that_asks_for_this_schema(out: Path) -> None:
    from megatron.energon import Cooker, DefaultTaskEncoder, TextSample, basic_sample_keys, stateless

    @stateless  # type: ignore[untyped-decorator]
    def cook(sample: dict[str, Any]) -> TextSample:
        images = [name for name in sample if name.endswith(".jpg")]
        text = json.dumps([spoken(sample["json"]), len(images)])
        return TextSample(**basic_sample_keys(sample), text=text)

    class Encoder(DefaultTaskEncoder):  # type: ignore[misc]
        cookers = (Cooker(cook, has_subflavors={"schema": "storyloom/1"}),)

        def __init__(self) -> None:
            super().__init__(raw_batch_type=None)

    samples = energon_samples(out, "train", "crude.yaml", Encoder())
    found = {sample.__key__: tuple(json.loads(sample.text)) for sample in samples}
    assert found == expected(out, "train")


def test_energon_trains_on_every_document_once_an_epoch(out: Path) -> None:
    from megatron.energon import WorkerConfig, get_loader, get_train_dataset

    keys = expected(out, "train")
    samples = get_train_dataset(
        str(out),
        worker_config=WorkerConfig(rank=0, world_size=1, num_workers=2),
        batch_size=1,
        shuffle_buffer_size=8,
        max_samples_per_sequence=4,
        repeat=False,
    )
    found = [key for batch in get_loader(samples) for key in batch.__key__]
    assert sorted(found) == sorted(keys)


def test_energon_lint_finds_nothing_wrong(out: Path) -> None:
    command = [sys.executable, "-m", "megatron.energon.cli.main", "lint", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_index_is_what_energon_would_write(out: Path, tmp_path: Path) -> None:
    from megatron.energon.epathlib import EPath
    from megatron.energon.flavors.webdataset.prepare import WebdatasetPreparator

    tars = sorted((out / "data").rglob("*.tar"))
    assert tars
    for tar in tars:
        copy = tmp_path / tar.name
        copy.write_bytes(tar.read_bytes())
        rows = WebdatasetPreparator._preprocess_tar(tar.name, {tar.name: 0}, EPath(tmp_path), 50)
        assert len(list(rows)) > 0
        assert copy.with_suffix(".tar.idx").read_bytes() == tar.with_suffix(".tar.idx").read_bytes()


def test_gnu_tar_unpacks_a_shard_into_the_files_that_the_documents_name(out: Path, tmp_path: Path) -> None:
    from PIL import Image

    shard = out / "data/train/shard-000000.tar"
    subprocess.run(["tar", "-x", "-f", str(shard), "-C", str(tmp_path)], check=True, timeout=60)
    for content in (content for name, content in read_shard(shard).items() if name.endswith(".json")):
        each = json.loads(content)
        names = [name for name in each["images"] if name is not None]
        sizes = [Image.open(io.BytesIO((tmp_path / name).read_bytes())).size for name in names]
        assert sizes == list(zip(each["image_width"], each["image_height"], strict=True))
