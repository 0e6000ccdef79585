"""The manifest's lines by part, in a file of the work folder or of this machine: a row group is read for a part."""

from __future__ import annotations

import hashlib
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.manifest import SCHEMA, Rows
from pipeline.manifest.rows import no_room
from pipeline.parts import Numbers, Parts, part_ids, places_in, runs
from pipeline.plan import Plan
from pipeline.store import MANIFESTS
from schemas.manifest import ManifestRow
from storyloom.errors import RunFailed
from storyloom.format.parquet import ParquetFile
from storyloom.fs.files import Files

ROW_GROUP = 4096
"""Approximate rows of a Parquet row group: a worker reads one of them for a part (our choice)."""

DIGEST_BYTES = 16
"""Bytes of the hash of a part's lines (our choice: they are compared with those of the same part alone)."""


class Lines:
    """The lines of a manifest in the order of a plan's parts.

    One that goes through the parts in their order reads each row group of the file about once.

    Args:
        manifest: With the columns of `ManifestRow`; keys are unique.
        plan: Its parts contain each video once.

    Raises:
        UsageError: There is no room for many lines on this machine.
    """

    def __init__(self, manifest: Rows, plan: Plan) -> None:
        self._parts = plan.members
        self._group: tuple[int, pa.Table] | None = None
        self._files: Files | None = None
        self._places: list[str] | None = None
        self._known: Sequence[str] = ()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._content: bytes | Path
        if not manifest.many:
            sink = pa.BufferOutputStream()
            self._write(manifest, sink)
            self._content = sink.getvalue().to_pybytes()
            return
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="storyloom-lines-")
            self._content = Path(self._folder.name, "lines.parquet")
            self._write(manifest, pa.OSFile(str(self._content), "wb"))
            self._content.chmod(0o600)  # as `save` promises
        except OSError as reason:
            raise no_room(reason) from reason

    def _write(self, manifest: Rows, sink: pa.NativeFile) -> None:
        rows = _cut(manifest.ordered(_order(self._parts, manifest.keys), SCHEMA.names), self._parts)
        with sink, pq.ParquetWriter(sink, _FILE_SCHEMA, compression="zstd", write_page_checksum=True) as writer:
            for parts, table in rows:
                writer.write_table(table.add_column(0, _FILE_SCHEMA.field(0), parts))

    @classmethod
    def saved(cls, files: Files, name: str, parts: Parts, *, places: list[str], digests: Sequence[str]) -> Lines:
        """Lines that were saved for the same parts.

        Args:
            files: The work folder's.
            name: The file's.
            parts: Of the plan.
            places: As `places` gave them.
            digests: As `group_digests` gave them for the config's size of groups.
        """
        found = cls.__new__(cls)
        found._parts, found._group, found._folder, found._content = parts, None, None, b""  # noqa: SLF001 - its own
        found._files, found._places, found._known = files, places, digests  # noqa: SLF001
        found.__dict__["name"] = name
        return found

    def __getitem__(self, part: str) -> list[ManifestRow]:
        return self.of([part])[part]

    def of(self, parts: Iterable[str]) -> dict[str, list[ManifestRow]]:
        """The lines of some parts, such as those of a group, each row group read once.

        Raises:
            KeyError: A part is not of the plan.
        """
        found: dict[str, list[ManifestRow]] = {}
        at = sorted((int(self._rank[self._parts.place(part)]), part) for part in parts)
        for rank, part in at:
            start, end = int(self._starts[rank]), int(self._ends[rank])
            number = int(np.searchsorted(self._group_ends, start, "right"))
            begin = int(self._group_ends[number - 1]) if number else 0
            rows = self._row_group(number).slice(start - begin, end - start)
            found[part] = [ManifestRow.model_construct(**row) for row in rows.to_pylist()]
        return found

    def clips(self) -> Iterator[ManifestRow]:
        """The lines of clips."""
        for table in self._tables(SCHEMA.names):
            found = pc.or_(pc.greater_equal(table["start"], 0.0), pc.greater_equal(table["end"], 0.0))
            for row in table.filter(found).to_pylist():
                yield ManifestRow.model_construct(**row)

    def places(self) -> list[str]:
        """One URL of each scheme and host or bucket of the manifest; local paths have none."""
        if self._places is not None:
            return self._places
        found: dict[str, str] = {}
        for table in self._tables(["url"]):
            column = table["url"].combine_chunks()
            of_row = pc.extract_regex(column, pattern=r"^(?P<place>[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)").field("place")
            places = of_row.unique()
            urls = column.take(pc.index_in(places, value_set=of_row)).to_pylist()
            found = dict(zip(places.to_pylist(), urls, strict=True)) | found
        found.pop("", None)
        return list(found.values())

    def parts_with(self, source_ids: list[str]) -> list[str]:
        """The parts that hold videos with these ids of the manifest."""
        wanted = pa.array(source_ids, pa.string())
        return self.parts_where(["source_id"], lambda table: pc.is_in(table["source_id"], value_set=wanted))

    def parts_where(self, columns: list[str], test: Callable[[pa.Table], Any]) -> list[str]:
        """The parts that hold a line which a test finds, in the order of their ids.

        Args:
            columns: What the test reads.
            test: Tells of each row of a table whether it is wanted.
        """
        begin = 0
        ranks: list[npt.NDArray[Any]] = []
        for table in self._tables(columns):
            at = begin + np.flatnonzero(test(table))
            ranks.append(np.searchsorted(self._ends, at, "right"))
            begin += len(table)
        found = np.unique(np.concatenate(ranks)) if ranks else np.empty(0, np.int64)
        return part_ids(self._parts.codes[self._parts.by_id[found]])

    def part_of(self, video: str) -> str | None:
        """The part that holds a video, by its key; None where the manifest has no such video."""
        return self._parts.part_of(video)

    @cached_property
    def name(self) -> str:
        """Name of the file that `save` writes."""
        if isinstance(self._content, bytes):
            found = hashlib.sha256(self._content)
        else:
            with self._content.open("rb") as file:
                found = hashlib.file_digest(file, "sha256")
        return f"{MANIFESTS}/{found.hexdigest()[:16]}.parquet"

    def save(self, files: Files) -> str:
        """Write the lines for workers, under a name with their hash; an existing valid file is kept.

        URLs lie in it with their passwords and signatures, without which nothing is fetched: only its owner may read
        it.
        """
        if self._files is not None:
            return self.name
        if not files.create(self.name, self._content, private=True):
            files.remove(self.name)
            files.create(self.name, self._content, private=True)
        return self.name

    def group_digests(self, size: int) -> list[str]:
        """The hash of the lines of each group of `size` slots, in the order of `Plan.groups`: its parts and each line.

        What is known of a group may be held against it, without a look at the lines.
        """
        groups = self._parts.groups(size)
        if len(self._known) == len(groups):
            return list(self._known)
        content = np.empty((len(self._parts), 8 + DIGEST_BYTES), np.uint8)
        content[:, :8] = self._parts.codes.astype(">u8").view(np.uint8).reshape(-1, 8)
        content[:, 8:] = self._digests
        ends = [*groups.starts[1:].tolist(), len(content)]
        return [
            hashlib.sha256(content[start:end].tobytes()).hexdigest()
            for start, end in zip(groups.starts.tolist(), ends, strict=True)
        ]

    @cached_property
    def _digests(self) -> npt.NDArray[np.uint8]:
        """The beginning of the hash of each part's lines."""
        found = np.empty((len(self._parts), DIGEST_BYTES), np.uint8)
        rank = 0
        for table in self._tables(SCHEMA.names):
            text = _texts(table)
            offsets = np.frombuffer(text.buffers()[1], np.int32)
            begin = int(self._starts[rank]) if rank < len(self._starts) else 0
            last = int(np.searchsorted(self._ends, begin + len(table), "right"))
            bounds = offsets[np.append(self._starts[rank:last], begin + len(table)) - begin].tolist()
            content = memoryview(text.buffers()[2])
            hashes = b"".join(hashlib.sha256(content[one:two]).digest()[:DIGEST_BYTES] for one, two in pairwise(bounds))
            found[self._parts.by_id[rank:last]] = np.frombuffer(hashes, np.uint8).reshape(-1, DIGEST_BYTES)
            rank = last
        return found

    @cached_property
    def _rank(self) -> Numbers:
        """The place of each part in the order of their ids."""
        found = np.empty(len(self._parts), np.int64)
        found[self._parts.by_id] = np.arange(len(found))
        return found

    @cached_property
    def _ends(self) -> Numbers:
        """The row after each part, in the order of their ids."""
        ends: Numbers = np.cumsum(np.diff(self._parts.ends, prepend=0)[self._parts.by_id])
        return ends

    @cached_property
    def _starts(self) -> Numbers:
        """The first row of each part, in the order of their ids."""
        return np.append(0, self._ends[:-1])[: len(self._ends)]

    @cached_property
    def _metadata(self) -> pq.FileMetaData:
        with self._opened() as file:
            return file.metadata

    @cached_property
    def _group_ends(self) -> Numbers:
        """The row after each row group."""
        groups = range(self._metadata.num_row_groups)
        ends: Numbers = np.cumsum([self._metadata.row_group(group).num_rows for group in groups], dtype=np.int64)
        return ends

    @contextmanager
    def _opened(self) -> Iterator[ParquetFile]:
        """The file.

        Raises:
            RunFailed: It is damaged.
        """
        if self._files is not None:
            with _opened(self._files, self.name) as file:
                yield file
            return
        with ParquetFile(self._content, page_checksum_verification=True) as file:
            yield file

    def _row_group(self, number: int) -> pa.Table:
        """A row group; the last one that was read is kept."""
        kept = self._group
        if kept is None or kept[0] != number:
            with self._opened() as file:
                kept = number, file.read_row_group(number, columns=SCHEMA.names)
            self._group = kept
        return kept[1]

    def _tables(self, columns: list[str]) -> Iterator[pa.Table]:
        """Some columns of each row group."""
        with self._opened() as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number, columns=columns)


_FILE_SCHEMA = SCHEMA.insert(0, pa.field("part", pa.string(), nullable=False))


def _order(parts: Parts, keys: npt.NDArray[np.uint8]) -> Numbers:
    """For each row of the file the place of its video among some keys."""
    sizes = np.diff(parts.ends, prepend=0)[parts.by_id]
    rows = runs(parts.starts[parts.by_id], sizes)
    return places_in(parts.keys_of_videos[rows], keys)


def _cut(tables: Iterable[pa.Table], parts: Parts) -> Iterator[tuple[pa.Array, pa.Table]]:
    """The rows of each row group, and the part of each: no part is split.

    Args:
        tables: All rows, in tables of any size.
        parts: In the order of their ids they have the rows.
    """
    sizes = np.diff(parts.ends, prepend=0)[parts.by_id]
    ends = np.cumsum(sizes)
    left, more = SCHEMA.empty_table(), iter(tables)
    first, begin = 0, 0
    while first < len(ends):
        last = min(int(np.searchsorted(ends, begin + ROW_GROUP)), len(ends) - 1)
        while len(left) < ends[last] - begin:
            left = pa.concat_tables([left, next(more)])
        ids = pa.array(part_ids(parts.codes[parts.by_id[first : last + 1]]), pa.string())
        of_rows = ids.take(pa.array(np.repeat(np.arange(len(ids)), sizes[first : last + 1])))
        yield of_rows, left.slice(0, int(ends[last]) - begin).combine_chunks()
        left = left.slice(int(ends[last]) - begin)
        first, begin = last + 1, int(ends[last])


def _texts(table: pa.Table) -> pa.StringArray:
    """All columns of each row as one text, with the length of each value, so that no two rows have the same."""
    columns: list[Any] = []
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_list(column.type):
            columns.append(pc.list_value_length(column).cast(pa.string()))
            column = pc.binary_join(column.cast(pa.list_(pa.string())), "\0")  # no path has one
        column = column.cast(pa.string())
        columns += [pc.binary_length(column).cast(pa.string()), column]
    return pc.binary_join_element_wise(*columns, ":")


@contextmanager
def _opened(files: Files, name: str) -> Iterator[ParquetFile]:
    """A file that `Lines.save` wrote; what a machine's cache has of it is held against the hash in its name.

    Raises:
        RunFailed: The file is damaged, or gone.
    """
    digits = name[len(MANIFESTS) + 1 : -len(".parquet")]
    identity = f"lines-{digits}"
    with ExitStack() as stack:
        try:
            file = stack.enter_context(files.local(name, identity))
            if files.cached and not _sha256(file, _state(file)).startswith(digits):
                files.forget(identity)
                stack.close()
                file = stack.enter_context(files.local(name, identity))
        except FileNotFoundError as gone:
            raise _lost(files, name, "gone") from gone
        try:
            with ParquetFile(file, page_checksum_verification=True) as found:
                yield found
        except (pa.ArrowException, OSError) as reason:
            if isinstance(reason, OSError) and reason.errno:  # of the machine; Arrow's own for a damaged file have none
                raise
            files.forget(identity)
            raise _lost(files, name, f"damaged ({str(reason).strip()})") from reason


def _lost(files: Files, name: str, flaw: str) -> RunFailed:
    return RunFailed(f"{files.address}/{name}, the manifest as workers read it, is {flaw}; run again")


def _state(file: Path) -> tuple[int, ...]:
    stated = file.stat()
    return stated.st_size, stated.st_mtime_ns, stated.st_ino


@lru_cache(maxsize=16)
def _sha256(file: Path, state: tuple[int, ...]) -> str:
    """The hash of a file, read once as long as its state is the same."""
    del state
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def part_lines(files: Files, name: str, part: str) -> list[ManifestRow]:
    """The lines of one part, from a file that `Lines.save` wrote.

    Raises:
        KeyError: The file does not contain the part.
        RunFailed: The file is damaged.
    """
    with _opened(files, name) as found:
        group = _row_group(found.metadata, part)
        if group == found.num_row_groups:
            raise KeyError(part)
        rows = found.read_row_group(group)
    rows = rows.filter(pc.equal(rows["part"], part)).drop_columns("part")
    if not rows.num_rows:
        raise KeyError(part)
    return [ManifestRow.model_validate(row) for row in rows.to_pylist()]


def _row_group(metadata: pq.FileMetaData, part: str) -> int:
    """The number of a part's row group: parts are sorted within a file, and none is in two groups."""

    def last(group: int) -> str:
        return str(metadata.row_group(group).column(0).statistics.max)

    return bisect_left(range(metadata.num_row_groups), part, key=last)
