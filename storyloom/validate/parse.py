"""Safe parsing and comparison of untrusted index files."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import yaml
from pydantic_core import from_json

from storyloom.format.manifest import values_flaw
from storyloom.format.sample import once_each

MAX_DEPTH = 40
"""Nesting depth of a YAML file: a parser's time grows with its square (our choice)."""

MAX_DIGITS = 100
"""Digits of an integer in a YAML file: Python refuses to print one of thousands (our choice)."""

YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(file: str, content: bytes) -> Any:
    """The value in a JSON or YAML file, by its suffix.

    Raises:
        ValueError: The content has another format, is nested too deep, or names a key twice: readers differ in which
            of the two they take.
    """
    if not file.endswith(".json"):
        return parse_yaml(content.decode())
    if flaw := values_flaw(content):
        raise ValueError(flaw)
    from_json(content)  # bounds the depth
    return json.loads(content, object_pairs_hook=once_each)


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
        loader = YAML_LOADER(text)
        try:
            node = loader.get_single_node()
            _check_nodes(node)
            return loader.construct_document(node) if node else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError) as reason:
        raise ValueError(f"it is not YAML: {' '.join(str(reason).split())}") from reason


def _check_nodes(node: Any) -> None:
    if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":int") and len(node.value) > MAX_DIGITS:
        raise ValueError(f"a number has {len(node.value)} digits")
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            _check_nodes(one)
    elif isinstance(node, yaml.MappingNode):
        _check_once(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for pair in node.value:
            for one in pair:
                _check_nodes(one)


def _check_once(keys: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            raise ValueError(f"the key {reprlib.repr(key)} is there twice")
        seen.add(key)


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
