"""What a stage is: a config, a contract, and a method that turns the rows of a part into rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from schemas.calibration import Calibration
from schemas.config import StageConfig
from schemas.row import Dropped, Row, RowError
from schemas.rows import ManifestRow
from stages.timing import Timings

ConfigT = TypeVar("ConfigT", bound=StageConfig)
RowT = TypeVar("RowT", bound=Row)
AnyRowT = TypeVar("AnyRowT", bound=Row)


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


@dataclass(frozen=True)
class Input:
    """A stage that another one reads.

    Attributes:
        stage: Its name.
        without: Columns that are left out when its rows are read, e.g. the JPEGs where only times are needed.
    """

    stage: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What a run gives to all its stages.

    Attributes:
        seed: The run's seed.
        media: Folder of the media files.
        calibration: The corpus's null distribution; None until the parts that it pools are scored.
    """

    seed: int
    media: Path
    calibration: Calibration | None = None


class Video:
    """One video as a stage sees it.

    Args:
        manifest: Its line of the manifest.
        rows: Its rows from the stages that are read.
    """

    def __init__(self, manifest: ManifestRow, rows: Sequence[Row]) -> None:
        self.manifest = manifest
        self._rows = {type(row): row for row in rows}

    @property
    def key(self) -> str:
        """The video's key."""
        return self.manifest.video

    def __getitem__(self, row: type[AnyRowT]) -> AnyRowT:
        found = self._rows[row]
        assert isinstance(found, row)
        return found

    def halted(self) -> Row | None:
        """The first row, in reading order, that says there is nothing left to do; errors come before drops."""
        rows = list(self._rows.values())
        return next((r for r in rows if r.error), None) or next((r for r in rows if r.dropped), None)


class Stage(ABC, Generic[ConfigT, RowT]):
    """A step of the pipeline. Runners create it, call `setup` once, then `process` for each part.

    Attributes:
        config: Its section of the config.
        context: What the run gives to all stages.
        timings: Where its time goes, by kind of work.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    """Raised whenever a change of the code changes the output."""
    reads: ClassVar[tuple[Input, ...]]
    row: ClassVar[type[Row]]
    Config: ClassVar[type[StageConfig]]

    def __init__(self, config: ConfigT, context: Context) -> None:
        self.config = config
        self.context = context
        self.timings = Timings()

    def revision(self) -> str:
        """Revision of the model or program behind the stage, for its fingerprint. Cheap: it loads nothing."""
        return ""

    def setup(self) -> None:
        """Load what is needed, once per worker.

        Raises:
            StageSetupError: Something is missing.
        """

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
        """`one`, or other work on one video, with what it raises turned into the video's row."""
        try:
            return (work or self.one)(video)
        except VideoFailed as failed:
            error = RowError(stage=self.name, code=failed.code, message=failed.message, retryable=failed.retryable)
            return self.row(video=video.key, error=error)
        except VideoDropped as left_out:
            dropped = Dropped(stage=self.name, reason=left_out.reason, detail=left_out.detail)
            return self.row(video=video.key, dropped=dropped)
        except (MemoryError, OSError):
            raise  # the machine's fault, not the video's: the part is tried again
        except Exception as unexpected:  # noqa: BLE001 - a bug must cost one video, not its neighbours; the row says so
            message = f"{type(unexpected).__name__}: {unexpected}. Please report this with the video's URL."
            return self.row(video=video.key, error=RowError(stage=self.name, code="internal", message=message))


def passed_on(stage: Stage[Any, Any], video: Video) -> Row | None:
    """The row of a video that an earlier stage ended: the same error or drop, nothing else. None when it is live."""
    halted = video.halted()
    return None if halted is None else stage.row(video=video.key, error=halted.error, dropped=halted.dropped)
