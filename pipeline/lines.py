"""The manifest's lines by part: in memory for planning, in a file of the work folder for workers."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.manifest import SCHEMA
from pipeline.plan import Plan
from pipeline.store import MANIFESTS
from schemas.manifest import ManifestRow
from storyloom.errors import RunFailed
from storyloom.fs.files import Files

ROW_GROUP = 4096
"""Approximate rows of a Parquet row group: a worker reads one of them for a part (our choice)."""


class Lines:
    """The lines of a manifest in the order of a plan's parts.

    Args:
        manifest: Table with the columns of `ManifestRow`; keys are unique.
        plan: Its parts contain each video once.
    """

    def __init__(self, manifest: pa.Table, plan: Plan) -> None:
        parts = sorted(plan.members.items())
        videos = pa.array([video for _, members in parts for video in members], pa.string())
        self._table = manifest.take(pc.index_in(videos, value_set=manifest["video"])).combine_chunks()
        ends = np.cumsum([len(members) for _, members in parts]).tolist()
        self._place = {part: (end - len(members), end) for (part, members), end in zip(parts, ends, strict=True)}

    def __getitem__(self, part: str) -> list[ManifestRow]:
        start, end = self._place[part]
        return [ManifestRow.model_construct(**row) for row in self._table.slice(start, end - start).to_pylist()]

    def clips(self) -> Iterator[ManifestRow]:
        """The lines of clips."""
        found = pc.or_(pc.greater_equal(self._table["start"], 0.0), pc.greater_equal(self._table["end"], 0.0))
        for row in self._table.filter(found).to_pylist():
            yield ManifestRow.model_construct(**row)

    def places(self) -> list[str]:
        """One URL of each scheme and host or bucket of the manifest; local paths have none."""
        column = self._table["url"].combine_chunks()
        found = pc.extract_regex(column, pattern=r"^(?P<place>[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)").field("place")
        places = found.unique()
        remote = places.filter(pc.not_equal(places, ""))
        urls: list[str] = column.take(pc.index_in(remote, value_set=found)).to_pylist()
        return urls

    def parts_with(self, source_ids: list[str]) -> list[str]:
        """The parts that hold videos with these ids of the manifest."""
        found = np.flatnonzero(pc.is_in(self._table["source_id"], value_set=pa.array(source_ids, pa.string())))
        return [part for part, (start, end) in self._place.items() if np.any((found >= start) & (found < end))]

    def part_of(self, video: str) -> str | None:
        """The part that holds a video, by its key; None where the manifest has no such video."""
        place = pc.index(self._table["video"], video).as_py()
        return next((part for part, (start, end) in self._place.items() if start <= place < end), None)

    @property
    def name(self) -> str:
        """Name of the file that `save` writes."""
        return _name(self._content())

    def save(self, files: Files) -> str:
        """Write the lines for workers, under a name with their hash; an existing valid file is kept.

        URLs lie in it with their passwords and signatures, without which nothing is fetched: only its owner may read
        it.
        """
        content = self._content()
        name = _name(content)
        if not files.create(name, content, private=True):
            files.remove(name)
            files.create(name, content, private=True)
        return name

    def _content(self) -> bytes:
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, _FILE_SCHEMA, compression="zstd", write_page_checksum=True) as writer:
            for start, end, parts in self._row_groups():
                column = pa.array(parts, pa.string())
                writer.write_table(self._table.slice(start, end - start).add_column(0, _FILE_SCHEMA.field(0), column))
        found: bytes = sink.getvalue().to_pybytes()
        return found

    def _row_groups(self) -> Iterator[tuple[int, int, list[str]]]:
        """First and last row of each row group, and the part of each row; no part is split."""
        begin = 0
        parts: list[str] = []
        for part, (start, end) in self._place.items():
            parts += [part] * (end - start)
            if end - begin >= ROW_GROUP:
                yield begin, end, parts
                begin, parts = end, []
        if parts:
            yield begin, begin + len(parts), parts


_FILE_SCHEMA = SCHEMA.insert(0, pa.field("part", pa.string(), nullable=False))


def _name(content: bytes) -> str:
    return f"{MANIFESTS}/{hashlib.sha256(content).hexdigest()[:16]}.parquet"


def part_lines(files: Files, name: str, part: str) -> list[ManifestRow]:
    """The lines of one part, from a file that `Lines.save` wrote.

    Raises:
        KeyError: The file does not contain the part.
        RunFailed: The file is damaged.
    """
    try:
        with (
            files.local(name, f"lines-{name[len(MANIFESTS) + 1 : -len('.parquet')]}") as file,
            pq.ParquetFile(file, page_checksum_verification=True) as found,
        ):
            group = _row_group(found.metadata, part)
            if group == found.num_row_groups:
                raise KeyError(part)
            rows = found.read_row_group(group, use_threads=False)
    except (pa.ArrowException, OSError) as reason:
        raise RunFailed(
            f"{files.address}/{name}, the manifest as workers read it, is damaged ({str(reason).strip()}); run again"
        ) from reason
    rows = rows.filter(pc.equal(rows["part"], part)).drop_columns("part")
    if not rows.num_rows:
        raise KeyError(part)
    return [ManifestRow.model_validate(row) for row in rows.to_pylist()]


def _row_group(metadata: pq.FileMetaData, part: str) -> int:
    """The number of a part's row group: parts are sorted within a file, and none is in two groups."""

    def last(group: int) -> str:
        return str(metadata.row_group(group).column(0).statistics.max)

    return bisect_left(range(metadata.num_row_groups), part, key=last)
