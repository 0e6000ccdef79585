"""Safe parsing and comparison of untrusted index files."""

from __future__ import annotations

import ast
import json
import reprlib
from collections.abc import Iterator
from typing import Any

import yaml

MAX_DEPTH = 40
"""Nesting depth of a YAML file: a parser's time grows with its square (our choice)."""

YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(file: str, content: bytes) -> Any:
    """The value in a JSON, YAML or Python file, by its suffix; of Python the syntax tree.

    Raises:
        ValueError: The content has another format.
    """
    try:
        text = content.decode()
        if file.endswith(".py"):
            return ast.parse(text)
        return json.loads(text) if file.endswith(".json") else parse_yaml(text)
    except (RecursionError, MemoryError) as reason:
        raise ValueError("it is nested too deep") from reason
    except SyntaxError as reason:
        raise ValueError(f"it is not Python: {reason}") from reason


def parse_yaml(text: str) -> Any:
    """The value of a YAML text. Aliases and deep nesting are refused: a few lines can take unbounded time or memory.

    Raises:
        ValueError: It is not YAML, or has aliases.
    """
    try:
        depth = 0
        for event in yaml.parse(text, Loader=YAML_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > MAX_DEPTH:
                raise ValueError(f"it has YAML aliases, or lists in lists deeper than {MAX_DEPTH}")
        return yaml.load(text, Loader=YAML_LOADER)  # noqa: S506 - it is a safe loader
    except (yaml.YAMLError, RecursionError) as reason:
        raise ValueError(f"it is not YAML: {' '.join(str(reason).split())}") from reason


def differences(wanted: Any, found: Any, place: str = "") -> Iterator[str]:
    """Sentences on where two parsed values differ."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in dict.fromkeys([*wanted, *found]):
            where = f"{place}.{key}" if place else str(key)
            if key not in found:
                yield f"{where} is missing, must be {reprlib.repr(wanted[key])}"
            elif key not in wanted:
                yield f"{where} is {reprlib.repr(found[key])}, must not be there"
            else:
                yield from differences(wanted[key], found[key], where)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from differences(one, other, f"{place}.{number}")
    elif type(wanted) is not type(found) or wanted != found:
        yield f"{place} is {reprlib.repr(found)}, must be {reprlib.repr(wanted)}"
