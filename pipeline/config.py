"""The config: one YAML file with a section per stage, checked before anything runs."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, create_model, field_validator, model_validator

from pipeline.graph import Graph
from schemas.config import PartsConfig, RunnerConfig, Section, StageConfig
from stages.registry import AnyStageClass, StageNotUsable, registered
from storyloom.errors import UsageError

SectionT = TypeVar("SectionT", bound=StageConfig)


class RunConfig(Section):
    """The config of a run; `config_class` adds a section per stage.

    Attributes:
        manifest: Text file with a path or URL a line, CSV, JSONL or Parquet with a `url` column, or a folder of media.
        work: Folder for the files between stages; every worker must see it under this path.
        output: Folder for the finished shards.
        seed: Of all random choices: the order of the manifest, null pairs, the order of documents.
        stages: Stages of your own, as ``module:Class``.
        runner: How units are run.
        parts: How the manifest is cut into parts.
    """

    manifest: str = Field(min_length=1)
    work: str = Field(min_length=1)
    output: str = Field(min_length=1)
    seed: int = 0
    stages: tuple[str, ...] = ()
    runner: RunnerConfig = RunnerConfig()
    parts: PartsConfig = PartsConfig()

    @field_validator("manifest", "work", "output")
    @classmethod
    def _is_local(cls, place: str) -> str:
        scheme, found, _ = place.partition("://")
        if found:
            raise ValueError(f"only folders and files of this machine's file systems serve here, not {scheme}://")
        return place

    @model_validator(mode="after")
    def _sections_go_together(self) -> Self:
        sections = {stage.name: self.stage(stage.name) for stage in self._registered()}
        for stage in self._registered():
            stage.check(sections)
        _ = self.graph
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild the class on unpickling: pickle cannot find the class of a config with the user's own stages."""
        return config_from, (self.model_dump(mode="json"),)

    @classmethod
    def _registered(cls) -> tuple[AnyStageClass, ...]:
        return registered(cls.model_fields["stages"].default)

    @property
    def graph(self) -> Graph:
        """The stages that are on."""
        found = self._registered()
        return Graph.of(found, {stage.name: self.stage(stage.name) for stage in found})

    def stage(self, name: str) -> StageConfig:
        """The section of a stage, by its name."""
        section = getattr(self, name)
        assert isinstance(section, StageConfig)
        return section

    def section(self, kind: type[SectionT]) -> SectionT:
        """The section of a stage, by its class."""
        (name,) = (stage.name for stage in self._registered() if stage.Config is kind)
        found = self.stage(name)
        assert isinstance(found, kind)
        return found


@functools.cache
def config_class(stages: tuple[str, ...] = ()) -> type[RunConfig]:
    """The config's model with a section for each of our stages, those of entry points and the named ones.

    Raises:
        StageNotUsable: A stage cannot be used.
    """
    sections: dict[str, Any] = {stage.name: (stage.Config, stage.Config()) for stage in registered(stages)}
    return create_model(
        "RunConfig", __base__=RunConfig, __doc__=RunConfig.__doc__, stages=(tuple[str, ...], stages), **sections
    )


def config_from(content: dict[str, Any]) -> RunConfig:
    """The config of keys and values.

    Raises:
        StageNotUsable: A stage that it names cannot be used.
        ValidationError: A key or value is wrong.
    """
    named = content.get("stages") or ()
    names = tuple(map(str, named)) if isinstance(named, list | tuple) else ()
    return config_class(names).model_validate(content)


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a config file and apply ``a.b=value`` overrides, whose values are YAML.

    Raises:
        UsageError: The file cannot be read, or a key or value is wrong; the message names it and the nearest right one.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no config at {path.absolute()}; configs/demo.yaml is one to start from") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as reason:
        raise UsageError(f"{path} cannot be read as YAML: {reason}") from reason
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold keys and values such as `manifest: videos.txt`")
    for override in overrides:
        _set(content, override)
    try:
        return config_from(content)
    except StageNotUsable as reason:
        raise UsageError(f"{path}: {reason}") from reason
    except ValidationError as invalid:
        names = tuple(content.get("stages") or ())
        problems = "\n".join(f"  {_explain(error, config_class(names))}" for error in invalid.errors())
        raise UsageError(f"{path} is not a valid config:\n{problems}") from None


def _set(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UsageError(f"--set takes key=value, e.g. --set filter.false_accept_rate=0.01; got {override!r}")
    *sections, last = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise UsageError(f"--set {override}: {section!r} is a value, not a section")
    try:
        content[last] = yaml.safe_load(value)
    except yaml.YAMLError as reason:
        raise UsageError(f"--set {override}: the value is not YAML: {reason}") from reason


def _explain(error: Any, model: type[BaseModel]) -> str:
    where = ".".join(str(step) for step in error["loc"])
    if error["type"] == "extra_forbidden":
        *sections, unknown = error["loc"]
        known = _keys(model, sections)
        nearest = difflib.get_close_matches(str(unknown), known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known here: {', '.join(known)}"
        return f"{where}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{where}: missing; add it to the file or pass --set {where}=…"
    if not where:
        return str(error["msg"].removeprefix("Value error, "))
    return f"{where}: {error['msg'].removeprefix('Value error, ')}, got {error['input']!r}"


def _keys(model: type[BaseModel], sections: Sequence[int | str]) -> list[str]:
    for section in sections:
        annotation = model.model_fields[str(section)].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        model = annotation
    return list(model.model_fields)
