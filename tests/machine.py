"""A pipeline of small stages, without media or models, for tests of the machine; and runs of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pipeline.config import RunConfig, config_from
from pipeline.run import Selection, run
from pipeline.workspace import Workspace, survey
from schemas.config import OPERATIONAL, StageConfig
from schemas.manifest import ManifestRow
from schemas.row import Row
from stages.base import Context, CorpusStep, GroupStage, Input, Stage, Video, VideoDropped, VideoFailed
from stages.registry import STAGES
from storyloom.format.model import Model
from storyloom.fs.files import files_at
from tests.runs import EVERYTHING, Recorder


class MeasureRow(Row):
    """The size of a file."""

    size: int = 0

    def counts(self) -> dict[str, int]:
        return {"bytes": self.size, "media_ms": 1000 * self.size}


class MeasureConfig(StageConfig):
    """`most` drops larger files, `patience` changes no output."""

    most: int = 1000
    patience: Annotated[int, OPERATIONAL] = 1


class Measure(Stage[MeasureConfig, MeasureRow]):
    """Reads nothing but the manifest and the file that it names."""

    name = "measure"
    version = 1
    manifest_fields = ("url", "folder")
    row = MeasureRow
    Config = MeasureConfig

    @classmethod
    def outside(cls, line: ManifestRow) -> str:
        try:
            found = Path(line.location).stat()
        except FileNotFoundError:
            return ""
        return f"{found.st_size} {found.st_mtime_ns}"

    def one(self, video: Video) -> MeasureRow:
        file = Path(video.manifest.location)
        if not file.exists():
            raise VideoFailed("not_found", f"no {file.name}", retryable=True)
        size = file.stat().st_size
        if size > self.config.most:
            raise VideoDropped("too_large", str(size))
        return MeasureRow(video=video.key, size=size)


class EchoRow(Row):
    """What `Echo` says."""

    said: str = ""


class LetterRow(Row):
    """A letter of what `Echo` says."""

    letter: str = ""


class EchoConfig(StageConfig):
    """`model` stands for a checkpoint's name, whose revision `Echo` looks up."""

    prefix: str = ""
    model: str = "small"
    loud: Annotated[bool, OPERATIONAL] = False


class Echo(Stage[EchoConfig, EchoRow]):
    """Says a video's title and size; keeps a second table."""

    name = "echo"
    version = 1
    reads = (Input("measure"),)
    manifest_fields = ("title",)
    seeded = True
    row = EchoRow
    tables: ClassVar[Mapping[str, type[Row]]] = {"letters": LetterRow}
    Config = EchoConfig

    def revision(self) -> str:
        return f"{self.config.model}@1"

    def one(self, video: Video) -> EchoRow:
        return EchoRow(video=video.key, said=f"{self.config.prefix}{video.manifest.title}{video[MeasureRow].size}")

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        for video in videos:
            row = self.guarded(video)
            yield row
            if isinstance(row, EchoRow):
                yield from (LetterRow(video=row.video, letter=letter) for letter in row.said)


class TotalSize(Model):
    """Bytes of all videos."""

    size: int


class Total(CorpusStep[StageConfig, MeasureRow, TotalSize]):
    """Adds up the sizes of the corpus."""

    name = "total"
    version = 1
    reads = (Input("measure"),)
    row = MeasureRow
    result = TotalSize
    Config = StageConfig

    def one(self, video: Video) -> MeasureRow:
        return video[MeasureRow]

    def reduce(self, rows: Iterable[MeasureRow]) -> TotalSize:
        return TotalSize(size=sum(row.size for row in rows))


class ShareRow(Row):
    """A video's share of the corpus."""

    share: float = 0.0
    letters: int = 0


class Share(Stage[StageConfig, ShareRow]):
    """Reads another stage's row and further table, and the corpus step's result."""

    name = "share"
    version = 1
    reads = (Input("measure"), Input("echo", table="letters"), Input("total"))
    row = ShareRow
    Config = StageConfig

    def one(self, video: Video) -> ShareRow:
        total = self.context.result("total", TotalSize).size
        return ShareRow(
            video=video.key,
            share=round(video[MeasureRow].size / total, 6),
            letters=len(video.all(LetterRow)),
        )


class Packed(Model):
    """What a group became."""

    sha256: str
    lines: int


class Pack(GroupStage[StageConfig, Packed]):
    """Writes a line a video into one file a group."""

    name = "pack"
    version = 1
    reads = (Input("share"), Input("echo"))
    manifest_fields = ("license",)
    result = Packed
    Config = StageConfig

    def write(self, videos: Iterable[Video], folder: Path) -> Packed:
        lines = [f"{v[EchoRow].said} {v[ShareRow].share} {v.manifest.license}" for v in videos if v[ShareRow].live]
        content = "\n".join(lines).encode()
        (folder / "lines.txt").write_bytes(content)
        return Packed(sha256=hashlib.sha256(content).hexdigest(), lines=len(lines))

    @staticmethod
    def files(result: Packed) -> dict[str, str]:
        return {"lines.txt": result.sha256}


NAMES = ("measure", "echo", "total", "share", "pack")


def config(folder: Path, **changes: Any) -> RunConfig:
    """A config of these stages alone, over ``folder/list.csv``."""
    content: dict[str, Any] = {
        "manifest": str(folder / "list.csv"),
        "work": str(folder / "work"),
        "output": str(folder / "out"),
        "stages": [f"{__name__}:{one.__name__}" for one in (Measure, Echo, Total, Share, Pack)],
        "runner": {"kind": "inline", "max_failed_share": 1.0},
        "parts": {"videos": 2, "group": 2},
    }
    return config_from(content | {stage.name: {"enabled": False} for stage in STAGES} | changes)


def files(folder: Path, sizes: Sequence[int]) -> None:
    """Files of so many bytes each, and a manifest of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, size in enumerate(sizes):
        (folder / f"{number}.bin").write_bytes(bytes(size))
    manifest(folder, {f"{number}.bin": f"T{number}" for number in range(len(sizes))})


def manifest(folder: Path, titles: Mapping[str, str], licenses: Mapping[str, str] | None = None) -> None:
    """``list.csv``, a line a file."""
    lines = ["url,title,license", *(f"{url},{title},{(licenses or {}).get(url, '')}" for url, title in titles.items())]
    (folder / "list.csv").write_text("\n".join(lines) + "\n")


def ran(found: RunConfig, selection: Selection = EVERYTHING) -> Recorder:
    """A run, and what it did."""
    recorder = Recorder()
    run(found, selection, recorder)
    return recorder


def worked(found: RunConfig, selection: Selection = EVERYTHING) -> list[tuple[str, str]]:
    """Stage and unit of every mark that a run wrote: what it was told as done may only have been found to be."""

    def marks() -> dict[Path, tuple[int, int]]:
        files = [file for name in NAMES for file in Path(found.work, name).glob("*/*.*.json")]
        return {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in files}

    before = marks()
    ran(found, selection)
    made = [file for file, identity in marks().items() if before.get(file) != identity]
    return sorted((file.parts[-3], file.name.partition(".")[0].partition("-")[2]) for file in made)


def rows(found: RunConfig, name: str, row: type[Row]) -> dict[str, Any]:
    """A stage's rows by the manifest's url."""
    workspace = survey(found)
    return {
        line.url: one
        for part in workspace.plan.parts
        for line, one in zip(workspace.lines[part], workspace.rows(name, part, row), strict=True)
    }


def prepared(found: RunConfig) -> Workspace:
    """The workspace of a config, whose plan is written and of which nothing was done."""
    return survey(found, write=True)


def ready(found: RunConfig, *stages: str) -> Workspace:
    """The same once some stages were done."""
    ran(found, Selection(stages))
    return survey(found, write=True)


CONTEXT = Context(seed=0, media=files_at("media"))
