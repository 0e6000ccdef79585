"""The index files beside the shards, one set per reader. docs/format.md lists them by reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from storyloom.format.manifest import Published
from storyloom.format.shard import Split

ENERGON_VERSION = "7.4.1"
"""Release of Megatron-Energon whose metadata format is written."""

SAMPLE_LOADER = Path(__file__).with_name("sample_loader.py")


def index_files(published: Published) -> dict[str, bytes]:
    """Path within the dataset and content of every index file but the card and the manifest."""
    files: dict[str, bytes] = {}
    for split in published.splits:
        files[f"data/{split}/sizes.json"] = as_json(_sizes(published, split))
        files[f"wids-{split}.json"] = as_json(_wids(published, split))
    return files | _energon(published)


def as_json(value: Mapping[str, Any]) -> bytes:
    """JSON that a person can read, in the order of `value`."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def as_yaml(value: Mapping[str, Any]) -> str:
    """YAML that a person can read, in the order of `value`."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)


def _sizes(published: Published, split: Split) -> dict[str, int]:
    """Documents per shard by file name, the `sizes.json` that OpenCLIP and OpenFlamingo read."""
    return {Path(shard.file).name: shard.nsamples for shard in published.of(split)}


def _wids(published: Published, split: Split) -> dict[str, Any]:
    shards = [
        {"url": s.file, "nsamples": s.nsamples, "filesize": s.filesize, "md5sum": s.md5sum} for s in published.of(split)
    ]
    name = f"{published.name}-{split}"
    return {"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": name, "shardlist": shards}


def _energon(published: Published) -> dict[str, bytes]:
    counts = {shard.file: shard.nsamples for shard in published.shards}
    # `energon lint` looks for a test split, too, and fails where it is not named
    parts = {split: [shard.file for shard in published.of(split)] for split in ("train", "val")} | {"test": []}
    texts = {
        "split.yaml": as_yaml({"split_parts": parts, "exclude": []}),
        "dataset.yaml": as_yaml(_sample_type("InterleavedSample", "interleaved")),
        "similarity.yaml": as_yaml(_sample_type("SimilarityInterleavedSample", "similarity")),
        "crude.yaml": as_yaml(_energon_class("CrudeWebdataset") | {"subflavors": {"schema": published.schema_}}),
        "sample_loader.py": SAMPLE_LOADER.read_text(encoding="utf-8"),
    }
    files = {f".nv-meta/{name}": text.encode() for name, text in texts.items()}
    info = as_json({"energon_version": ENERGON_VERSION, "shard_counts": counts})
    return files | {".nv-meta/.info.json": info.removesuffix(b"\n")}  # as `energon prepare` writes it


def _sample_type(name: str, loader: str) -> dict[str, Any]:
    return {
        "sample_type": _energon_class(name),
        "sample_loader": f"{SAMPLE_LOADER.name}:{loader}",
        "part_filter": f"{SAMPLE_LOADER.name}:part_filter",
    }


def _energon_class(name: str) -> dict[str, Any]:
    return {"__module__": "megatron.energon", "__class__": name}
