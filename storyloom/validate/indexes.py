"""The check of the index files beside the shards against the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

from storyloom.card.croissant import croissant
from storyloom.card.front_matter import front_matter
from storyloom.card.indexes import SAMPLE_LOADER, as_json, as_yaml, index_files
from storyloom.format.manifest import Published
from storyloom.fs.folder import DataFolder
from storyloom.validate.files import read_index
from storyloom.validate.parse import differences, parse, parse_yaml
from storyloom.validate.violation import Violations

CARD, CROISSANT = "README.md", "croissant.json"
LOADER = f".nv-meta/{SAMPLE_LOADER.name}"

LOADED = ("@context", "@type", "conformsTo", "distribution", "recordSet")
"""Keys of a Croissant description that say what is loaded."""

MOST_UNKNOWN = 4 * 2**20
"""Bytes of an index file where no manifest says how large it is, and of a card's text (our choice)."""

RULE_OF = (
    ("data/*/sizes.json", "sizes"),
    ("wids-*.json", "wids"),
    (".nv-meta/.info.json", "energon_info"),
    (".nv-meta/split.yaml", "energon_split"),
    (".nv-meta/*.yaml", "energon_sample"),
)
"""The rule that is broken by an index file that disagrees with the manifest: the first whose pattern matches."""


def check_indexes(folder: DataFolder, published: Published, violations: Violations) -> list[str]:
    """Compare every index file and the card with the manifest; returns their paths."""
    wanted = index_files(published)
    for file, right in wanted.items():
        content = read_index(folder, file, violations, _most(right))
        if content is None or content == right:
            continue
        found = _parsed(file, content, violations)
        if found is None:
            continue
        rule = next(rule for pattern, rule in RULE_OF if fnmatch(file, pattern))
        for message in differences(_normal(parse(file, right)), _normal(found)):
            violations.add(file, rule, message)
    _check_croissant(folder, published, violations)
    _check_card(folder, published, violations)
    return [*wanted, CROISSANT, CARD]


def check_syntax(folder: DataFolder, splits: Sequence[str], violations: Violations) -> list[str]:
    """Parse the index files of a dataset without a readable manifest; returns their paths."""
    per_split = [name for split in splits for name in (f"data/{split}/sizes.json", f"wids-{split}.json")]
    meta = [".info.json", "split.yaml", "dataset.yaml", "similarity.yaml", "crude.yaml", SAMPLE_LOADER.name]
    files = [*per_split, *(f".nv-meta/{name}" for name in meta), CROISSANT]
    for file in files:
        content = read_index(folder, file, violations, MOST_UNKNOWN)
        if content is not None:
            _parsed(file, content, violations)
    if (content := read_index(folder, CARD, violations, MOST_UNKNOWN)) is not None:
        _front_matter(content, violations)
    return [*files, CARD]


def _most(right: bytes) -> int:
    """Bytes that a file may have in the place of one with this content: it may be written in another way."""
    return 4 * len(right) + 2**17


def _parsed(file: str, content: bytes, violations: Violations) -> dict[str, Any] | None:
    if file == LOADER:
        if content != SAMPLE_LOADER.read_bytes():
            violations.add(file, "energon_loader", "it is not the loader that storyloom writes")
        return None
    try:
        found = parse(file, content)
    except ValueError as reason:
        violations.add(file, "index_syntax", str(reason))
        return None
    if not isinstance(found, dict):
        violations.add(file, "index_syntax", f"it holds a {type(found).__name__}, must be a mapping")
        return None
    return found


def _normal(value: dict[str, Any]) -> dict[str, Any]:
    """Drop what may differ: the version of Energon, and empty splits."""
    kept = {key: one for key, one in value.items() if key != "energon_version"}
    if isinstance(parts := kept.get("split_parts"), dict):
        kept["split_parts"] = {split: shards for split, shards in parts.items() if shards}
    return kept


def _check_croissant(folder: DataFolder, published: Published, violations: Violations) -> None:
    """Check what a reader loads; descriptions, licences and citations are the owner's."""
    right = croissant(published, "")
    content = read_index(folder, CROISSANT, violations, _most(as_json(right)))
    found = _parsed(CROISSANT, content, violations) if content is not None else None
    if found is None:
        return
    for message in differences(_loaded(right), _loaded(found)):
        violations.add(CROISSANT, "croissant", message)


def _loaded(value: dict[str, Any]) -> dict[str, Any]:
    return {key: value.get(key) for key in LOADED}


def _front_matter(content: bytes, violations: Violations, most: int = MOST_UNKNOWN) -> dict[str, Any] | None:
    before, _, rest = content.decode("utf-8", "replace").partition("---\n")
    text, end, _ = rest.partition("\n---\n")
    if before or not end:
        violations.add(CARD, "card_syntax", "it must begin with YAML between two lines of three dashes")
        return None
    if len(text) > most:
        violations.add(CARD, "card_syntax", f"its front matter has {len(text)} characters, more than {most}")
        return None
    try:
        found = parse_yaml(text)
    except ValueError as reason:
        violations.add(CARD, "card_syntax", str(reason))
        return None
    if not isinstance(found, dict):
        violations.add(CARD, "card_syntax", f"its front matter is a {type(found).__name__}, must be a mapping")
        return None
    return found


def _check_card(folder: DataFolder, published: Published, violations: Violations) -> None:
    """Check the fields that determine what is loaded; the rest of a card belongs to its owner."""
    wanted = front_matter(published)
    most = _most(as_yaml(wanted).encode())
    content = read_index(folder, CARD, violations, most + MOST_UNKNOWN)
    found = _front_matter(content, violations, most) if content is not None else None
    if found is None:
        return
    for message in differences(wanted["configs"], found.get("configs"), "configs"):
        violations.add(CARD, "card_data_files", message)
    info = found.get("dataset_info")
    features = info.get("features") if isinstance(info, dict) else None
    for message in _feature_differences(wanted["dataset_info"]["features"], features):
        violations.add(CARD, "card_features", message)


def _feature_differences(wanted: list[dict[str, Any]], found: Any) -> list[str]:
    """Differences by feature name, so that a missing one does not shift all others."""
    if not isinstance(found, list) or not all(isinstance(one, dict) and "name" in one for one in found):
        return ["dataset_info.features is not a list of features with names"]
    by_name, found_by_name = ({str(one["name"]): one for one in features} for features in (wanted, found))
    messages = [*differences(by_name, found_by_name, "dataset_info.features")]
    if not messages and [one["name"] for one in found] != [one["name"] for one in wanted]:
        messages.append("dataset_info.features are in another order, or one is there twice")
    return messages
