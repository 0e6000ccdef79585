"""How each consumer loads the dataset: the code on the card, run by tests/consumers/test_snippets.py."""

from __future__ import annotations

from storyloom.card.front_matter import SPLIT_NAMES
from storyloom.format.manifest import Published

FOLDER = "path/to/this/folder"
"""Stands for the dataset's folder in every snippet."""

SNIPPETS = {
    "webdataset": """\
import torch
import webdataset

shards = "{root}/data/{folder}/shard-{{000000..{last:06d}}}.tar"
samples = webdataset.WebDataset(shards, shardshuffle={shards}).shuffle(1000).decode("pil")
# as many workers as you like, up to the number of shards
documents = torch.utils.data.DataLoader(samples, batch_size=None, num_workers={workers})
""",
    "wids": """\
import wids  # random access: documents[17]

# in place: its own cache would take shards of equal names for one another
documents = wids.ShardListDataset("{root}/wids-{folder}.json", localname=lambda path: path)
""",
    "Hugging Face datasets": """\
from datasets import load_dataset

documents = load_dataset("{root}", split="{split}", streaming=True)
""",
    "Megatron-Energon": """\
from megatron.energon import WorkerConfig, get_loader, get_train_dataset

# no `energon prepare`; similarity.yaml gives images, texts and which belong together
samples = get_train_dataset(
    "{root}",
    dataset_config="dataset.yaml",
    split_part="{folder}",
    worker_config=WorkerConfig.default_worker_config(num_workers=1),
    batch_size=None,
    shuffle_buffer_size=1000,
    max_samples_per_sequence=100,
    repeat=False,
)
documents = get_loader(samples)
""",
    "Megatron-Energon, with times": """\
from dataclasses import dataclass

from megatron.energon import (
    Cooker, DefaultTaskEncoder, Sample, WorkerConfig, basic_sample_keys, get_loader, get_train_dataset, stateless
)

@dataclass
class Document(Sample):
    content: dict  # of KEY.json
    images: list  # tensors, in the order of content["image_time"]

@stateless
def cook(sample):
    names = [name.partition(".")[2] for name in sample["json"]["images"] if name]
    return Document(**basic_sample_keys(sample), content=sample["json"], images=[sample[name] for name in names])

class Encoder(DefaultTaskEncoder):
    cookers = [Cooker(cook, has_subflavors={{"schema": "{schema}"}})]

samples = get_train_dataset(
    "{root}",
    dataset_config="crude.yaml",
    split_part="{folder}",
    worker_config=WorkerConfig.default_worker_config(num_workers=1),
    batch_size=None,
    shuffle_buffer_size=1000,
    max_samples_per_sequence=100,
    repeat=False,
    task_encoder=Encoder(),
)
documents = get_loader(samples)
""",
    "NeMo Curator": """\
from nemo_curator.backends.ray_data import RayDataExecutor
from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.interleaved.io.reader import InterleavedWebdatasetReader

reader = InterleavedWebdatasetReader(
    "{root}/data/{folder}",
    materialize_on_read=True,
    per_image_fields=("image_time", "image_clip_score", "image_shift"),
    per_text_fields=("text_start", "text_end", "text_source"),
)
# tables with a row per text and image, their position in the document and their times
documents = Pipeline("read", stages=[reader]).run(RayDataExecutor())
""",
    "Ray Data": """\
import ray

# undecoded, since documents differ in how many images they have: `json.loads(row["json"])` is the document, and
# columns of images that it does not have hold no bytes
documents = ray.data.read_webdataset("{root}/data/{folder}", file_extensions=["tar"], decoder=None)
""",
    "mlcroissant": """\
import os

# its cache knows shards by their names only, which are the same in other datasets
os.environ["CROISSANT_CACHE"] = "~/.cache/croissant/{sha256:.16}"

import mlcroissant

dataset = mlcroissant.Dataset(jsonld="{root}/croissant.json")
documents = dataset.records("documents")
images = dataset.records("images")
""",
}
"""Code by consumer; each leaves what it loaded in `documents`."""


def snippets(published: Published) -> dict[str, str]:
    """The code for this dataset by consumer, for its first split."""
    split, totals = next(iter(published.splits.items()))
    values = {
        "root": FOLDER,
        "schema": published.schema_,
        "folder": split,
        "split": SPLIT_NAMES[split],
        "shards": totals.nshards,
        "last": totals.nshards - 1,
        "sha256": published.sha256,
        "workers": min(totals.nshards, 4),
    }
    return {consumer: code.format(**values) for consumer, code in SNIPPETS.items()}
