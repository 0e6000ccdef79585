"""Every setting of a config: key, values, default and meaning, read from the classes of the config's sections."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config import config_class
from pipeline.settings.values import as_yaml, in_words
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
