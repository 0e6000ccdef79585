"""The settings of `filter` that the tune page moves, and how a change is written for a command and the config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from stages.filter.stage import FilterConfig


@dataclass(frozen=True)
class Knob:
    """An input of the page.

    Attributes:
        name: The setting's.
        label: In a few words.
        help: What it does.
        kind: How it is set.
        low: Least value of a slider; the input beside it takes any.
        high: Largest value of a slider.
        step: Of the slider.
    """

    name: str
    label: str
    help: str
    kind: Literal["number", "whole", "share", "choice", "switch"] = "number"
    low: float = 0.0
    high: float = 1.0
    step: float = 0.01
    choices: tuple[str, ...] = ()


MATCHING = (
    Knob(
        "false_accept_rate",
        "False-accept rate",
        "share of unrelated pairs that pass; lower keeps fewer frames",
        "share",
        0.001,
        0.9,
    ),
    Knob(
        "threshold", "Least similarity", "instead of a rate: the same for every frame", low=-0.2, high=0.6, step=0.005
    ),
    Knob(
        "mode",
        "Mode",
        "clip looks for the lag of the speech; time goes by the clock",
        "choice",
        choices=("clip", "time"),
    ),
    Knob(
        "shift_cost",
        "Shift cost",
        "nats for each second between a frame and its sentence, in clip mode",
        high=3.0,
        step=0.05,
    ),
)

RULES = (
    Knob("min_words", "Fewest words", "of a document", "whole"),
    Knob("max_words", "Most words", "of a document", "whole"),
    Knob("max_images", "Most images", "of a document", "whole"),
    Knob("min_images", "Fewest images", "of a document", "whole"),
    Knob("min_scored_share", "Least share of scored frames", "of a document"),
    Knob("max_silence", "Longest silence", "seconds within a document"),
    Knob("topic_similarity", "Topic similarity", "a document ends where texts are less alike; −1 is off"),
    Knob("min_sharpness", "Least sharpness", "of a frame; 0 keeps all"),
    Knob("max_black", "Most black", "share of a frame's pixels"),
)

KNOBS = tuple(knob for knob in (*MATCHING, *RULES) if knob.name in FilterConfig.model_fields)
"""Those that this version of `filter` has."""


class WrongSetting(ValueError):
    """A value that a setting may not have; the message names both."""


def changed(config: FilterConfig, values: Mapping[str, str]) -> FilterConfig:
    """The settings with some values of the page in the place of theirs.

    Raises:
        WrongSetting: A value is wrong.
    """
    known = {knob.name for knob in KNOBS}
    given = {name: value for name, value in values.items() if name in known}
    try:
        return FilterConfig.model_validate({**config.model_dump(), **given})
    except ValidationError as invalid:
        found = {str(error["loc"][0]): error["msg"] for error in invalid.errors() if error["loc"]}
        raise WrongSetting("; ".join(f"{name}: {message}" for name, message in found.items())) from None


def changes(before: FilterConfig, after: FilterConfig) -> dict[str, Any]:
    """The settings that differ."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return {knob.name: new[knob.name] for knob in KNOBS if new[knob.name] != old[knob.name]}


def as_options(found: Mapping[str, Any]) -> str:
    """Changes as options of the command line."""
    return " ".join(
        f"--set filter.{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in found.items()
    )


def as_yaml(found: Mapping[str, Any]) -> str:
    """Changes as a section of the config."""
    return yaml.safe_dump({"filter": dict(found)}, sort_keys=False) if found else ""
