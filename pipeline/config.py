"""The config: one YAML file with a section per stage, checked before anything runs."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, create_model, field_validator, model_validator

from pipeline.config_file import DEEPEST, odd_character, parsed, read_text
from pipeline.graph import Graph
from pipeline.settings.values import OTHER, in_words
from pipeline.store import FAILURES, FOLDERS, SPEEDS
from schemas.config import OPERATIONAL, PartsConfig, PricesConfig, RunnerConfig, Section, StageConfig
from stages.registry import AnyStageClass, StageNotUsable, registered
from storyloom.errors import UsageError
from storyloom.fs.place import folder_place
from storyloom.fs.url import without_secrets

Column = Literal["url", "id", "subtitles", "title", "language", "license", "start", "end"]
"""A column of a manifest that means something to us."""

SectionT = TypeVar("SectionT", bound=StageConfig)

MOST_PROBLEMS = 20
"""Problems of a config that are told at once (our choice)."""

OTHERWISE = {"value_error", "string_pattern_mismatch", "string_too_short"}
"""Types of errors of pydantic's whose own message says more than the values that a key takes."""

SHOWN = 100
"""Characters of a wrong value that a message shows (our choice)."""


class RunConfig(Section):
    """The config of a run; `config_class` adds a section per stage.

    Attributes:
        manifest: A list of paths and URLs (text, CSV, TSV, JSON, Parquet, a tar of videos), a folder of media, a media
            file, a pattern, or the URL of a list or of an object store's prefix.
        work: Folder for the files between stages: a path under which every worker sees it, or a URL such as
            ``s3://bucket/work``.
        output: Folder for the finished shards: a path, or a URL.
        seed: Of all random choices: the order of the manifest, null pairs, the order of documents.
        url_parameters: Parameters of URLs' queries that are published, in `video_url` and as the id of a video that
            has none in the manifest. All others, which may be signatures and tokens, stay out; the default ones are
            YouTube's.
        columns: Names of the manifest's columns by ours, e.g. ``{url: video_link}``.
        stages: Stages of your own, as ``module:Class``.
        runner: How units are run.
        prices: What storage and requests cost.
        parts: How the manifest is cut into parts.
    """

    manifest: str = Field(min_length=1)
    work: Annotated[str, Field(min_length=1), OPERATIONAL]
    output: Annotated[str, Field(min_length=1), OPERATIONAL]
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    url_parameters: tuple[str, ...] = ("v", "list")
    columns: dict[Column, str] = {}
    stages: tuple[str, ...] = ()
    runner: Annotated[RunnerConfig, OPERATIONAL] = RunnerConfig()
    prices: Annotated[PricesConfig, OPERATIONAL] = PricesConfig()
    parts: PartsConfig = PartsConfig()

    @field_validator("work", "output")
    @classmethod
    def _is_folder(cls, place: str) -> str:
        return folder_place(place)

    @model_validator(mode="after")
    def _sections_go_together(self) -> Self:
        sections = self.sections
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
        return Graph.of(self._registered(), self.sections)

    @property
    def with_models(self) -> frozenset[str]:
        """Names of the stages that have a model, by their setting `model`."""
        return frozenset(name for name in self.graph.names if "model" in type(self.stage(name)).model_fields)

    @property
    def sections(self) -> dict[str, StageConfig]:
        """The sections of all stages, by name."""
        return {stage.name: self.stage(stage.name) for stage in self._registered()}

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
    found = registered(stages)
    folders = {*FOLDERS, FAILURES, SPEEDS}
    for stage in found:
        if stage.name in {*RunConfig.model_fields, *dir(RunConfig), *folders}:
            raise StageNotUsable(f"stages: the name {stage.name!r} of {stage.__qualname__} is taken; choose another")
    sections: dict[str, Any] = {stage.name: (stage.Config, stage.Config()) for stage in found}
    return create_model(
        "RunConfig", __base__=RunConfig, __doc__=RunConfig.__doc__, stages=(tuple[str, ...], stages), **sections
    )


def config_from(content: dict[str, Any]) -> RunConfig:
    """The config of keys and values.

    Raises:
        StageNotUsable: A stage that it names cannot be used.
        ValidationError: A key or value is wrong.
    """
    names = _named(content)
    return config_class(names).model_validate({**content, "stages": names})


def _named(content: dict[str, Any]) -> tuple[str, ...]:
    """The stages that a config names."""
    named = content.get("stages")
    if named is None:
        return ()
    if not isinstance(named, list | tuple) or not all(isinstance(name, str) for name in named):
        raise StageNotUsable(
            f"stages must be a list of module:Class, e.g. stages: ['my_module:MyStage']; got {named!r}"
        )
    return tuple(named)


def read_config(path: Path) -> dict[str, Any]:
    """The keys and values of a config file, unchecked.

    Raises:
        UsageError: The file cannot be read, or holds something else.
    """
    try:
        content = parsed(read_text(path))
    except ValueError as reason:
        raise UsageError(f"{path} cannot be read as YAML: {reason}") from reason
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold keys and values such as `manifest: videos.txt`")
    return content


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a config file and apply ``a.b=value`` overrides, whose values are YAML.

    Raises:
        UsageError: The file cannot be read, or a key or value is wrong; the message names it and the nearest right one.
    """
    content = read_config(path)
    for override in overrides:
        _set(content, override)
    return checked_config(content, str(path))


def checked_config(content: dict[str, Any], name: str) -> RunConfig:
    """The config of keys and values.

    Args:
        content: Sections, as the YAML file has them.
        name: What a message calls the config.

    Raises:
        UsageError: A key or value is wrong; the message names it and the nearest right one.
    """
    try:
        return config_from(content)
    except StageNotUsable as reason:
        raise UsageError(f"{name}: {reason}") from reason
    except ValidationError as invalid:
        found = _explained(invalid.errors(), config_class(_named(content)))
        problems = "\n".join(f"  {problem}" for problem in islice(found, MOST_PROBLEMS))
        raise UsageError(f"{name} is not a valid config:\n{problems}") from None


def _set(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UsageError(f"--set takes key=value, e.g. --set filter.false_accept_rate=0.01; got {_short(override)}")
    if odd := odd_character(override):
        raise UsageError(f"--set {_short(override)} holds the character {odd}")
    if key.count(".") >= DEEPEST:
        raise UsageError(f"--set {_short(override)}: no key has so many sections")
    try:
        read = parsed(value)
    except ValueError as reason:
        raise UsageError(f"--set {_short(override)}: the value is not YAML: {reason}") from reason
    try:
        put(content, key, read)
    except ValueError as reason:
        raise UsageError(f"--set {_short(override)}: {reason}") from reason


def put(content: dict[str, Any], key: str, value: Any) -> None:
    """Set a key such as ``filter.mode`` of a config's content; other dictionaries stay as they are.

    Raises:
        ValueError: Part of the key is a value.
    """
    *sections, last = key.split(".")
    inside = content
    for section in sections:
        found = {} if inside.get(section) is None else inside[section]
        if not isinstance(found, dict):
            raise ValueError(f"{section!r} is a value, not a section")  # noqa: TRY004 - so is it in a file
        inside[section] = inside = dict(found)  # a section that an alias repeats stays as it is elsewhere
    inside[last] = value


def _explained(errors: Iterable[Any], model: type[BaseModel]) -> Iterator[str]:
    """One line for each place that is wrong; a value that fits no member of a union has an error for each."""
    by_place: dict[str, list[Any]] = {}
    for error in errors:
        steps, section = _place(model, error["loc"])
        by_place.setdefault(".".join(step for step in steps if step != "[key]"), []).append((error, section))
    for where, found in by_place.items():
        # Of a union, the member that the value was meant for says more than the kinds of all.
        error, section = next((one for one in found if one[0]["type"] in OTHERWISE), found[0])
        if error["type"] == "extra_forbidden":
            known = list(section.model_fields)
            nearest = difflib.get_close_matches(where.rpartition(".")[2], known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known here: {', '.join(known)}"
            yield f"{where}: unknown key; {hint}"
        elif error["type"] == "model_type":
            yield f"{where}: a section, with keys below it, is expected, got {_short(error['input'])}"
        elif error["type"] == "missing":
            yield f"{where}: missing; add it to the file or pass --set {where}=…"
        else:
            message = _expected(where, error, section) or error["msg"].removeprefix("Value error, ")
            message = message.replace("Input should be", "expected")
            hint = "; a text that looks like something else needs quotes" if error["type"] == "string_type" else ""
            fields = [section.model_fields[step] for step in where.split(".") if step in section.model_fields]
            hidden = any(not field.repr for field in fields)  # it may hold a password
            got = "" if hidden else f", got {_short(error['input'])}"
            yield f"{where}: {message}{got}{hint}" if where else message


def _expected(where: str, error: Any, section: type[BaseModel]) -> str:
    """What a key takes, where its kind of value or a bound is wrong; empty where something else is."""
    field = section.model_fields.get(where.rpartition(".")[2])
    if field is None or error["type"] in OTHERWISE or isinstance(error["loc"][-1], int):
        return ""
    words = in_words(field.annotation, field.metadata)
    return f"expected {words.replace('`', '')}" if words != OTHER else ""


def _short(value: object) -> str:
    """A value for a message, cut at `SHOWN` characters, without the passwords of URLs."""
    text = without_secrets(repr(value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _place(model: type[BaseModel], location: Sequence[int | str]) -> tuple[list[str], type[BaseModel]]:
    """The keys of the file in a location of pydantic's, which also names members of unions; and the last section."""
    steps: list[str] = []
    inside: Any = model
    for number, step in enumerate(location):
        members = [one for one in get_args(inside) if one is not NoneType]
        if get_origin(inside) in (Union, UnionType) and len(members) > 1:
            return steps, model  # what follows describes a member
        inside = members[0] if get_origin(inside) in (Union, UnionType) else inside
        if not (isinstance(inside, type) and issubclass(inside, BaseModel)):
            return steps + [str(one) for one in location[number:]], model
        model, field = inside, inside.model_fields.get(str(step))
        steps.append(str(step))
        inside = field.annotation if field else None
    return steps, model
