"""The settings with which two datasets were made, as far as they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from storyloom.format.manifest import Provenance, Published
from storyloom.format.model import Model

MOST_SHOWN = 400
"""Characters of a setting's value that are shown (our choice)."""


class Setting(Model):
    """A setting that differs: its name, and its value in each dataset as JSON; empty where it is not stated."""

    name: str
    first: str
    second: str


def settings(first: Published, second: Published) -> list[Setting]:
    """The settings that differ: the config's, then models and programs, tools, and what else makes a stage another one.

    A stage's key is named only where nothing else of it is: it also hashes the code and the libraries.
    """
    values = [dict(_values(one)) for one in (first, second)]
    found = [
        Setting(name=name, first=values[0].get(name, ""), second=values[1].get(name, ""))
        for name in dict.fromkeys([*values[0], *values[1]])
        if values[0].get(name) != values[1].get(name)
    ]
    told = {one.name.partition(".")[0] for one in found} | {one.name.removeprefix("model of ") for one in found}
    return found + [one for one in _keys(first.provenance, second.provenance) if one.name.split()[-1] not in told]


def _values(published: Published) -> Iterator[tuple[str, str]]:
    made = published.provenance
    yield "format", published.schema_
    yield from _flat("", made.config)
    yield from ((f"model of {stage}", _json(revision)) for stage, revision in made.revisions.items())
    yield from ((f"version of {tool}", _json(version)) for tool, version in made.tools.items())


def _keys(first: Provenance, second: Provenance) -> Iterator[Setting]:
    """Stages whose keys differ."""
    for stage in dict.fromkeys([*first.fingerprints, *second.fingerprints]):
        keys = [one.fingerprints.get(stage, "") for one in (first, second)]
        if keys[0] != keys[1]:
            yield Setting(name=f"key of {stage}", first=keys[0], second=keys[1])


def _flat(prefix: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from _flat(f"{prefix}{name}.", inner)
        else:
            yield f"{prefix}{name}", _json(inner)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
