"""The registered stages in topological order: ours, those of installed packages, and the user's own."""

from __future__ import annotations

import difflib
import functools
import importlib
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from schemas.config import StageConfig
from schemas.manifest import ManifestRow
from schemas.row import Row
from stages.align.stage import Align
from stages.base import ROWS, AnyStage, CorpusStep, GroupStage, Input, Stage
from stages.calibrate.stage import Calibrate
from stages.caption.stage import Caption
from stages.download.stage import Download
from stages.duplicates.stage import FindDuplicates
from stages.filter.stage import Filter
from stages.fuse.stage import Fuse
from stages.sample.stage import SampleFrames
from stages.score.stage import Score
from stages.sound.stage import Sound
from stages.tokenize.stage import Tokenize
from stages.transcribe.stage import Transcribe
from stages.write.stage import Write
from storyloom.errors import UsageError
from storyloom.format.arrow import arrow_schema
from storyloom.format.model import Model

AnyStageClass = type[AnyStage[Any]]

STAGES: tuple[AnyStageClass, ...] = (
    Download,
    FindDuplicates,
    Transcribe,
    SampleFrames,
    Align,
    Score,
    Calibrate,
    Filter,
    Caption,
    Fuse,
    Sound,
    Tokenize,
    Write,
)

ENTRY_POINTS = "storyloom.stages"
"""Group of entry points for stages of installed packages; each is on unless its `enabled` is False by default."""

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""Names of stages and tables, which name folders, files and keys of the config."""


class StageNotUsable(UsageError):
    """A stage cannot be imported, or breaks the contract of stages."""


@functools.cache
def registered(names: tuple[str, ...] = ()) -> tuple[AnyStageClass, ...]:
    """Our stages, those of entry points, and those that a config names as ``module:Class``, each after its inputs.

    Raises:
        StageNotUsable: One cannot be imported, is not a stage, has a taken name or an unknown input.
    """
    offered = sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    return _ordered([*STAGES, *map(_offered, offered), *map(_imported, names)])


def _offered(point: EntryPoint) -> AnyStageClass:
    package = point.dist.name if point.dist else "unknown"
    label = f"the stage {point.name!r} ({point.value}) of the installed package {package}"
    try:
        return _checked(_loaded(point.load, label), label)
    except StageNotUsable as reason:
        raise StageNotUsable(f"{reason}; upgrade the package, or `pip uninstall {package}`") from reason


def _imported(name: str) -> AnyStageClass:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise StageNotUsable(f"stages: {name!r} must read module:Class")
    if str(Path.cwd()) not in sys.path:  # as with `python -m`: a stage may be a file beside the config
        sys.path.insert(0, str(Path.cwd()))
    label = f"stages: {name!r}"
    return _checked(_loaded(lambda: getattr(importlib.import_module(module), attribute), label), label)


def _loaded(load: Callable[[], Any], label: str) -> Any:
    try:
        return load()
    except (Exception, SystemExit) as reason:  # a module of somebody else may raise anything
        raise StageNotUsable(f"{label} cannot be imported: {_in_a_line(reason)}") from reason


def _in_a_line(reason: BaseException) -> str:
    """An exception of somebody else's code in one line, with the place that raised it."""
    last = traceback.extract_tb(reason.__traceback__)[-1]
    ours = last.filename.startswith("<frozen") or last.filename in (__file__, importlib.__file__)
    where = "" if ours else f" ({last.filename}, line {last.lineno})"
    return " ".join(f"{type(reason).__name__}: {reason}{where}".split())


def _checked(found: Any, label: str) -> AnyStageClass:
    """Check what a class alone says of the contract of stages; `inputs_of` checks what it reads.

    Raises:
        StageNotUsable: It breaks the contract; the message names the stage and the mistake.
    """
    if not (isinstance(found, type) and issubclass(found, Stage | GroupStage)):
        raise StageNotUsable(f"{label} is no subclass of stages.base.Stage or GroupStage")
    models: dict[str, type[BaseModel]] = {"row": Row} if issubclass(found, Stage) else {}
    models |= {"result": Model} if issubclass(found, CorpusStep | GroupStage) else {}
    models |= {"Config": StageConfig}
    if missing := [name for name in ("name", "version", *models) if not hasattr(found, name)]:
        raise StageNotUsable(f"{label} lacks {', '.join(missing)}")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise StageNotUsable(f"{label} lacks the method {', '.join(missing)}")
    if not (isinstance(found.name, str) and NAME.fullmatch(found.name)):
        raise StageNotUsable(f"{label}: name {found.name!r} must be small letters, digits and _, a letter first")
    if type(found.version) is not int:
        raise StageNotUsable(f"{label}: version {found.version!r} must be a whole number")
    for name, base in models.items():
        _check_model(getattr(found, name), base, f"{label}: {name}")
    if issubclass(found, Stage):
        _check_tables(found, label)
    _check_defaults(found.Config, label)
    _check_manifest_fields(found.manifest_fields, label)
    _check_inputs(found.reads, f"{label}: reads")
    return found


def _check_defaults(section: type[StageConfig], label: str) -> None:
    try:
        section()
    except ValidationError as reason:
        first = reason.errors()[0]
        where = ".".join(["Config", *map(str, first["loc"])])
        raise StageNotUsable(f"{label}: {where} needs a valid default: {first['msg']}") from reason


def _check_manifest_fields(found: Any, label: str) -> None:
    if not isinstance(found, tuple | list):
        raise StageNotUsable(f"{label}: manifest_fields {found!r} must be a tuple: ('title',)")
    for field in found:
        if field not in ManifestRow.model_fields:
            raise StageNotUsable(f"{label}: manifest_fields has {field!r}{_hint(field, ManifestRow)}")


def _check_model(found: Any, base: type[BaseModel], label: str) -> None:
    if not (isinstance(found, type) and issubclass(found, base)):
        raise StageNotUsable(f"{label} {found!r} must be a subclass of {base.__module__}.{base.__name__}")
    if issubclass(found, Row) and (
        needed := [name for name, field in found.model_fields.items() if field.is_required() and name != "video"]
    ):
        raise StageNotUsable(f"{label}: {found.__name__}.{needed[0]} needs a default: a failed video has an empty row")
    if issubclass(found, Row):
        try:
            arrow_schema(found)
        except (NameError, TypeError, ValueError) as reason:
            raise StageNotUsable(f"{label}: {found.__name__} cannot be a Parquet table: {reason}") from reason


def _check_tables(stage: type[Stage[Any, Any]], label: str) -> None:
    if not isinstance(stage.tables, Mapping):
        raise StageNotUsable(f"{label}: tables must map names to row models: {{'vectors': VectorRow}}")
    for name, row in stage.tables.items():
        if name == ROWS or not (isinstance(name, str) and NAME.fullmatch(name)):
            raise StageNotUsable(f"{label}: a table may not have the name {name!r}")
        _check_model(row, Row, f"{label}: tables[{name!r}]")
    if len({stage.row, *stage.tables.values()}) <= len(stage.tables):
        raise StageNotUsable(f"{label}: row and tables must be different models, which tell their rows apart")


def _check_inputs(found: Any, label: str) -> None:
    if isinstance(found, Input):
        raise StageNotUsable(f"{label} must be a tuple; a comma is missing: (Input({found.stage!r}),)")
    if not isinstance(found, tuple | list):
        raise StageNotUsable(f"{label} must be a tuple of stages.base.Input, not {found!r}")
    for one in found:
        if not isinstance(one, Input):
            raise StageNotUsable(f"{label} has {one!r} where Input({one!r}) is needed")
        if not isinstance(one.stage, str):
            raise StageNotUsable(f"{label}: Input({one.stage!r}) must have a stage's name")
        if not isinstance(one.without, tuple | list):
            raise StageNotUsable(f"{label}: without={one.without!r} must be a tuple: ({one.without!r},)")


def inputs_of(stage: AnyStageClass, section: StageConfig, known: Mapping[str, AnyStageClass]) -> tuple[Input, ...]:
    """The inputs of a stage under a section of the config, checked against the stages that they name.

    Raises:
        StageNotUsable: One is no input, or names a stage, table or column that is not there.
    """
    label = f"the stage {stage.name}"
    try:
        found = stage.inputs(section)
    except Exception as reason:  # somebody else's code
        raise StageNotUsable(f"{label}: inputs() failed with {_in_a_line(reason)}") from reason
    _check_inputs(found, f"{label}: inputs()")
    for one in (*stage.reads, *found):
        if one.stage in known:
            _check_source(one, known[one.stage], label)
        elif not one.optional:
            raise StageNotUsable(f"stages: {stage.name} reads {one.stage!r}, which is no stage")
    _check_told_apart(stage, [one for one in found if one.stage in known], known, label)
    return tuple(found)


def _check_told_apart(
    stage: AnyStageClass, found: Sequence[Input], known: Mapping[str, AnyStageClass], label: str
) -> None:
    """Check that a stage can tell its inputs apart, which it takes by their row models."""
    read: dict[type[Row], str] = {}
    for one in found:
        source = known[one.stage]
        if issubclass(source, CorpusStep) or not issubclass(source, Stage):
            continue
        if issubclass(stage, GroupStage) and one.table != ROWS:
            raise StageNotUsable(f"{label}: a stage of groups reads rows only, not the table {one.table!r}")
        row = {ROWS: source.row, **source.tables}[one.table]
        if row in read:
            raise StageNotUsable(
                f"{label} reads {row.__name__} from {read[row]} and from {one.stage}, and could not tell them apart:"
                " give one of them a row model of its own"
            )
        read[row] = one.stage


def _check_source(one: Input, source: AnyStageClass, label: str) -> None:
    if issubclass(source, CorpusStep):
        return  # its result is read, whatever the table
    if not issubclass(source, Stage):
        raise StageNotUsable(f"{label} reads {one.stage}, which writes files and has no rows to read")
    tables = {ROWS: source.row, **source.tables}
    if one.table not in tables:
        raise StageNotUsable(f"{label}: {one.stage} has no table {one.table!r}; it has: {', '.join(tables)}")
    row = tables[one.table]
    for column in one.without:
        if column not in row.model_fields:
            raise StageNotUsable(f"{label}: Input({one.stage!r}, without=…) has {column!r}{_hint(column, row)}")
        if row.model_fields[column].is_required():
            raise StageNotUsable(f"{label}: Input({one.stage!r}, without=…): {column!r} cannot be left out")


def _hint(name: Any, model: type[Model]) -> str:
    nearest = difflib.get_close_matches(str(name), model.model_fields, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(model.model_fields)}"
    return f", which is no field of {model.__name__}; {hint}"


def _ordered(stages: Sequence[AnyStageClass]) -> tuple[AnyStageClass, ...]:
    """Sort each stage after its possible inputs, otherwise in the given order."""
    by_name: dict[str, AnyStageClass] = {}
    for stage in stages:
        if by_name.setdefault(stage.name, stage) is not stage:
            raise StageNotUsable(f"stages: two stages have the name {stage.name!r}")
    reads = {stage.name: possible_inputs(stage, by_name) for stage in stages}
    order: dict[str, AnyStageClass] = {}
    waiting = list(stages)
    while waiting:
        ready = [stage for stage in waiting if all(one.stage in order for one in reads[stage.name])]
        if not ready:
            raise StageNotUsable(f"stages: {', '.join(stage.name for stage in waiting)} read each other in a circle")
        order[ready[0].name] = ready[0]
        waiting.remove(ready[0])
    return tuple(order.values())


def possible_inputs(stage: AnyStageClass, known: Mapping[str, AnyStageClass]) -> list[Input]:
    """The known inputs that a stage declares or has under its default config."""
    found = [*stage.reads, *inputs_of(stage, stage.Config(), known)]
    return [one for one in found if one.stage in known]
