"""The values that a key of the config takes, in words."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

OTHER = "value"
"""Of a kind that has no words."""


def as_yaml(value: Any) -> str:
    """A value in one line of YAML."""
    text: str = yaml.safe_dump(_plain(value), default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def in_words(annotation: Any, metadata: list[Any]) -> str:
    """The values that a field takes, with their bounds."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        for one in more:
            metadata = [*metadata, *(one.metadata if isinstance(one, FieldInfo) else [one])]
        return in_words(inner, metadata)
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(in_words(one, metadata) for one in get_args(annotation) if one is not NoneType)
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{as_yaml(one)}`" for one in get_args(annotation))
    if get_origin(annotation) in (tuple, list):
        return f"list of {in_words(get_args(annotation)[0], [])}s"
    if get_origin(annotation) is dict:
        return "keys and values"
    kinds = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`"}
    return kinds.get(annotation, OTHER) + _bounds(metadata)


def _bounds(metadata: list[Any]) -> str:
    """The bounds of a number: ``, 0 to 1`` or ``, over 0, under 1``."""
    low = high = ""
    for one in metadata:
        for name, word in (("ge", ""), ("gt", "over ")):
            if (bound := getattr(one, name, None)) is not None:
                low = word + _number(bound)
        for name, word in (("le", "to "), ("lt", "under ")):
            if (bound := getattr(one, name, None)) is not None:
                high = word + _number(bound)
    if low and high.startswith("under") and not low.startswith("over"):
        low = f"from {low}"
    between = ", " if low.startswith(("over", "from")) else " "
    both = between.join(filter(None, (low, high)))
    return f", {both}" if both else ""


def _number(bound: Any) -> str:
    """A bound, with its digits in threes; powers of two from 2^20 on as such."""
    if isinstance(bound, int) and bound.bit_count() == 1 and bound >= 2**20:
        return f"2^{bound.bit_length() - 1}"
    if isinstance(bound, int) and (-bound).bit_count() == 1 and bound <= -(2**20):
        return f"-2^{(-bound).bit_length() - 1}"
    return f"{int(bound):,}" if bound == int(bound) else f"{bound:,}"
