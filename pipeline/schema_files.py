"""JSON Schemas as files: written for readers of our rows, and checked against the code."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from pipeline.config import config_class
from schemas.manifest import ManifestRow
from stages.base import CorpusStep, Stage
from stages.registry import registered
from storyloom.errors import UsageError
from storyloom.format.sample import Sample
from storyloom.fs.atomic import write_atomically


def schemas(stages: tuple[str, ...] = ()) -> dict[str, bytes]:
    """File name and content of every schema; `stages` are a user's own, as ``module:Class``."""
    models: dict[str, type[BaseModel]] = {
        "manifest-row": ManifestRow,
        "config": config_class(stages),
        "shard-sample": Sample,
    }
    for stage in registered(stages):
        if issubclass(stage, Stage):
            models[f"{stage.name}-row"] = stage.row
            models |= {f"{stage.name}-{table}-row": row for table, row in stage.tables.items()}
        if issubclass(stage, CorpusStep):
            models[f"{stage.name}-result"] = stage.result
    return {
        f"{name}.schema.json": (json.dumps(model.model_json_schema(), indent=1, sort_keys=True) + "\n").encode()
        for name, model in sorted(models.items())
    }


def write_schemas(folder: Path, stages: tuple[str, ...] = ()) -> list[str]:
    """Write every schema into a folder and return the files' names.

    Raises:
        UsageError: The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise UsageError(f"no folder can be made at {folder}: {reason.strerror}; name another") from reason
    found = schemas(stages)
    for name, content in found.items():
        write_atomically(folder / name, content)
    return list(found)


def differing_schemas(folder: Path, stages: tuple[str, ...] = ()) -> dict[str, str]:
    """Files of a folder that are missing, differ from the code or are unknown to it, with the kind of difference."""
    found = schemas(stages)
    present = {file.name for file in folder.glob("*.schema.json")}
    differing = {name: "missing" for name in found if name not in present}
    differing |= {name: "no such schema in the code" for name in present if name not in found}
    for name in sorted(present & set(found)):
        if (folder / name).read_bytes() != found[name]:
            differing[name] = "differs from the code"
    return dict(sorted(differing.items()))
