"""Fingerprints: what a stage's output depends on, hashed, so that nothing else has to remember what is stale."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pipeline.config import RunConfig
from stages.base import Context
from stages.registry import ROW_STAGES, WRITE, upstream
from stages.write.stage import WRITE_VERSION

SEEDED = frozenset({"align", WRITE})
"""Stages that draw random numbers."""


@dataclass(frozen=True)
class Fingerprint:
    """A stage's fingerprint and what it was made of."""

    digest: str
    ingredients: dict[str, object]


def fingerprints(config: RunConfig, context: Context) -> dict[str, Fingerprint]:
    """The fingerprint of every stage, by name.

    `filter` and `write` have none before the calibration that they rest on is there.
    """
    found: dict[str, Fingerprint] = {}
    for stage in ROW_STAGES:
        instance = stage(config.stage(stage.name), context)
        if stage.name == "filter" and needs_calibration(config) and context.calibration is None:
            return found
        found[stage.name] = _fingerprint(stage.name, stage.version, instance.revision(), config, found)
    found[WRITE] = _fingerprint(WRITE, WRITE_VERSION, "", config, found)
    return found


def needs_calibration(config: RunConfig) -> bool:
    """Whether `filter` takes its threshold from the corpus's null distribution."""
    return config.filter.threshold == "calibrated"


def _fingerprint(
    name: str, version: int, revision: str, config: RunConfig, found: dict[str, Fingerprint]
) -> Fingerprint:
    ingredients: dict[str, object] = {
        "stage": name,
        "version": version,
        "config": config.stage(name).identity(),
        "revision": revision,
        "seed": config.seed if name in SEEDED else None,
        "reads": {source: found[source].digest for source in upstream(name)},
    }
    canonical = json.dumps(ingredients, sort_keys=True, separators=(",", ":"))
    return Fingerprint(hashlib.sha256(canonical.encode()).hexdigest()[:16], ingredients)


def what_changed(old: dict[str, Any], new: dict[str, Any]) -> str:
    """In words, why a stage's earlier output does not serve any more."""
    changes = [
        f"{new['stage']}.{key} {_shown(old['config'].get(key))} → {_shown(value)}"
        for key, value in new["config"].items()
        if old["config"].get(key) != value
    ]
    changes += [
        f"{label} {_shown(old[key])} → {_shown(new[key])}"
        for key, label in (("version", "code version"), ("revision", "model or tool"), ("seed", "seed"))
        if old[key] != new[key]
    ]
    changes += [f"{source} changed" for source, digest in new["reads"].items() if old["reads"].get(source) != digest]
    return ", ".join(changes)


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
