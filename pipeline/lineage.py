"""Lineage by content: hashes of everything that a unit's output depends on, from which staleness follows.

A stage's key stands for its code version, its config as far as it changes the output, and its model and programs. A
unit's key adds the hash of everything that the unit reads: the tables of other stages, results over the corpus, the
fields of the manifest that the stage names, and state outside, such as a local media file's size and time. So a unit
that was done again makes its readers stale, under every config, exactly where its output changed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.config import RunConfig
from pipeline.graph import Graph
from pipeline.store import Address, Mark, canonical_digest
from schemas.manifest import ManifestRow
from stages.base import ROWS, AnyStage, Context, CorpusStep, StageSetupError
from stages.registry import AnyStageClass
from storyloom.format.model import Model

KEY_DIGITS = 16
"""Hexadecimal digits of a key (our choice: 64 bits, and a unit's key is looked for among those of its own name)."""

LAYOUT = 2
"""Version of how the files of units are named in a work folder: 2 names tables and folders by their hashes."""

REMEMBERED = 50_000
"""Marks that are remembered to show how a run goes on (our choice: those of a wave in several stages)."""

CORPUS = "corpus"
"""Name of the one unit of a corpus step's result."""


@dataclass(frozen=True)
class StageKey:
    """A stage's key and its ingredients."""

    key: str
    ingredients: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """The result of a corpus step, and its hash."""

    sha256: str
    value: Model


def stage_keys(config: RunConfig, context: Context, names: Collection[str] = ()) -> dict[str, StageKey]:
    """The key of every stage that is on, or of the named ones, by name.

    Raises:
        StageSetupError: A stage's model or program is not there.
    """
    found = {}
    for name, stage in config.graph.stages.items():
        if names and name not in names:
            continue
        section = config.stage(name)
        try:
            revision = stage(section, context).revision()
        except (StageSetupError, OSError):
            raise
        except Exception as reason:
            raise StageSetupError(f"{name}.revision() failed: {type(reason).__name__}: {reason}") from reason
        ingredients = {
            "stage": name,
            "layout": LAYOUT,
            "version": stage.version,
            "config": section.identity(),
            "revision": revision,
            "seed": config.seed if stage.seeded else None,
        }
        if stage.shares:
            ingredients["shares"] = {other: config.stage(other).identity() for other in stage.shares}
        found[name] = StageKey(canonical_digest(ingredients)[:KEY_DIGITS], ingredients)
    return found


def what_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The difference between old and new ingredients, in words: why earlier output is stale."""
    changes = [
        f"{new['stage']}.{key} {_shown(old['config'].get(key))} → {_shown(value)}"
        for key, value in new["config"].items()
        if old["config"].get(key) != value
    ]
    changes += [
        f"{label} {_shown(old.get(key))} → {_shown(new.get(key))}"
        for key, label in (
            ("version", "code version"),
            ("layout", "names of its files"),
            ("revision", "model or tool"),
            ("seed", "seed"),
            ("shares", "settings of other stages"),
        )
        if old.get(key) != new.get(key)
    ]
    return ", ".join(changes)


class Marks(Protocol):
    """A source of marks: the disk, or a table of them."""

    def mark(self, address: Address) -> Mark | None:
        """The mark of a unit, None when it is not done."""


class Remembered:
    """Marks as they were first read.

    Args:
        marks: Where they are read.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._known: dict[Address, Mark] = {}

    def mark(self, address: Address) -> Mark | None:
        """The mark of a unit, None when it was not done either time."""
        if address not in self._known:
            found = self._marks.mark(address)
            if found is None:
                return None
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[address] = found
        return self._known[address]


@dataclass
class Lineage:
    """Addresses and inputs of units.

    Attributes:
        graph: The stages that are on.
        keys: Their keys, by name.
        results: Known results of corpus steps.
        marks: Source of the marks.
        found: Cache of lookups, by stage and part; when units may have changed, a new lineage is made.
        addresses: Cache of addresses, likewise.
    """

    graph: Graph
    keys: Mapping[str, str]
    results: Mapping[str, Result]
    marks: Marks
    found: dict[tuple[str, str], tuple[Address, Mark | None] | None] = field(default_factory=dict)
    addresses: dict[tuple[str, str], Address] = field(default_factory=dict)

    def of_part(self, name: str, part: str, lines: Sequence[ManifestRow]) -> tuple[Address, Mark | None] | None:
        """The address of a part in a stage, and its mark when it is done; None while an input is not done.

        Args:
            name: The stage's.
            part: Its id.
            lines: The manifest's lines of its videos, in their order.
        """
        if (name, part) not in self.found:
            address = self.address_of_part(name, part, lines)
            self.found[name, part] = None if address is None else (address, self.marks.mark(address))
        return self.found[name, part]

    def address_of_part(self, name: str, part: str, lines: Sequence[ManifestRow]) -> Address | None:
        """The address of a part in a stage, done or not; None while an input is not done.

        Args:
            name: The stage's.
            part: Its id.
            lines: The manifest's lines of its videos, in their order.
        """
        if (name, part) not in self.addresses:
            inputs = self.inputs_of_part(name, part, lines)
            if inputs is None:
                return None
            self.addresses[name, part] = self._address(name, f"part-{part}", inputs)
        return self.addresses[name, part]

    def waits(self, name: str, part: str) -> bool:
        """Whether an input of a part is known not to be done, without a look at the manifest's lines."""
        for one in self.graph.inputs[name]:
            if issubclass(self.graph.stages[one.stage], CorpusStep):
                if one.stage not in self.results:
                    return True
            elif (one.stage, part) in self.found:
                source = self.found[one.stage, part]
                if source is None or source[1] is None:
                    return True
        return False

    def inputs_of_part(self, name: str, part: str, lines: Sequence[ManifestRow]) -> dict[str, str] | None:
        """The hash of each input of a part in a stage; None while one is not done."""
        stage = self.graph.stages[name]
        inputs = _of_manifest(stage, lines)
        for one in self.graph.inputs[name]:
            if issubclass(step := self.graph.stages[one.stage], CorpusStep):
                if one.stage not in self.results:
                    return None
                inputs[one.stage] = _seen_by(step, self.results[one.stage], lines)
                continue
            source = self.of_part(one.stage, part, lines)
            if source is None or source[1] is None:
                return None
            inputs[one.stage if one.table == ROWS else f"{one.stage}.{one.table}"] = source[1].tables[one.table]
        return inputs

    def of_group(
        self, name: str, group: str, parts: Mapping[str, Sequence[ManifestRow]]
    ) -> tuple[Address, Mark | None] | None:
        """The address of a group, and its mark when it is done; None while an input is not done.

        Args:
            name: The stage's.
            group: Its id.
            parts: The manifest's lines of each of its parts, in their order.
        """
        inputs: dict[str, str] = {}
        for part, lines in parts.items():
            of_part = self.inputs_of_part(name, part, lines)
            if of_part is None:
                return None
            inputs |= {f"{part}/{source}": sha256 for source, sha256 in of_part.items()}
        address = self._address(name, f"group-{group}", inputs)
        return address, self.marks.mark(address)

    def of_corpus(self, name: str, summaries: Mapping[str, str]) -> Address:
        """The address of a corpus step's result over the hashes of its parts' rows."""
        return self._address(name, CORPUS, summaries)

    def _address(self, name: str, unit: str, inputs: Mapping[str, str]) -> Address:
        return Address(name, self.keys[name], unit, unit_key(self.keys[name], inputs))


def unit_key(stage_key: str, inputs: Mapping[str, str]) -> str:
    """The key of a unit with these inputs."""
    return canonical_digest([stage_key, inputs])[:KEY_DIGITS]


def with_fields_of(stage: type[AnyStage[Any]], line: ManifestRow) -> ManifestRow:
    """A line of the manifest with only the fields that a stage declares, so that it cannot depend on others."""
    hidden = ManifestRow.model_fields.keys() - {"video", *stage.manifest_fields}
    nothing = ManifestRow(video=line.video, url="", source_id="")
    return line.model_copy(update={name: getattr(nothing, name) for name in hidden})


def _seen_by(step: type[CorpusStep[Any, Any, Any]], result: Result, lines: Sequence[ManifestRow]) -> str:
    """The hash of what a part may look at in the result of a corpus step."""
    seen = step.seen_by(result.value, [line.video for line in lines])
    return result.sha256 if seen is result.value else canonical_digest(seen.model_dump(mode="json"))


def _of_manifest(stage: AnyStageClass, lines: Iterable[ManifestRow]) -> dict[str, str]:
    """The hash of the manifest's fields and of the state outside; the folder counts only for relative paths."""
    fields = [name for name in stage.manifest_fields if name != "folder"]
    placed = "folder" in stage.manifest_fields

    def value(line: ManifestRow, name: str) -> object:
        locations = {
            "url": line.location,
            "subtitles": line.subtitles_location,
            "other_subtitles": line.other_subtitles_locations,
        }
        return locations[name] if placed and name in locations else getattr(line, name)

    values = [[line.video, *(value(line, name) for name in fields), stage.outside(line)] for line in lines]
    return {"manifest": canonical_digest(values)}


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
