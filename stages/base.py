"""Base classes of stages: a config, a contract, and a method that turns a unit's rows into rows, shards or a result."""

from __future__ import annotations

import errno
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from schemas.config import StageConfig
from schemas.manifest import ManifestRow
from schemas.row import Dropped, Row, RowError
from stages.timing import Timings
from stages.turns import FolderTurns, Turns
from storyloom.format.model import Model
from storyloom.fs.files import Files

ConfigT = TypeVar("ConfigT", bound=StageConfig)
RowT = TypeVar("RowT", bound=Row)
AnyRowT = TypeVar("AnyRowT", bound=Row)
AnySectionT = TypeVar("AnySectionT", bound=StageConfig)
ResultT = TypeVar("ResultT", bound=Model)

Scope = Literal["part", "group", "corpus"]

ROWS = "rows"
"""Name of a stage's main table: one row per video."""

OF_THE_MACHINE = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "ESTALE", "EMFILE", "ENFILE", "ENOMEM", "ENOBUFS")
)
"""Numbers of the operating system's errors that no video causes: a full or broken disk, too many open files, too little
memory."""


def of_the_machine(reason: BaseException) -> bool:
    """Whether an exception is a fault of the machine: a full or broken disk, too little memory."""
    if isinstance(reason, socket.gaierror):  # it has numbers of its own
        return False
    return isinstance(reason, MemoryError) or (isinstance(reason, OSError) and reason.errno in OF_THE_MACHINE)


class VideoFailed(Exception):
    """A failure of one video, which becomes the typed error of its row; other videos are unaffected.

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
    """One video has nothing for the shards, e.g. no speech; becomes the drop of its row.

    Args:
        reason: Short machine-readable reason.
        detail: The measured value behind it.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class StageSetupError(RuntimeError):
    """A stage cannot start: a program, model or package is missing. The message says how to get it."""


class ServiceDown(RuntimeError):
    """A server that the stage works with is away, or answers nothing: a fault of the machine, whatever the video."""


class RunEnds(RuntimeError):
    """No unit of the stage can be done, e.g. since a budget is spent: the run ends. The message says what to do."""


class InputMissing(RuntimeError):
    """An output of a stage outside its rows, e.g. a media file, is missing: the stage does the part again.

    Args:
        stage: Name of the stage that wrote it.
        message: What is missing.
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass(frozen=True)
class Input:
    """An input of a stage: another stage's table or result.

    Attributes:
        stage: The name of the stage that is read.
        without: Columns that are left out when its rows are read, e.g. the JPEGs where only times are needed.
        table: `ROWS` or one of its `tables`. Ignored for a corpus step, whose result is read.
        optional: Whether that stage may be off; it is read only if on.
        files: Whether the files that its rows name are read, too; they may go once all that read them are done.
    """

    stage: str
    without: tuple[str, ...] = ()
    table: str = ROWS
    optional: bool = False
    files: bool = True


@dataclass(frozen=True)
class Listing:
    """The videos of a list at a URL, such as a playlist.

    Attributes:
        title: The list's title.
        urls: Of its videos, in its order.
        ids: The site's own id of each; empty where it has none.
        more: Whether it has more than were asked for.
        unusable: Number of its entries that have no URL.
        unread: Why lists in it could not be read.
    """

    title: str
    urls: tuple[str, ...]
    ids: tuple[str, ...]
    more: bool = False
    unusable: int = 0
    unread: tuple[VideoFailed, ...] = ()


@dataclass(frozen=True)
class Context:
    """The context that a run gives to all its stages.

    Attributes:
        seed: The run's seed.
        media: The folder of the media files.
        results: Known results of corpus steps, by the step's name.
        turns: The budgets of the hosts that media come from, and of the servers that are asked.
        answers: The folder of the answers that models gave; None where none are remembered.
        sections: Of the config, by stage; a stage goes by those alone that it names in `shares`.
    """

    seed: int
    media: Files
    results: Mapping[str, Model] = field(default_factory=dict)
    turns: Turns = field(default_factory=FolderTurns)
    answers: Files | None = None
    sections: Mapping[str, StageConfig] = field(default_factory=dict)

    def result(self, step: str, kind: type[ResultT]) -> ResultT:
        """The result of a corpus step that the stage reads."""
        found = self.results[step]
        assert isinstance(found, kind)
        return found

    def section(self, stage: str, kind: type[AnySectionT]) -> AnySectionT:
        """The section of another stage."""
        found = self.sections[stage]
        assert isinstance(found, kind)
        return found


class Video:
    """One video with its rows, as a stage gets it.

    Args:
        manifest: Its line of the manifest; only the fields that the stage names in `manifest_fields` are filled.
        rows: Its rows from the stage's inputs.
        part: Id of the part that it lies in.
    """

    def __init__(self, manifest: ManifestRow, rows: Sequence[Row], part: str = "") -> None:
        self.manifest = manifest
        self.part = part
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
        """The first row, in input order, with an error or else with a drop; None for a live video."""
        rows = [row for found in self._rows.values() for row in found]
        return next((r for r in rows if r.error), None) or next((r for r in rows if r.dropped), None)


class AnyStage(ABC, Generic[ConfigT]):
    """Base of all stages, whatever their unit of work.

    Class attributes:
        name: Name of the stage, its config section and its folder.
        version: Raised with every code change that changes the output.
        scope: Kind of its unit of work.
        reads: Its inputs; `inputs` may make them depend on the config.
        manifest_fields: Fields of the manifest that it reads. A changed field makes only its readers stale.
        outside_of: Lines of which `outside` tells anything: all, or those that name a local file; none where it tells
            nothing.
        seeded: Whether it draws random numbers.
        shares: Other stages whose sections of the config it goes by, too, e.g. for their model.
        Config: Its section of the config.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    scope: ClassVar[Scope]
    reads: ClassVar[tuple[Input, ...]] = ()
    manifest_fields: ClassVar[tuple[str, ...]] = ()
    outside_of: ClassVar[Literal["all", "local", "none"]] = "none"
    seeded: ClassVar[bool] = False
    shares: ClassVar[tuple[str, ...]] = ()
    Config: ClassVar[type[StageConfig]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "outside" in cls.__dict__ and "outside_of" not in cls.__dict__:
            cls.outside_of = "all"

    def __init__(self, config: ConfigT, context: Context) -> None:
        self.config = config
        self.context = context
        self.timings = Timings()

    @classmethod
    def inputs(cls, config: Any) -> tuple[Input, ...]:
        """The stage's inputs under a config."""
        del config
        return cls.reads

    @classmethod
    def outside(cls, line: ManifestRow) -> str:
        """The state of a video's inputs outside the work folder, e.g. a local file's size and time. Must be cheap."""
        del line
        return ""

    @classmethod
    def lists(cls, urls: Sequence[str], config: Any) -> list[int]:
        """Positions of the URLs that stand for several videos, by their form: nothing is fetched."""
        del urls, config
        return []

    @classmethod
    def listed(cls, url: str, config: Any) -> Listing:
        """The videos behind one of the URLs that `lists` found. It is asked once, and the answer kept in the plan.

        Raises:
            VideoFailed: It cannot be read.
        """
        raise NotImplementedError

    @classmethod
    def most_listed(cls, config: Any) -> int:
        """Most videos that are taken from a list."""
        raise NotImplementedError

    @classmethod
    def check(cls, sections: Mapping[str, StageConfig]) -> None:
        """Refuse sections of the config, by stage, that contradict each other.

        Raises:
            ValueError: They do; the message names both keys.
        """

    def revision(self) -> str:
        """The versions of model, programs and libraries that change the output. Must be cheap: it loads nothing.

        Raises:
            StageSetupError: Something is missing.
        """
        return ""

    def missing(self, urls: Collection[str]) -> list[str]:
        """What this machine lacks for the stage, a sentence each that says how to get it.

        It is asked before the first video, on every machine that works. Must be cheap: it loads no model. What
        `revision` raises is told anyway.

        Args:
            urls: Of the manifest, one for each scheme and host or bucket; none on a worker.
        """
        del urls
        return []

    def unreachable(self) -> list[str]:
        """Servers that the stage asks and that do not answer, a sentence each that says what to do.

        It is asked before the first video where the run begins, and not on workers, which wait for a server.
        """
        return []

    def setup(self) -> None:
        """Load models and programs, once per worker.

        Raises:
            StageSetupError: Something is missing.
        """


class Stage(AnyStage[ConfigT], Generic[ConfigT, RowT]):
    """A stage that turns the rows of a part into rows. Executors create it, call `setup` once, `process` per part.

    Class attributes:
        row: Model of its row per video.
        tables: Row models of further tables by name, e.g. embeddings: rows that `process` also returns, any number per
            video.
    """

    scope: ClassVar[Scope] = "part"
    row: ClassVar[type[Row]]
    tables: ClassVar[Mapping[str, type[Row]]] = {}

    @abstractmethod
    def one(self, video: Video) -> RowT:
        """Process one video whose rows are all live.

        Raises:
            VideoFailed: The video has an error.
            VideoDropped: The video has nothing for the shards.
        """

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        """Turn the live videos of a part into one row each, in any order.

        A stage whose model is faster on batches overrides this under the same contract: exactly one row per video,
        with errors and drops in the row.
        """
        for video in videos:
            yield self.guarded(video)

    def spent(self, rows: Iterable[RowT]) -> None:
        """Remove files that the rows of a part name and that can be had again: all that read them are done.

        It is called only where the config's `files_go` is set, without `setup`, and perhaps several times.
        """
        del rows

    def guarded(self, video: Video, work: Callable[[Video], RowT] | None = None) -> Row:
        """Run `one`, or other work on one video, and turn its typed failure or drop into the video's row.

        Any other exception is a fault of the machine or a bug, and is raised: it fails the attempt at the part, not
        the video.
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
    """A step over the corpus: makes a small row per video, part by part, then reduces all rows to one result.

    Class attributes:
        result: Model of its result, whose hash enters the keys of its readers.
        whole: Whether every part is read; otherwise only the first-planned parts of the first group.
        told: Whether it is done for what it tells at the end of a run, even if no stage reads it.
    """

    scope = "corpus"
    result: ClassVar[type[Model]]
    whole: ClassVar[bool] = True
    told: ClassVar[bool] = False

    @abstractmethod
    def reduce(self, rows: Iterable[RowT]) -> ResultT:
        """Reduce all parts' rows, in the order of the parts, to the result; rows of ended videos are left out.

        Memory must not grow with the corpus where `whole` is set.
        """

    @classmethod
    def seen_by(cls, result: ResultT, videos: Collection[str]) -> Model:
        """What a part that reads the result may look at: a change elsewhere does not make the part stale.

        Args:
            result: Of the step.
            videos: Keys of the part's videos.
        """
        del videos
        return result

    @classmethod
    def notes(cls, result: ResultT) -> list[str]:
        """Sentences about the result that whoever uses the dataset must know: for the run's end, the card, `report`."""
        del result
        return []


class GroupStage(AnyStage[ConfigT], Generic[ConfigT, ResultT]):
    """A stage that turns the videos of a group of parts into files.

    Class attributes:
        result: Model of the description of the files.
    """

    scope = "group"
    result: ClassVar[type[Model]]

    @abstractmethod
    def write(self, videos: Iterable[Video], folder: Path) -> ResultT:
        """Write the files of a group into an empty folder. A video's rows are read on access.

        Raises:
            FormatError: A document breaks a rule of the shard format.
        """

    @staticmethod
    @abstractmethod
    def files(result: Any) -> dict[str, str]:
        """The SHA-256 of every written file, by its path in the folder."""


def passed_on(stage: Stage[Any, Any], video: Video) -> Row | None:
    """The row of a video that ended in an earlier stage, with the same error or drop only; None for a live video."""
    halted = video.halted()
    return None if halted is None else stage.row(video=video.key, error=halted.error, dropped=halted.dropped)
