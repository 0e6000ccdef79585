"""The text of a config as keys and values: YAML, bounded, with no key twice.

Words are read as YAML 1.2 reads them, in which ``no``, ``on`` and ``2024-01-01`` are text; fields that are switches
take ``yes`` and ``no`` all the same.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from storyloom.errors import UsageError

MOST_BYTES = 64 * 2**10
"""Size of a file, and of a value of ``--set`` (our choice: 80 times the largest config here)."""

FOR_VIDEOS = "For videos themselves there is `storyloom try`"

DEEPEST = 16
"""Sections within each other; deeper ones would end in Python's own limit (our choice: three are in use)."""

MOST_EXPANDED = 10 * MOST_BYTES
"""Characters and values once every alias is written out: aliases of aliases grow exponentially (our choice)."""

IGNORABLE = "\n\t"
"""Control characters that a text may have."""

BOOLEAN = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")

INTEGER = re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,30})$")
"""Longer ones stay text, which no number takes; so do octal ones, which two versions of YAML read differently."""

FLOAT = re.compile(
    r"^[-+]?(?:(?:\.[0-9]{1,30}|[0-9]{1,30}\.[0-9]{0,30})(?:[eE][-+]?[0-9]{1,3})?|[0-9]{1,30}[eE][-+]?[0-9]{1,3})$|^[-+]?\.(?:inf|nan)$"
)


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key that is there twice, tags, and what grows beyond bounds.

    YAML's own takes the last one of two keys.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # of PyYAML

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._expanded = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > DEEPEST:
            raise _problem(f"over {DEEPEST} sections within each other", event)
        if getattr(event, "tag", None) is not None:
            raise _problem(f"tags such as {event.tag!r} have no use here; put a text in quotes", event)
        before = self._expanded
        node: yaml.Node = super().compose_node(parent, index)  # type: ignore[assignment]
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise _problem(f"*{event.anchor} is within itself", event)
            self._expanded += self._sizes[node]
        else:
            self._expanded += 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
            self._sizes[node] = self._expanded - before
        if self._expanded > MOST_EXPANDED:
            raise _problem("aliases make it grow beyond bounds", event)
        self._depth -= 1
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        if (odd := odd_character(node.value)) is not None:
            raise _problem(f"a text holds the character {odd}", node)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _problem("a key is no text", key)
            if key.value in seen:
                raise _problem(f"{key.value!r} is there twice", key)
            seen.add(key.value)
        return node


for _kind, _pattern, _first in (
    ("bool", BOOLEAN, "tTfF"),
    ("int", INTEGER, "-+0123456789"),
    ("float", FLOAT, "-+.0123456789"),
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("merge", re.compile(r"^<<$"), "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _pattern, list(_first))


def read_text(path: Path) -> str:
    """The text of a config file.

    Raises:
        UsageError: It is not there, no regular file, too large, or not UTF-8.
    """
    try:
        # A pipe without a writer would block.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"the config {path} is no regular file; name a YAML file such as configs/demo.yaml")
            content = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"no config at {path.absolute()}; `storyloom init` writes one") from None
    except IsADirectoryError:
        raise UsageError(f"the config {path} is a folder; name a YAML file. {FOR_VIDEOS}") from None
    except (OSError, ValueError) as reason:
        raise UsageError(f"the config {str(path)!r} cannot be opened: {reason}") from reason
    if len(content) > MOST_BYTES:
        raise UsageError(f"{path} is no config: it is larger than {MOST_BYTES:,} bytes. {FOR_VIDEOS}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise UsageError(f"{path} is not UTF-8 ({reason}); save it as UTF-8. {FOR_VIDEOS}") from reason


def parsed(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: It is no YAML, has a key twice or a tag, or is too large or too deep.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it is longer than {MOST_BYTES:,} characters")
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, OverflowError) as reason:
        raise ValueError(str(reason)) from reason


def odd_character(text: str) -> str | None:
    """The first character of a text that no value needs, e.g. ``U+001B``: controls and lone surrogates."""
    found = (one for one in text if unicodedata.category(one) in ("Cc", "Cs") and one not in IGNORABLE)
    return next((f"U+{ord(one):04X}" for one in found), None)


def _problem(what: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=where.start_mark)
