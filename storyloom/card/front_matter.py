"""The YAML at the top of the dataset card: what Hugging Face's hub and `datasets` read."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from storyloom.format.arrow import arrow_schema
from storyloom.format.manifest import Published
from storyloom.format.sample import ADDED, IMAGE_DIGITS, SCHEMA, Sample, codes_name, sound_name

SPLIT_NAMES = {"train": "train", "val": "validation"}
"""A split's folder, and the split's name in Hugging Face's `datasets`."""

DTYPES = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "float64"}

LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
"""The form of BCP 47's codes."""

SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
"""The hub's size categories by the number below which they apply."""


def front_matter(published: Published) -> dict[str, Any]:
    """The card's YAML. The globs name the shards alone, and every image and sound is declared: see docs/format.md."""
    data_files = [{"split": SPLIT_NAMES[split], "path": f"data/{split}/shard-*.tar"} for split in published.splits]
    images = [f"{number:0{IMAGE_DIGITS}d}.jpg" for number in range(published.max_images)]
    sounds = [sound_name("", number)[1:] for number in range(published.most_sounds)]
    codes = [codes_name("", number)[1:] for number in range(published.max_images if published.has_codes else 0)]
    features = [
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
        {"name": "json", "struct": [_feature(name, column) for name, column in _document_columns(published).items()]},
        *({"name": image, "dtype": "image"} for image in images),
        *({"name": one, "sequence": {"sequence": "uint16"}} for one in codes),
        # "audio" would be decoded by torchcodec, which few have; readers decode the bytes as they like
        *({"name": sound, "dtype": "binary"} for sound in sounds),
    ]
    languages = language_codes(published)
    documents = sum(totals.nsamples for totals in published.splits.values())
    return {
        "pretty_name": published.name,
        **({"language": languages} if languages else {}),
        "task_categories": ["image-text-to-text"],
        "size_categories": [next((name for below, name in SIZES if documents < below), "n>10M")],
        "tags": ["webdataset", "interleaved", "video"],
        "configs": [{"config_name": "default", "data_files": data_files}],
        "dataset_info": {"features": features},
    }


def language_codes(published: Published) -> list[str]:
    """The documents' languages that are codes; a manifest may name others, which the hub refuses."""
    found = {language for totals in published.splits.values() for language in totals.languages}
    return sorted(filter(LANGUAGE.fullmatch, found))


def _document_columns(published: Published) -> dict[str, pa.DataType]:
    """Name and Arrow type of every key of `KEY.json`, in the order in which the file has them."""
    types = {Sample.model_fields[column.name].alias or column.name: column.type for column in arrow_schema(Sample)}
    absent = ADDED if published.schema_ != SCHEMA else frozenset()
    return {name: kind for name, kind in sorted(types.items()) if name not in absent}


def _feature(name: str, column: pa.DataType) -> dict[str, str]:
    # "sequence" is the one spelling of a list that datasets 2.21 and 5 both read
    if pa.types.is_list(column):
        return {"name": name, "sequence": DTYPES[column.value_type]}
    return {"name": name, "dtype": DTYPES[column]}
