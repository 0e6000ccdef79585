"""The published output, loaded by the trainers' own readers: every document and every image, every time."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storyloom.format.codes import read_codes
from tests.documents import read_documents, read_shard

pytestmark = pytest.mark.consumers


def expected(out: Path, split: str) -> dict[str, tuple[list[str], int]]:
    """By key: the texts, and how many images, as the tar files hold them."""
    documents = read_documents(out / "data" / split)
    return {
        key: ([text for text in each["texts"] if text is not None], len(each["image_time"]))
        for key, each in documents.items()
    }


def sounds_of(out: Path, key: str) -> list[bytes]:
    """The sounds of a document's texts, in their order."""
    members = (read_shard(path) for path in sorted(out.rglob("*.tar")))
    return [
        data for shard in members for name, data in shard.items() if name.startswith(key) and name.endswith(".opus")
    ]


def codes_of(out: Path, key: str) -> list[Any]:
    """The codes of a document's images, in their order."""
    members = (read_shard(path) for path in sorted(out.rglob("*.tar")))
    return [
        read_codes(data).tolist()
        for shard in members
        for name, data in shard.items()
        if name.startswith(key) and name.endswith(".codes.npy")
    ]


def spoken(each: dict[str, Any]) -> list[str]:
    return [text for text in each["texts"] if text is not None]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("split", ["train", "val"])
def test_webdataset_reads_every_document_and_decodes_every_image(out: Path, split: str, workers: int) -> None:
    import webdataset
    from torch.utils.data import DataLoader

    urls = [str(path) for path in sorted((out / "data" / split).glob("*.tar"))]
    streamed = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8")
    samples = list(DataLoader(streamed, batch_size=None, num_workers=workers))
    documents = read_documents(out / "data" / split)
    assert sorted(sample["__key__"] for sample in samples) == sorted(documents)
    for sample in samples:
        assert sample["json"] == documents[sample["__key__"]]
        images = [value for name, value in sample.items() if name.endswith(".jpg")]
        assert [image.shape for image in images] == [(48, 64, 3)] * len(sample["json"]["image_time"])
        assert [sample[name] for name in sample if name.endswith(".opus")] == sounds_of(out, sample["__key__"])
        codes = [value.tolist() for name, value in sample.items() if name.endswith(".codes.npy")]
        assert codes == codes_of(out, sample["__key__"])


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
        assert len(images) == len(sample[".json"]["image_time"])
        found[sample["__key__"]] = sample[".json"]
    assert found == read_documents(out / "data" / split)
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
    for row in rows:
        sounds = [value for name, value in row.items() if name.endswith(".opus") and value is not None]
        assert sounds == sounds_of(out, row["__key__"])
        given = [value for name, value in row.items() if name.endswith(".codes.npy") and value is not None]
        codes = [np.asarray(value).tolist() for value in given]  # arrays when they are streamed, else lists
        assert codes == codes_of(out, row["__key__"])


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


def test_energon_hands_a_crude_sample_with_its_times_to_the_cooker_that_asks_for_this_schema(out: Path) -> None:
    from megatron.energon import Cooker, DefaultTaskEncoder, TextSample, basic_sample_keys, stateless

    @stateless  # type: ignore[untyped-decorator]
    def cook(sample: dict[str, Any]) -> TextSample:
        images = [name for name in sample if name.endswith(".jpg")]
        assert len(images) == len(sample["json"]["image_time"])
        sounds = [sample[name] for name in sample if name.endswith(".opus")]
        assert sounds == sounds_of(out, sample["json"]["sample_id"])
        return TextSample(**basic_sample_keys(sample), text=json.dumps(sample["json"]))

    class Encoder(DefaultTaskEncoder):  # type: ignore[misc]
        cookers = (Cooker(cook, has_subflavors={"schema": "storyloom/2"}),)

        def __init__(self) -> None:
            super().__init__(raw_batch_type=None)

    samples = energon_samples(out, "val", "crude.yaml", Encoder())
    assert {sample.__key__: json.loads(sample.text) for sample in samples} == read_documents(out / "data" / "val")


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


def test_index_and_counts_are_what_energon_prepare_writes(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out / "data", tmp_path / "data")
    for index in (tmp_path / "data").rglob("*.idx"):
        index.unlink()
    energon = [sys.executable, "-m", "megatron.energon.cli.main", "prepare", "--non-interactive", "--num-workers=1"]
    options = ["--no-progress", "--skip-dataset-yaml", *(f"--split-parts={s}:data/{s}/.*" for s in ("train", "val"))]
    ran = subprocess.run([*energon, *options, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    written = sorted(path.relative_to(out) for path in out.rglob("*.idx"))
    assert len(written) >= 5
    for file in [*written, Path(".nv-meta/.info.json")]:
        assert (tmp_path / file).read_bytes() == (out / file).read_bytes(), file


def test_croissant_finds_no_error_in_the_metadata(out: Path) -> None:
    import mlcroissant  # type: ignore[import-untyped]

    issues = mlcroissant.Dataset(jsonld=str(out / "croissant.json")).metadata.issues
    assert not issues.errors
    # No licence is known of these documents, a date would differ between runs, and nothing was published to cite.
    assert all(any(word in one for word in ("license", "datePublished", "citeAs")) for one in issues.warnings)


def test_gnu_tar_unpacks_a_shard_into_the_files_that_the_documents_name(out: Path, tmp_path: Path) -> None:
    from PIL import Image

    shard = out / "data/train/shard-000000.tar"
    subprocess.run(["tar", "-x", "-f", str(shard), "-C", str(tmp_path)], check=True, timeout=60)
    for content in (content for name, content in read_shard(shard).items() if name.endswith(".json")):
        each = json.loads(content)
        names = [name for name in each["images"] if name is not None]
        sizes = [Image.open(io.BytesIO((tmp_path / name).read_bytes())).size for name in names]
        assert sizes == list(zip(each["image_width"], each["image_height"], strict=True))
