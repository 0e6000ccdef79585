"""The settings with which two datasets were made, as far as they differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from storyloom.format.manifest import Provenance, Published
from storyloom.format.model import Model

MOST_SHOWN = 400
"""Characters of a setting's value that are shown (our choice)."""


MODEL_OF = "model of "


class Setting(Model):
    """A setting that differs: its name, and its value in each dataset; empty where it is not stated."""

    name: str
    first: str
    second: str


def settings(first: Published, second: Published) -> list[Setting]:
    """The settings that differ: the config's, then models and programs, tools, and what else makes a stage another one.

    A stage's key is named only where nothing else of it is: it also hashes the code and the libraries.
    """
    found = [
        Setting(name=name, first=values[0].get(name, ""), second=values[1].get(name, ""))
        for values in zip(_kinds(first), _kinds(second), strict=True)
        for name in dict.fromkeys([*values[0], *values[1]])
        if values[0].get(name) != values[1].get(name)
    ]
    told = {one.name.partition(".")[0] for one in found} | {one.name.removeprefix(MODEL_OF) for one in found}
    keys = [one for one in _keys(first.provenance, second.provenance) if one.name.split()[-1] not in told]
    return [_shortened(one) if one.name.startswith(MODEL_OF) else one for one in found] + keys


def _kinds(published: Published) -> list[dict[str, str]]:
    """Settings by name: of the config, models, tools."""
    made = published.provenance
    return [
        {"format": _json(published.schema_)} | dict(_flat("", made.config)),
        {f"{MODEL_OF}{stage}": revision for stage, revision in made.revisions.items()},
        {f"version of {tool}": version for tool, version in made.tools.items()},
    ]


def _shortened(model: Setting) -> Setting:
    """A model and its libraries without those that are the same."""
    sides = [re.split("[;,] ", side) if side else [] for side in (model.first, model.second)]
    first, second = (", ".join(one for one in side if one not in other) for side, other in (sides, sides[::-1]))
    return model.model_copy(update={"first": first, "second": second})


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
