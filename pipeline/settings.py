"""Every setting of a config: key, values, default and meaning, read from the classes of the config's sections."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config import config_class
from schemas.config import Section, is_operational

NO_DEFAULT = object()
"""Default of a key that has to be set."""


@dataclass(frozen=True)
class Setting:
    """A key of the config.

    Attributes:
        key: With its sections, e.g. ``filter.threshold``.
        values: Which values it takes, in words.
        default: As the class has it; `NO_DEFAULT` where it has to be set.
        again: Whether another value makes earlier output stale, so that work is done again.
        meaning: Of the class's docstring.
    """

    key: str
    values: str
    default: Any
    again: bool
    meaning: str

    @property
    def section(self) -> str:
        """The first section of the key; empty for a key of the config itself."""
        return self.key.rpartition(".")[0].partition(".")[0]

    @property
    def default_text(self) -> str:
        """The default as YAML writes it in a line; empty where there is none."""
        return "" if self.default is NO_DEFAULT else as_yaml(self.default)


def settings(stages: tuple[str, ...] = ()) -> list[Setting]:
    """Every setting, in the order of the config; `stages` are a user's own, as ``module:Class``."""
    model = config_class(stages)
    return list(_settings(model, model(manifest="-", work="-", output="-"), "", again=True))


def of_section(section: type[Section]) -> list[Setting]:
    """The settings of a section by itself, all of whose keys have defaults."""
    return list(_settings(section, section(), "", again=True))


def as_yaml(value: Any) -> str:
    """A value in one line of YAML."""
    text: str = yaml.safe_dump(_plain(value), default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def _settings(model: type[BaseModel], defaults: BaseModel, prefix: str, *, again: bool) -> Iterator[Setting]:
    """The settings of a section, those of its sections behind its own.

    Args:
        model: The section's class.
        defaults: Its default.
        prefix: Of its keys.
        again: Whether the section's values are part of what outputs are known by.
    """
    meanings, within = attributes(model), list[tuple[str, FieldInfo]]()
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            within.append((name, field))
            continue
        default = NO_DEFAULT if field.is_required() else getattr(defaults, name)
        stale = again and not is_operational(field)
        yield Setting(prefix + name, in_words(field.annotation, field.metadata), default, stale, meanings.get(name, ""))
    for name, field in within:
        section, stale = getattr(defaults, name), again and not is_operational(field)
        yield from _settings(type(section), section, f"{prefix}{name}.", again=stale)


def attributes(model: type[BaseModel]) -> dict[str, str]:
    """The meanings under ``Attributes:`` of the docstrings of a class and its bases, in one line each."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        text = inspect.cleandoc(one.__doc__ or "")
        _, _, listed = text.partition("Attributes:\n")
        for entry in re.split(r"\n(?= {4}\w+: )", "\n" + listed):
            name, colon, meaning = entry.strip().partition(": ")
            if colon:
                found[name] = " ".join(meaning.split())
    return found


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
    return kinds.get(annotation, "value") + _bounds(metadata)


def _bounds(metadata: list[Any]) -> str:
    """The bounds of a number: ``, 0 to 1`` or ``, over 0, under 1``."""
    low: str = ""
    high: str = ""
    for one in metadata:
        match one:
            case Ge(ge=bound):
                low = _number(bound)
            case Gt(gt=bound):
                low = f"over {_number(bound)}"
            case Le(le=bound):
                high = f"to {_number(bound)}"
            case Lt(lt=bound):
                high = f"under {_number(bound)}"
            case _:
                pass
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
