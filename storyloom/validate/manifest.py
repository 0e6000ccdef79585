"""The check of `manifest.json` against the shards, and of its own consistency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from storyloom.format.manifest import (
    MANIFEST,
    Published,
    broken_rules,
    dataset_sha256,
    describe,
    names_flaw,
    values_flaw,
)
from storyloom.format.shard import Shard
from storyloom.fs.folder import DataFolder
from storyloom.validate.files import read_index
from storyloom.validate.parse import parse
from storyloom.validate.result import ShardFacts
from storyloom.validate.violation import Violations

COUNTED = ("nsamples", "nimages")
KINDS = ("videos", "frames", "sentences", "documents", "captions", "fusions")
HASHED = ("filesize", "sha256", "md5sum")


def load_manifest(folder: DataFolder, violations: Violations) -> Published | None:
    """The manifest of a dataset; None, and a violation, when it is missing or unreadable."""
    content = read_index(folder, MANIFEST, violations)
    if content is None:
        return None
    try:
        return _published(content)
    except ValidationError as error:
        for message in broken_rules(error, 5):
            violations.add(MANIFEST, "manifest", message)
    except ValueError as reason:
        violations.add(MANIFEST, "manifest", str(reason))
    return None


def _published(content: bytes) -> Published:
    """The manifest in these bytes.

    Raises:
        ValueError: There is none in it, it is too large to be checked, or a key is there twice.
    """
    if flaw := values_flaw(content):
        raise ValueError(flaw)
    published = Published.model_validate_json(content, strict=True)
    if flaw := names_flaw(published):
        raise ValueError(flaw)
    parse(MANIFEST, content)
    return published


def check_manifest(
    published: Published, files: Sequence[str], facts: Mapping[str, ShardFacts], nvideos: int, violations: Violations
) -> None:
    """Compare the manifest with the folder and the shards.

    Args:
        published: The manifest.
        files: Paths of the shards that are there, in order.
        facts: Of every shard that could be read, by its path.
        nvideos: Videos that the documents come from.
        violations: Collects the differences.
    """
    _check_list(published, files, violations)
    for shard in published.shards:
        if found := facts.get(shard.file):
            _check_shard(shard, found, violations)
    try:
        splits = describe(published.name, published.max_images, published.shards, published.provenance).splits
    except ValidationError as error:
        violations.add(MANIFEST, "manifest_total", f"the sums over its shards make no sense: {broken_rules(error)[0]}")
        splits = published.splits
    for split in sorted({*published.splits, *splits}):
        if published.splits.get(split) != splits.get(split):
            violations.add(MANIFEST, "manifest_total", f"splits.{split} is not the sum of its shards")
    wanted = dataset_sha256(published.shards)
    if published.sha256 != wanted:
        violations.add(MANIFEST, "dataset_hash", f"sha256 is {published.sha256}, but its shards give {wanted}")
    _check_funnel(published, [facts.get(shard.file) for shard in published.shards], nvideos, violations)


def _check_funnel(
    published: Published, facts: Sequence[ShardFacts | None], nvideos: int, violations: Violations
) -> None:
    """In = out + dropped + failed; and what was kept is what the shards hold, where all of them could be read."""
    kinds = [row.what for row in published.provenance.funnel]
    if len(set(kinds) & set(KINDS)) < len(kinds):
        violations.add(MANIFEST, "manifest_funnel", f"its rows count {kinds}, must be some of {', '.join(KINDS)}")
    for row in published.provenance.funnel:
        gone = sum(row.dropped.values()) + sum(row.failed.values())
        if row.found != row.kept + gone:
            message = f"of {row.found} {row.what} {row.kept} were kept and {gone} were not"
            violations.add(MANIFEST, "manifest_funnel", message)
    whole = [one for one in facts if one and one.whole and one.counts]
    if len(whole) < len(facts):
        return
    held = {
        "frames": sum(one.nimages for one in whole),
        "sentences": sum(one.ntexts for one in whole),
        "documents": sum(one.nsamples for one in whole),
    }
    for row in published.provenance.funnel:
        if row.kept != held.get(row.what, row.kept):
            message = f"{row.kept} {row.what} were kept, but the shards hold {held[row.what]}"
            violations.add(MANIFEST, "manifest_funnel", message)
        if row.what == "videos" and not nvideos <= row.kept <= held["documents"]:
            message = f"{row.kept} videos were kept, but {held['documents']} documents come from {nvideos}"
            violations.add(MANIFEST, "manifest_funnel", message)


def _check_list(published: Published, files: Sequence[str], violations: Violations) -> None:
    listed = [shard.file for shard in published.shards]
    there = set(files)
    for file in dict.fromkeys(listed):
        if file not in there:
            violations.add(file, "missing_file", "the manifest lists this shard, but it is not there")
    known = set(listed)
    for file in files:
        if file not in known:
            violations.add(file, "surplus_file", "the manifest does not list this shard")
    wrong_split = [shard.file for shard in published.shards if not shard.file.startswith(f"data/{shard.split}/")]
    in_order = [file for file in files if file in known]
    if wrong_split:
        violations.add(MANIFEST, "manifest_shards", f"{wrong_split[0]!r} is listed under another split")
    elif [file for file in listed if file in there] != in_order:
        violations.add(MANIFEST, "manifest_shards", "shards are not listed once each, training shards first, in order")


def _check_shard(shard: Shard, found: ShardFacts, violations: Violations) -> None:
    hashes = {name: getattr(found, name) for name in HASHED}
    if found.items_sha256:
        hashes["items_sha256"] = found.items_sha256
    _compare("manifest_hash", shard, hashes, violations)
    if found.whole and found.counts:
        counted = found.counts.counted()
        if not found.has_tokens:
            del counted["ntokens"]
        _compare("manifest_count", shard, counted, violations)
    elif found.whole:
        _compare("manifest_count", shard, {name: getattr(found, name) for name in COUNTED}, violations)


def _compare(rule: str, shard: Shard, right: Mapping[str, Any], violations: Violations) -> None:
    stated = {name: getattr(shard, name) for name in right}
    wrong = [
        f"{name} is {stated[name]}, the shard gives {value}" for name, value in right.items() if stated[name] != value
    ]
    if wrong:
        violations.add(shard.file, rule, "the manifest's " + "; ".join(wrong))
