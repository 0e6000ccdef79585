"""The files of a work folder: tables of parts, folders of groups, results, and the mark that each finished unit has.

A unit's files lie at ``WORK/<stage>/<stage key>/<unit>.<unit key>.*``. A key is made of everything that the output
depends on, so a file that is there never becomes wrong: it is what a unit with these inputs gives. The mark comes last
and has the hashes of what was read and written; a file that does not match its mark is damaged and counts as missing.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.logs.voids import BEGUN, LOGS, voided
from schemas.row import Row
from stages.base import ROWS
from storyloom.errors import UsageError
from storyloom.format.arrow import arrow_schema
from storyloom.format.model import Model
from storyloom.format.parquet import ParquetFile
from storyloom.fs.files import Files, files_at

RowT = TypeVar("RowT", bound=Row)


@dataclass(frozen=True)
class Address:
    """The location of a unit's files.

    Attributes:
        stage: The stage's name.
        stage_key: Its key.
        unit: Name of the unit, e.g. ``part-0000012-1f2e3d4c``, ``group-00003`` or ``corpus``.
        key: The unit's key.
    """

    stage: str
    stage_key: str
    unit: str
    key: str

    @property
    def stem(self) -> str:
        """The common prefix of its file names."""
        return f"{self.unit}.{self.key}"


class Damaged(RuntimeError):
    """A file of a finished unit is missing or does not match its mark: the unit counts as not done from now on.

    Args:
        address: The unit.
        flaw: What is wrong.
    """

    def __init__(self, address: Address, flaw: str) -> None:
        super().__init__(f"{address.stage}, {address.unit}: {flaw}; it is done again")
        self.address = address
        self.flaw = flaw

    def __reduce__(self) -> tuple[Any, ...]:
        return Damaged, (self.address, self.flaw)


class Mark(Model):
    """The inputs and outputs of a finished unit; the presence of its file marks the unit as done.

    Attributes:
        stage: The stage's name.
        unit: The unit's name.
        key: The unit's key.
        inputs: SHA-256 of each input, by its name.
        tables: SHA-256 of each Parquet file, by the table's name.
        files: SHA-256 of each file of a group's folder, by its path there.
        result: Of a group or a corpus step, as JSON.
        ran: Models, programs and libraries that were used.
        videos: Rows.
        live: Rows that later stages work on.
        retryable: Rows with a retryable failure in this stage, and items of others, such as frames.
        failed: Rows that failed in this stage or before it, by ``stage.code``.
        dropped: Rows that this stage or one before it left out, by ``stage.reason``.
        warnings: Rows with a warning of this stage or one before it, by code.
        counts: The sums of `Row.counts`.
        sha256: Of all the other fields.
    """

    stage: str
    unit: str
    key: str
    inputs: dict[str, str]
    tables: dict[str, str] = {}
    files: dict[str, str] = {}
    result: dict[str, Any] | None = None
    ran: str = ""
    videos: int = 0
    live: int = 0
    retryable: int = 0
    failed: dict[str, int] = {}
    dropped: dict[str, int] = {}
    warnings: dict[str, int] = {}
    counts: dict[str, int] = {}
    sha256: str = ""

    def sealed(self) -> Self:
        """The mark with its own hash."""
        return self.model_copy(update={"sha256": self._digest()})

    @classmethod
    def of(cls, content: bytes) -> Self | None:
        """The mark in a file's content; None when it is damaged."""
        try:
            mark = cls.model_validate_json(content)
        except ValidationError:
            return None
        return mark if mark.sha256 == mark._digest() else None  # noqa: SLF001 - its own

    @property
    def output(self) -> str:
        """The hash of the unit's default output: the rows, the files or the result."""
        return self.tables.get(ROWS) or canonical_digest(self.files or self.result)

    def _digest(self) -> str:
        return canonical_digest(self.model_dump(exclude={"sha256"}))


DESCRIPTION = "stage.json"
"""File with the ingredients of a stage's key, beside its units."""

PLAN, MANIFESTS, MEDIA, SUMMARIES = "plan", "manifests", "media", "summaries"
ANSWERS = "answers"
ATTEMPTS, PROFILE, PUBLISHED = "attempts", "profile", "published"
FOLDERS = (PLAN, MANIFESTS, MEDIA, ANSWERS, SUMMARIES, LOGS, ATTEMPTS, PROFILE, PUBLISHED)
HASH_DIGITS = 16
"""Hexadecimal digits of a hash in the name of a table or a group's folder (our choice: 64 bits)."""

FAILURES, SPEEDS = "failures.parquet", "speeds.json"
"""Folders and files of the work folder beside those of the stages."""


class Store:
    """The work folder.

    Args:
        work: Its path or URL; nothing is created before `prepare`.

    Attributes:
        files: Its files. A unit's are named by the methods here.
    """

    def __init__(self, work: str | Path) -> None:
        self.files = files_at(work)

    @property
    def address(self) -> str:
        """The work folder's path, or its URL without secrets."""
        return self.files.address

    @cached_property
    def media(self) -> Files:
        """The folder of the media files."""
        return self.files.within(MEDIA)

    @property
    def answers(self) -> Files:
        """The folder of the answers that models gave: ``<stage>/<part>/``."""
        return self.files.within(ANSWERS)

    def prepare(self) -> None:
        """Create the work folder, check that it is writable, and remove the leftovers of killed writers.

        Raises:
            UsageError: It cannot be created or written.
        """
        try:
            self.files.prepare(FOLDERS)
            self.media.remove_leftovers()
        except OSError as reason:
            raise UsageError(
                f"the work folder {self.address} cannot be written: {reason}; choose another with --set work=…"
            ) from reason

    def folder(self, stage: str, stage_key: str) -> str:
        """The folder of a stage's units."""
        return f"{stage}/{stage_key}"

    def mark_file(self, address: Address) -> str:
        """The file that marks a unit as done."""
        return f"{address.stage}/{address.stage_key}/{address.stem}.json"

    def table_file(self, address: Address, table: str, sha256: str) -> str:
        """The Parquet file of a part's table, named by its hash: writers of other rows do not meet there."""
        return f"{address.stage}/{address.stage_key}/{address.stem}.{sha256[:HASH_DIGITS]}.{table}.parquet"

    def group_folder(self, address: Address, hashes: Mapping[str, str]) -> str:
        """The folder of a group's files, named by their hashes: writers of other bytes do not meet there."""
        return f"{address.stage}/{address.stage_key}/{address.stem}.{canonical_digest(hashes)[:HASH_DIGITS]}"

    def hashes_of(self, mark_file: str) -> set[str]:
        """What the names of a unit's tables or folder have of their hashes, by its mark; nothing without a mark."""
        (content,) = self.files.read_all([mark_file])
        mark = Mark.of(content or b"")
        if mark is None:
            return set()
        names = [*mark.tables.values(), *([canonical_digest(mark.files)] if mark.files else [])]
        return {name[:HASH_DIGITS] for name in names}

    def mark(self, address: Address) -> Mark | None:
        """The mark of a unit; None when it is not done, or the mark is damaged or of another unit."""
        try:
            found = Mark.of(self.files.read(self.mark_file(address)))
        except FileNotFoundError:
            return None
        same = found is not None and (found.stage, found.unit, found.key) == (address.stage, address.unit, address.key)
        return found if same else None

    @contextmanager
    def table(self, address: Address, mark: Mark, table: str = ROWS) -> Iterator[ParquetFile]:
        """A table of a finished unit, whose content was checked against the mark.

        Raises:
            Damaged: It is missing or does not match.
        """
        wanted = mark.tables.get(table, "")
        name = self.table_file(address, table, wanted)
        try:
            with ExitStack() as stack:
                file = self._opened(stack, name, wanted)
                if file is None and self.files.cached:  # perhaps what was brought is damaged, and not the store's
                    file = self._opened(stack, name, wanted)
                if file is None:
                    raise Damaged(address, f"{name} was changed since it was written")
                with ParquetFile(file) as found:
                    yield found
        except FileNotFoundError:
            raise Damaged(address, f"{name} is gone") from None

    def _opened(self, stack: ExitStack, name: str, sha256: str) -> BinaryIO | None:
        """A file, open as long as `stack` is; None, with nothing of it left there, where its content is another one."""
        path = stack.enter_context(self.files.local(name, sha256))
        file = stack.enter_context(path.open("rb"))
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            self.files.forget(sha256)
            stack.close()
            return None
        file.seek(0)
        return file

    @contextmanager
    def unchecked(self, address: Address, table: str = ROWS) -> Iterator[ParquetFile]:
        """A table of a finished unit for who only shows it: each page that is read is checked, not the whole.

        Raises:
            OSError: It is gone.
            pa.ArrowException: It is damaged.
        """
        mark = self.mark(address)
        if mark is None:
            raise FileNotFoundError(f"{self.address}/{self.mark_file(address)}")
        with (
            self.files.open(self.table_file(address, table, mark.tables.get(table, ""))) as file,
            ParquetFile(file, page_checksum_verification=True) as found,
        ):
            yield found

    def commit_rows(self, address: Address, draft: Mark, tables: Mapping[str, type[Row]], rows: Iterable[Row]) -> Mark:
        """Write a part's tables, one row group a row so that readers can stream, then the mark.

        The first of several writers of a mark wins. The tables of the others are left to `gc`: who removed them here
        could take those of one who won since.

        Args:
            address: The unit.
            draft: Its mark, without hashes and sums.
            tables: The row model of each table.
            rows: Of all tables, those of one video side by side.
        """
        names = {model: name for name, model in tables.items()}
        sums = _Sums(address.stage)
        with self.files.scratch() as scratch:
            made = {name: scratch / f"{name}.parquet" for name in tables}
            with _Writers(made, tables) as writers:
                for row in rows:
                    name = names[type(row)]
                    writers.write(name, row)
                    if name == ROWS:
                        sums.add(row)
            hashes = {name: _sha256(file) for name, file in made.items()}
            for name, file in made.items():
                place = self.table_file(address, name, hashes[name])
                if not self.files.create(place, file):  # what is there is damaged
                    self.files.replace(place, file)
        return self.commit_mark(address, draft.model_copy(update={"tables": hashes, **sums.fields()}))

    def commit_group(self, address: Address, mark: Mark, folder: Path) -> Mark:
        """Put a group's files into their place, then the mark.

        Args:
            address: The unit.
            mark: Names the files with their hashes.
            folder: In a `scratch` of `files`; has the files, and nothing else.
        """
        self.files.create_folder(self.group_folder(address, mark.files), folder)
        return self.commit_mark(address, mark)

    def commit_mark(self, address: Address, mark: Mark) -> Mark:
        """Mark a unit as done; an existing valid mark is kept."""
        content = mark.sealed().model_dump_json(indent=1).encode() + b"\n"
        if self.files.create(self.mark_file(address), content):
            return mark.sealed()
        found = self.mark(address)
        if found is None:  # an existing one is damaged
            self.files.replace(self.mark_file(address), content)
            found = mark.sealed()
        return found

    def invalidate(self, *addresses: Address) -> None:
        """Remove finished units, marks first, so that they are done again."""
        by_stage: dict[tuple[str, str], list[Address]] = defaultdict(list)
        for address in addresses:
            by_stage[address.stage, address.stage_key].append(address)
        for place, some in by_stage.items():
            with voided(self.files, *place, [address.stem for address in some]):
                self._remove(self.folder(*place), some)

    def _remove(self, folder: str, addresses: Sequence[Address]) -> None:
        """Remove units of one stage: the tables that their marks name, else, and of groups, all that is named so."""
        unknown = set()
        for address in addresses:
            mark = self.mark(address)
            self.files.remove(self.mark_file(address))
            if mark is None or mark.files:
                unknown.add(address.stem)
                continue
            for table, sha256 in mark.tables.items():
                self.files.remove(self.table_file(address, table, sha256))
        if not unknown:
            return
        for entry in self.files.entries(folder):
            if _stem(entry.name) in unknown:
                self.files.remove(entry.name)
        for inner in self.files.folders(folder):
            if _stem(inner) in unknown:
                self.files.remove_folder(inner)

    def has_logs(self, address: Address) -> bool:
        """Whether there may be a log that says that a unit is done."""
        return self.files.entry(f"{LOGS}/{address.stage}/{address.stage_key}/{BEGUN}") is not None

    def describe(self, stage: str, stage_key: str, ingredients: Mapping[str, object]) -> None:
        """Write the ingredients of a stage's key beside its units, so that a later run can report what changed."""
        content = json.dumps(ingredients, indent=1, sort_keys=True) + "\n"
        self.files.create(f"{self.folder(stage, stage_key)}/{DESCRIPTION}", content.encode())

    def descriptions(self, stage: str) -> list[dict[str, Any]]:
        """The ingredients of a stage's keys; a damaged description is skipped."""
        found = []
        for raw in self.files.read_all([f"{folder}/{DESCRIPTION}" for folder in self.files.folders(stage)]):
            try:
                content = json.loads(raw or b"")
            except (ValueError, RecursionError):
                continue
            if isinstance(content, dict) and isinstance(content.get("config"), dict) and "version" in content:
                found.append(content)
        return found


class _Writers:
    """Writes the Parquet files of a unit."""

    def __init__(self, files: Mapping[str, Path], tables: Mapping[str, type[Row]]) -> None:
        self._schemas = {name: arrow_schema(model) for name, model in tables.items()}
        self._open = {
            name: pq.ParquetWriter(file, self._schemas[name], compression="zstd", write_page_checksum=True)
            for name, file in files.items()
        }

    def __enter__(self) -> Self:
        return self

    def write(self, name: str, row: Row) -> None:
        self._open[name].write_table(pa.Table.from_pylist([row.model_dump()], schema=self._schemas[name]))

    def __exit__(self, *raised: object) -> None:
        for writer in self._open.values():
            writer.close()


class _Sums:
    """The sums over a part's rows."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._numbers: Counter[str] = Counter(videos=0, live=0, retryable=0)
        self._named: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, row: Row) -> None:
        """Count one row."""
        self._numbers["videos"] += 1
        self._numbers["live"] += row.live
        if row.error:
            self._named["failed"][f"{row.error.stage}.{row.error.code}"] += 1
            self._numbers["retryable"] += row.error.retryable and row.error.stage == self._stage
        self._numbers["retryable"] += row.retryable_items()
        if row.dropped:
            self._named["dropped"][f"{row.dropped.stage}.{row.dropped.reason}"] += 1
        self._named["warnings"].update(row.warnings)
        self._named["counts"].update(row.counts())

    def fields(self) -> dict[str, Any]:
        """The sums as fields of a mark."""
        return {**self._numbers, **{name: by_name(counter) for name, counter in self._named.items()}}


def _stem(name: str) -> str:
    """The stem of the unit that a file or folder belongs to: ``<unit>.<key>``."""
    return ".".join(name.rpartition("/")[2].split(".")[:2])


def rows_of(file: ParquetFile, row: type[RowT], without: tuple[str, ...] = ()) -> Iterator[RowT]:
    """The rows of a table, one after the other, some columns left out."""
    columns = [name for name in file.schema_arrow.names if name not in without]
    for group in range(file.num_row_groups):
        for values in file.read_row_group(group, columns=columns).to_pylist():
            yield row.model_validate(values)


def row_at(file: ParquetFile, row: type[RowT], position: int) -> RowT:
    """One row of a table, by its position; no other row is read."""
    return row.model_validate(file.read_row_group(position).to_pylist()[0])


def canonical_digest(value: object) -> str:
    """SHA-256 of a JSON-able value, whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def by_name(counter: Counter[str]) -> dict[str, int]:
    """The counts sorted by name, so that files and tables do not depend on the order of execution."""
    return dict(sorted(counter.items()))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
