"""What a stage is: a config, a contract, and a method that turns the rows of a unit into rows, shards or one result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from schemas.config import StageConfig
from schemas.row import Dropped, Row, RowError
from schemas.rows import ManifestRow
from stages.timing import Timings
from storyloom.format.model import Model

ConfigT = TypeVar("ConfigT", bound=StageConfig)
RowT = TypeVar("RowT", bound=Row)
AnyRowT = TypeVar("AnyRowT", bound=Row)
ResultT = TypeVar("ResultT", bound=Model)

Scope = Literal["part", "group", "corpus"]

ROWS = "rows"
"""Name of the table that every part of a stage has: one row a video."""


class VideoFailed(Exception):
    """Raised while working on one video: becomes its row's typed error, and its neighbours go on.

    Args:
        code: Short machine-readable cause, e.g. ``not_found``.
        message: What is wrong and how to fix it.
        retryable: Whether running again may help.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retryable = retryable


class VideoDropped(Exception):
    """Raised while working on one video that has nothing for the shards, e.g. no speech.

    Args:
        reason: Short machine-readable reason.
        detail: The measured value behind it.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class StageSetupError(RuntimeError):
    """A stage cannot start at all: a missing program, model or package. The message says how to get it."""


class InputMissing(RuntimeError):
    """What a stage left outside its rows, e.g. a media file, is gone: that stage does the part again.

    Args:
        stage: Name of the stage that left it.
        message: What is gone.
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass(frozen=True)
class Input:
    """A stage that another one reads.

    Attributes:
        stage: Its name.
        without: Columns that are left out when its rows are read, e.g. the JPEGs where only times are needed.
        table: Which of its tables; `ROWS` or one of its `tables`. Ignored for a corpus step, whose result is read.
        optional: Whether it is read only where that stage is on; another one must be on.
    """

    stage: str
    without: tuple[str, ...] = ()
    table: str = ROWS
    optional: bool = False


@dataclass(frozen=True)
class Context:
    """What a run gives to all its stages.

    Attributes:
        seed: The run's seed.
        media: Folder of the media files.
        results: Results of the corpus steps that are known, by the step's name.
    """

    seed: int
    media: Path
    results: Mapping[str, Model] = field(default_factory=dict)

    def result(self, step: str, kind: type[ResultT]) -> ResultT:
        """The result of a corpus step that the stage reads."""
        found = self.results[step]
        assert isinstance(found, kind)
        return found


class Video:
    """One video as a stage sees it.

    Args:
        manifest: Its line of the manifest; only the fields that the stage names in `manifest_fields` are filled.
        rows: Its rows from the stages that are read.
    """

    def __init__(self, manifest: ManifestRow, rows: Sequence[Row]) -> None:
        self.manifest = manifest
        self._rows: dict[type[Row], list[Row]] = {}
        for row in rows:
            self._rows.setdefault(type(row), []).append(row)

    @property
    def key(self) -> str:
        """The video's key."""
        return self.manifest.video

    def __getitem__(self, row: type[AnyRowT]) -> AnyRowT:
        (found,) = self._rows[row]
        assert isinstance(found, row)
        return found

    def has(self, row: type[Row]) -> bool:
        """Whether the stage of this row is on and was read."""
        return row in self._rows

    def all(self, row: type[AnyRowT]) -> list[AnyRowT]:
        """The video's rows of a further table, in their order; such a table has any number a video."""
        return [found for found in self._rows.get(row, []) if isinstance(found, row)]

    def halted(self) -> Row | None:
        """The first row, in reading order, that says there is nothing left to do; errors come before drops."""
        rows = [row for found in self._rows.values() for row in found]
        return next((r for r in rows if r.error), None) or next((r for r in rows if r.dropped), None)


class AnyStage(ABC, Generic[ConfigT]):
    """What every stage has, whatever its unit of work is.

    Class attributes:
        name: Of the stage, of its section in the config and of its folder.
        version: Raised whenever a change of the code changes the output.
        scope: What a unit of its work is.
        reads: Stages that it reads; `inputs` may make it depend on the config.
        manifest_fields: Fields of the manifest that it reads. A changed field makes stale what reads it, nothing else.
        seeded: Whether it draws random numbers.
        Config: Its section of the config.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    scope: ClassVar[Scope]
    reads: ClassVar[tuple[Input, ...]] = ()
    manifest_fields: ClassVar[tuple[str, ...]] = ()
    seeded: ClassVar[bool] = False
    Config: ClassVar[type[StageConfig]]

    def __init__(self, config: ConfigT, context: Context) -> None:
        self.config = config
        self.context = context
        self.timings = Timings()

    @classmethod
    def inputs(cls, config: Any) -> tuple[Input, ...]:
        """What the stage reads under a config."""
        del config
        return cls.reads

    @classmethod
    def outside(cls, line: ManifestRow) -> str:
        """The state of what a video's work reads outside the work folder, e.g. a local file's size and time. Cheap."""
        del line
        return ""

    @classmethod
    def check(cls, sections: Mapping[str, StageConfig]) -> None:
        """Refuse sections of the config, by stage, that do not go together.

        Raises:
            ValueError: They do not; the message names both keys.
        """

    def revision(self) -> str:
        """What changes the output beside code and config: model, programs, libraries. Cheap: it loads nothing.

        Raises:
            StageSetupError: Something is missing.
        """
        return ""

    def setup(self) -> None:
        """Load what is needed, once per worker.

        Raises:
            StageSetupError: Something is missing.
        """


class Stage(AnyStage[ConfigT], Generic[ConfigT, RowT]):
    """A stage that turns the rows of a part into rows. Executors create it, call `setup` once, `process` per part.

    Class attributes:
        row: What it returns for a video.
        tables: Further tables that it keeps, by name, e.g. embeddings: rows that `process` returns beside, any number a
            video.
    """

    scope: ClassVar[Scope] = "part"
    row: ClassVar[type[Row]]
    tables: ClassVar[Mapping[str, type[Row]]] = {}

    @abstractmethod
    def one(self, video: Video) -> RowT:
        """Work on one video whose rows are all live.

        Raises:
            VideoFailed: The video has an error.
            VideoDropped: The video has nothing for the shards.
        """

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        """Turn the live videos of a part into one row each, in any order.

        A stage whose model is faster on batches overrides this and keeps to the same contract: exactly one row a
        video, errors and drops in the row.
        """
        for video in videos:
            yield self.guarded(video)

    def guarded(self, video: Video, work: Callable[[Video], RowT] | None = None) -> Row:
        """`one`, or other work on one video, with what it says of the video turned into the video's row.

        Any other exception is the machine's fault or a bug, and is raised: the attempt at the part fails, not the
        video.
        """
        try:
            return (work or self.one)(video)
        except VideoFailed as failed:
            error = RowError(stage=self.name, code=failed.code, message=failed.message, retryable=failed.retryable)
            return self.row(video=video.key, error=error)
        except VideoDropped as left_out:
            dropped = Dropped(stage=self.name, reason=left_out.reason, detail=left_out.detail)
            return self.row(video=video.key, dropped=dropped)


class CorpusStep(Stage[ConfigT, RowT], Generic[ConfigT, RowT, ResultT]):
    """A step over the corpus: a small row per video is made part by part, then all of them become one result.

    Class attributes:
        result: What it returns; the hash of it enters the keys of what reads it.
        whole: Whether every part is read; otherwise those of the first group, as they were planned at first.
    """

    scope = "corpus"
    result: ClassVar[type[Model]]
    whole: ClassVar[bool] = True

    @abstractmethod
    def reduce(self, rows: Iterable[RowT]) -> ResultT:
        """The result of all parts' rows, which come in the order of the parts; those of videos that ended are left out.

        Memory must not grow with the corpus where `whole` is set.
        """


class GroupStage(AnyStage[ConfigT], Generic[ConfigT, ResultT]):
    """A stage that turns the videos of a group of parts into files.

    Class attributes:
        result: What is known of the files.
    """

    scope = "group"
    result: ClassVar[type[Model]]

    @abstractmethod
    def write(self, videos: Iterable[Video], folder: Path) -> ResultT:
        """Write the files of a group into an empty folder. A video's rows are read when they are asked for.

        Raises:
            FormatError: Something breaks a rule of the shard format.
        """

    @staticmethod
    @abstractmethod
    def files(result: Any) -> dict[str, str]:
        """The SHA-256 of every file that was written, by its path in the folder."""


def passed_on(stage: Stage[Any, Any], video: Video) -> Row | None:
    """The row of a video that an earlier stage ended: the same error or drop, nothing else. None when it is live."""
    halted = video.halted()
    return None if halted is None else stage.row(video=video.key, error=halted.error, dropped=halted.dropped)
