"""The dataset card: what Hugging Face reads in its front matter, and what a person reads below."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from pipeline.dataset.indexes import as_yaml
from pipeline.dataset.published import Published
from schemas.arrow import arrow_schema
from schemas.sample import IMAGE_DIGITS, Sample

SPLIT_NAMES = {"train": "train", "val": "validation"}
"""A split's folder, and the split's name in Hugging Face's `datasets`."""

DTYPES = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "float64"}

LOADING = """\
## Loading

```python
# Hugging Face datasets
from datasets import load_dataset
documents = load_dataset("path/to/this/folder", split="{split}", streaming=True)

# webdataset
import webdataset
shards = "path/to/this/folder/data/{folder}/shard-{{000000..{last:06d}}}.tar"
documents = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")

# wids: random access, in place (its own cache takes shards of equal names for one another)
import wids
documents = wids.ShardListDataset("path/to/this/folder/wids-{folder}.json", localname=lambda path: path)

# Megatron-Energon: no `energon prepare` needed; dataset_config="similarity.yaml" gives another sample type
from megatron.energon import WorkerConfig, get_train_dataset
documents = get_train_dataset("path/to/this/folder", worker_config=WorkerConfig.default_worker_config(),
                              batch_size=1, shuffle_buffer_size=100, max_samples_per_sequence=100)
```
"""

LAYOUT = """\
## A document

`KEY.json` and its images `KEY.000.jpg`, `KEY.001.jpg`, … lie next to each other in a shard. In `KEY.json`, `texts` and
`images` are parallel: each position holds a text or the file name of an image, in time order, a frame before the text
in whose interval it lies. `image_time`, `text_start` and `text_end` are seconds from the start of the video.
`image_text_index` is the text that an image goes with (-1: none), `image_clip_score` is their similarity, and
`image_shift` tells by how many seconds that text was moved against the clock.
"""


def card(published: Published) -> str:
    """The text of the dataset's `README.md`."""
    split = next(iter(published.splits))
    loading = LOADING.format(split=SPLIT_NAMES[split], folder=split, last=published.splits[split].nshards - 1)
    parts = [f"# {published.name}\n\n{summary(published)}\n", _counts(published), LAYOUT, loading, _making(published)]
    return f"---\n{as_yaml(front_matter(published))}---\n\n" + "\n".join(parts)


def summary(published: Published) -> str:
    """What the dataset is, in one sentence."""
    totals = published.splits.values()
    documents, images = sum(t.nsamples for t in totals), sum(t.nimages for t in totals)
    words, hours = sum(t.nwords for t in totals), sum(t.seconds for t in totals) / 3600
    return (
        f"{documents} interleaved video-text documents: {images} frames and {words} words spoken around them, "
        f"from {hours:.2f} hours of video, with the time of every frame and sentence."
    )


def front_matter(published: Published) -> dict[str, Any]:
    """The card's YAML. The globs name the shards alone, and every image is declared: see docs/format.md."""
    data_files = [{"split": SPLIT_NAMES[split], "path": f"data/{split}/shard-*.tar"} for split in published.splits]
    images = [f"{number:0{IMAGE_DIGITS}d}.jpg" for number in range(published.max_images)]
    features = [
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
        {"name": "json", "struct": [_feature(name, column) for name, column in _document_columns().items()]},
        *({"name": image, "dtype": "image"} for image in images),
    ]
    languages = {language for totals in published.splits.values() for language in totals.languages if language}
    return {
        "pretty_name": published.name,
        **({"language": sorted(languages)} if languages else {}),
        "task_categories": ["image-text-to-text"],
        "tags": ["webdataset", "interleaved", "video"],
        "configs": [{"config_name": "default", "data_files": data_files}],
        "dataset_info": {"features": features},
    }


def _document_columns() -> dict[str, pa.DataType]:
    """Name and Arrow type of every key of `KEY.json`, in the order in which the file has them."""
    types = {Sample.model_fields[column.name].alias or column.name: column.type for column in arrow_schema(Sample)}
    return dict(sorted(types.items()))


def _feature(name: str, column: pa.DataType) -> dict[str, str]:
    # "sequence" is the one spelling of a list that datasets 2.21 and 5 both read
    if pa.types.is_list(column):
        return {"name": name, "sequence": DTYPES[column.value_type]}
    return {"name": name, "dtype": DTYPES[column]}


def _counts(published: Published) -> str:
    rows = [
        {
            "split": split,
            "shards": totals.nshards,
            "documents": totals.nsamples,
            "images": totals.nimages,
            "words": totals.nwords,
            "hours": f"{totals.seconds / 3600:.2f}",
            "bytes": totals.filesize,
        }
        for split, totals in published.splits.items()
    ]
    languages = "\n".join(
        f"- {SPLIT_NAMES[split]}: " + ", ".join(f"{code or 'unknown'} {n}" for code, n in totals.languages.items())
        for split, totals in published.splits.items()
    )
    return f"{_table(rows)}\nDocuments by language:\n\n{languages}\n"


def _making(published: Published) -> str:
    """How the dataset was made; the manifest holds the same in full."""
    made = published.provenance
    parts = ["## How it was made\n"]
    if made.funnel:
        parts.append(_table(made.funnel))
    if made.revisions:
        parts.append(
            _table([{"stage": stage, "model revision": name} for stage, name in sorted(made.revisions.items())])
        )
    if made.tools:
        parts.append(_table([{"tool": tool, "version": version} for tool, version in sorted(made.tools.items())]))
    if made.config:
        # JSON is YAML, and unlike YAML it never needs more than one line per value
        parts.append(f"```json\n{json.dumps(made.config, indent=2, sort_keys=True, ensure_ascii=False)}\n```\n")
    parts.append(
        "`manifest.json` lists every shard with its SHA-256. The dataset's own is what "
        f"`sha256sum data/*/*.tar | sha256sum` prints: `{published.sha256}`.\n"
    )
    return "\n".join(parts)


def _table(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [columns, ["---"] * len(columns), *([row.get(column, "") for column in columns] for row in rows)]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in cells)


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())
