"""The config: one YAML file with a section per stage, checked before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from schemas.config import PartsConfig, RunnerConfig, Section, StageConfig
from stages.align.stage import AlignConfig
from stages.download.stage import DownloadConfig
from stages.filter.stage import FilterConfig
from stages.sample.stage import SampleConfig
from stages.score.stage import ScoreConfig
from stages.transcribe.stage import TranscribeConfig
from stages.write.stage import WriteConfig
from storyloom.errors import UsageError


class RunConfig(Section):
    """Everything a run needs to know.

    Attributes:
        manifest: Text file with a path or URL a line, CSV, JSONL or Parquet with a `url` column, or a folder of media.
        work: Folder for what passes between stages; every worker must see it under this path.
        output: Folder for the finished shards.
        seed: Of everything that is drawn: the order of the manifest, null pairs, the order of documents.
        runner: How the work is run.
        parts: How the manifest is cut.
    """

    manifest: str = Field(min_length=1)
    work: str = Field(min_length=1)
    output: str = Field(min_length=1)
    seed: int = 0
    runner: RunnerConfig = RunnerConfig()
    parts: PartsConfig = PartsConfig()
    download: DownloadConfig = DownloadConfig()
    transcribe: TranscribeConfig = TranscribeConfig()
    sample: SampleConfig = SampleConfig()
    align: AlignConfig = AlignConfig()
    score: ScoreConfig = ScoreConfig()
    filter: FilterConfig = FilterConfig()
    write: WriteConfig = WriteConfig()

    @model_validator(mode="after")
    def _shards_hold_what_documents_may(self) -> Self:
        if self.filter.max_images > self.write.max_images:
            raise ValueError(
                f"filter.max_images ({self.filter.max_images}) is over write.max_images ({self.write.max_images}),"
                " the number of images that the dataset's card declares"
            )
        return self

    def stage(self, name: str) -> StageConfig:
        """The section of a stage."""
        section = getattr(self, name)
        assert isinstance(section, StageConfig)
        return section


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
        return RunConfig.model_validate(content)
    except ValidationError as invalid:
        problems = "\n".join(f"  {_explain(error)}" for error in invalid.errors())
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


def _explain(error: Any) -> str:
    where = ".".join(str(step) for step in error["loc"])
    if error["type"] == "extra_forbidden":
        *sections, unknown = error["loc"]
        known = _keys(sections)
        nearest = difflib.get_close_matches(str(unknown), known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known here: {', '.join(known)}"
        return f"{where}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{where}: missing; add it to the file or pass --set {where}=…"
    if not where:
        return str(error["msg"].removeprefix("Value error, "))
    return f"{where}: {error['msg']}, got {error['input']!r}"


def _keys(sections: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] = RunConfig
    for section in sections:
        annotation = model.model_fields[str(section)].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        model = annotation
    return list(model.model_fields)
