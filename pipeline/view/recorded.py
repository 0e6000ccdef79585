"""What a run recorded of its videos, as far as `filter` reads it: compact arrays of the rows of one part at a time.

The JPEGs lie in other columns of the same file and are never read. Rows are made again from the arrays when `filter`
asks for them, the same ones as the run's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.workspace import Workspace
from schemas.manifest import ManifestRow
from schemas.media import MediaRow
from schemas.row import Dropped, Row, RowError
from schemas.rows import AlignedRow, DocumentsRow, FramesRow, SampledFrame, ScoresRow, Sentence
from stages.align.stage import FloatArray
from stages.base import Video
from stages.filter.candidates import Candidates
from storyloom.format.words import count_words

Int32 = npt.NDArray[np.int32]

NEEDED = ("align", "score", "sample", "download")
"""The stages that `filter` reads part by part."""

COLUMNS: dict[str, list[str]] = {
    "align": ["video", "error", "dropped", "warnings", "language", "sentences", "frame_times", "pairs"],
    "score": ["video", "error", "dropped", "similarity", "continuity"],
    "sample": ["video", "error", "dropped", "frames", "covered"],
    "download": ["video", "error", "dropped", "duration", "clip_start", "site"],
}
"""The columns that are read of each."""


@dataclass(frozen=True)
class Frames:
    """A video's frames, one entry each; as `SampledFrame` has them."""

    time: FloatArray
    start: FloatArray
    scene: Int32
    width: Int32
    height: Int32
    black: FloatArray
    sharpness: FloatArray

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True)
class Sentences:
    """A video's sentences, one entry each; as `Sentence` has them."""

    start: FloatArray
    end: FloatArray
    words: Int32
    text: tuple[str, ...]
    source: tuple[str, ...]
    flag: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.start)

    @cached_property
    def counted(self) -> Int32:
        """Words of each as the dataset counts them; `words` are the recogniser's, by which `filter` decides."""
        return np.array([count_words(text) for text in self.text], dtype=np.int32)


@dataclass(frozen=True)
class Recorded:
    """A video as `filter` reads it.

    Attributes:
        line: Of the manifest.
        ended: Its row in `filter` where it failed or was dropped before; the arrays are then empty.
        media: Its chapters, and what else of `download` they rest on.
        language: As transcribed.
        warnings: Of `align`.
        frames: Its frames.
        sentences: Its sentences.
        covered: Seconds up to which the picture could be decoded.
        pairs: Frame and sentence of each candidate pair, (pairs, 2).
        similarity: Of each pair.
        continuity: Of the text before and after each boundary between sentences.
    """

    line: ManifestRow
    ended: DocumentsRow | None
    media: MediaRow
    language: str
    warnings: tuple[str, ...]
    frames: Frames
    sentences: Sentences
    covered: float
    pairs: Int32
    similarity: FloatArray
    continuity: FloatArray

    @property
    def key(self) -> str:
        """The video's key."""
        return self.line.video

    @cached_property
    def size(self) -> int:
        """Bytes in memory, about."""
        arrays = [*vars(self.frames).values(), *vars(self.sentences).values(), self.pairs, self.similarity]
        numbers = sum(one.nbytes for one in arrays if isinstance(one, np.ndarray))
        texts = sum(map(sys.getsizeof, self.sentences.text)) + 24 * len(self.sentences)
        return 4096 + numbers + texts + self.continuity.nbytes

    def candidates(self) -> Candidates:
        """The pairs of frames and trusted sentences, as `filter` makes them of the rows."""
        trusted = np.array([not flag for flag in self.sentences.flag], dtype=np.bool_)[self.pairs[:, 1]]
        frame, sentence = self.pairs[trusted].astype(np.int64).T
        of = self.sentences
        return Candidates(
            frame, sentence, self.frames.time[frame], of.start[sentence], of.end[sentence], self.similarity[trusted]
        )

    def shown_spans(self) -> FloatArray:
        """Seconds from which and until which a frame's picture is shown, (frames, 2)."""
        last = [max(self.covered, float(self.frames.time[-1]))] if len(self.frames) else []
        return np.array([self.frames.start, [*self.frames.start[1:].tolist(), *last]], dtype=np.float64).T

    def video(self) -> Video:
        """The video with the rows that `filter` reads, but without pairs: `candidates` has them."""
        key, frames, sentences = self.key, self.frames, self.sentences
        aligned = AlignedRow.model_construct(
            video=key,
            language=self.language,
            warnings=list(self.warnings),
            frame_times=frames.time.tolist(),
            sentences=[
                Sentence.model_construct(start=start, end=end, words=words, text=text, source=source, flag=flag)
                for start, end, words, text, source, flag in zip(
                    sentences.start.tolist(),
                    sentences.end.tolist(),
                    sentences.words.tolist(),
                    sentences.text,
                    sentences.source,
                    sentences.flag,
                    strict=True,
                )
            ],
        )
        sampled = [
            SampledFrame.model_construct(
                time=time, start=start, scene=scene, width=width, height=height, black=black, sharpness=sharpness
            )
            for time, start, scene, width, height, black, sharpness in zip(
                *(column.tolist() for column in vars(frames).values()), strict=True
            )
        ]
        shown = FramesRow.model_construct(video=key, frames=sampled, covered=self.covered)
        scores = ScoresRow.model_construct(
            video=key, similarity=self.similarity.tolist(), continuity=self.continuity.tolist()
        )
        return Video(self.line, [aligned, scores, shown, self.media])


def recorded_part(workspace: Workspace, part: str) -> list[Recorded]:
    """The videos of a part that is done in all stages that `filter` reads, in the order of the plan.

    Raises:
        OSError: A file is gone: a run does the part again.
        pa.ArrowException: A file is damaged.
    """
    tables = {name: _table(workspace, name, part, COLUMNS[name]) for name in NEEDED}
    return [
        _recorded(line, {name: _Row(table, place) for name, table in tables.items()})
        for place, line in enumerate(workspace.lines[part])
    ]


class _Row:
    """One row of a table."""

    def __init__(self, table: pa.Table, place: int) -> None:
        self._table = table
        self._place = place

    def value(self, name: str) -> Any:
        """A column's value."""
        return self._table[name][self._place].as_py()

    def floats(self, name: str) -> FloatArray:
        """A list of numbers."""
        return np.asarray(self._table[name][self._place].values.to_numpy(zero_copy_only=False), dtype=np.float64)

    def items(self, name: str) -> Any:
        """A list of structs, as Arrow's array of them."""
        return self._table[name][self._place].values


def null_scores(workspace: Workspace, part: str) -> Iterator[Video]:
    """The videos of a part with the similarities of their unrelated pairs."""
    table = _table(workspace, "score", part, ["video", "error", "dropped", "model", "revision", "null_similarity"])
    for line, values in zip(workspace.lines[part], table.to_pylist(), strict=True):
        row = ScoresRow.model_validate(values)
        if row.live:
            yield Video(line, [row])


def _table(workspace: Workspace, name: str, part: str, columns: list[str]) -> pa.Table:
    """Columns of the rows of a part, in the order of the plan; each page is checked, and no other column is read."""
    found = workspace.found(name, part)
    if found is None or found[1] is None:
        raise FileNotFoundError(f"part {part} is not done in {name}")
    with workspace.job.store.unchecked(found[0]) as opened:
        table = opened.read(columns=columns).combine_chunks()
    wanted = [line.video for line in workspace.lines[part]]
    if table["video"].to_pylist() != wanted:
        raise pa.ArrowInvalid(f"the table of {name} does not hold the videos of part {part}")
    return table


def _recorded(line: ManifestRow, rows: dict[str, _Row]) -> Recorded:
    halted = Video(line, [_head(line, row) for row in rows.values()]).halted()
    ended = DocumentsRow(video=line.video, error=halted.error, dropped=halted.dropped) if halted else None
    aligned, scores, sampled, media = (rows[name] for name in NEEDED)
    frames = Frames(*(_column(sampled.items("frames"), name, kind) for name, kind in _FRAME.items()))
    said = aligned.items("sentences")
    texts, sources, flags = (
        tuple(map(sys.intern, said.field(name).to_pylist())) for name in ("text", "source", "flag")
    )
    start, end, words = (_column(said, name, kind) for name, kind in _SENTENCE.items())
    pairs = aligned.items("pairs")
    return Recorded(
        line=line,
        ended=ended,
        media=MediaRow.model_validate({name: media.value(name) for name in _MEDIA}),
        language=aligned.value("language"),
        warnings=tuple(aligned.value("warnings")),
        frames=frames,
        sentences=Sentences(start, end, words, texts, sources, flags),
        covered=sampled.value("covered"),
        pairs=np.stack([_column(pairs, name, np.int32) for name in ("frame", "sentence")], axis=1),
        similarity=scores.floats("similarity"),
        continuity=scores.floats("continuity"),
    )


_FRAME: dict[str, Any] = {
    "time": np.float64,
    "start": np.float64,
    "scene": np.int32,
    "width": np.int32,
    "height": np.int32,
    "black": np.float64,
    "sharpness": np.float64,
}

_MEDIA = ("video", "duration", "clip_start", "site")

_SENTENCE: dict[str, Any] = {"start": np.float64, "end": np.float64, "words": np.int32}


def _column(items: Any, name: str, kind: Any) -> Any:
    return np.asarray(items.field(name).to_numpy(zero_copy_only=False)).astype(kind)


def _head(line: ManifestRow, row: _Row) -> Row:
    error, dropped = row.value("error"), row.value("dropped")
    return Row(
        video=line.video,
        error=RowError.model_validate(error) if error else None,
        dropped=Dropped.model_validate(dropped) if dropped else None,
    )


def parts_recorded(workspace: Workspace) -> Iterator[str]:
    """The parts that are done in all stages that `filter` reads."""
    done = set(workspace.done("score"))
    return (part for part in workspace.plan.parts if part in done)
