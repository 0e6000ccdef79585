"""Processes race for the same units, with bytes of their own: one of them wins, whole, and no reader sees a mix."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import pytest

from pipeline.store import Address, Mark, Store, rows_of
from stages.base import ROWS
from tests.machine import LetterRow, MeasureRow
from tests.stores import seaweed

pytestmark = pytest.mark.slow

WRITERS, UNITS, ROWS_EACH = 6, 4, 5

PARTS = [Address("measure", "0" * 16, f"part-{number:07d}-00000000", "1" * 16) for number in range(UNITS)]
GROUPS = [Address("pack", "0" * 16, f"group-{number:05d}", "1" * 16) for number in range(UNITS)]


@pytest.fixture(params=["disk", "seaweed"])
def work(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A work folder of one kind of place."""
    if request.param == "disk":
        yield str(tmp_path / "work")
        return
    with seaweed() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        yield store.folder()


def write(work: str, environment: dict[str, str], number: int, start: Barrier) -> None:
    """Commit every unit with rows and files that tell this writer."""
    os.environ.update(environment)
    store = Store(work)
    start.wait()
    for address in PARTS:
        draft = Mark(stage=address.stage, unit=address.unit, key=address.key, inputs={}, ran=str(number))
        rows = [
            row for n in range(ROWS_EACH) for row in (MeasureRow(video=f"{n:020x}", size=number), letter(n, number))
        ]
        store.commit_rows(address, draft, {ROWS: MeasureRow, "letters": LetterRow}, rows)
    for address in GROUPS:
        with store.files.scratch() as scratch:
            (scratch / "group").mkdir()
            contents = {name: f"{name} of {number}".encode() * 1000 for name in ("a", "b", "c")}
            for name, content in contents.items():
                (scratch / "group" / name).write_bytes(content)
            files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
            mark = Mark(
                stage=address.stage, unit=address.unit, key=address.key, inputs={}, files=files, ran=str(number)
            )
            store.commit_group(address, mark, scratch / "group")


def letter(video: int, number: int) -> LetterRow:
    return LetterRow(video=f"{video:020x}", letter=str(number))


def read_all_the_time(work: str, environment: dict[str, str], ended: Event, seen: Any) -> None:
    """Until the writers have ended, and once more; what fails ends the test, too."""
    os.environ.update(environment)
    store = Store(work)
    last = False
    try:
        while not last:
            last = ended.is_set()
            for address in PARTS:
                if found := part_of(store, address):
                    seen.put((address.unit, found))
            for address in GROUPS:
                if found := group_of(store, address):
                    seen.put((address.unit, found))
    finally:
        seen.put(None)


def part_of(store: Store, address: Address) -> tuple[str, ...] | None:
    """The mark's hash, and the writer of it and of each of a finished part's tables."""
    if (mark := store.mark(address)) is None:
        return None
    with store.table(address, mark) as file:
        sizes = [row.size for row in rows_of(file, MeasureRow)]
    with store.table(address, mark, "letters") as file:
        letters = [row.letter for row in rows_of(file, LetterRow)]
    assert len(sizes) == len(letters) == mark.videos == ROWS_EACH
    assert mark.counts["bytes"] == sum(sizes)
    (writer,) = {*map(str, sizes), *letters, mark.ran}
    return mark.sha256, writer


def group_of(store: Store, address: Address) -> tuple[str, ...] | None:
    """The mark's hash, and the writer of a finished group's files."""
    if (mark := store.mark(address)) is None:
        return None
    folder = store.group_folder(address, mark.files)
    contents = {name: store.files.read(f"{folder}/{name}") for name in mark.files}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()} == mark.files
    (writer,) = {content.split()[2][:1] for content in contents.values()}
    return mark.sha256, writer.decode()


@pytest.mark.timeout(600)
def test_one_of_six_writers_wins_and_whoever_reads_meanwhile_sees_nothing_else(work: str) -> None:
    Store(work).prepare()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipeline.store", "tests.machine", "s3fs"])  # once for all
    start, ended, seen = context.Barrier(WRITERS), context.Event(), context.SimpleQueue()
    now = dict(os.environ)  # the server that forks has that of its own start
    reader = context.Process(target=read_all_the_time, args=(work, now, ended, seen))
    writers = [context.Process(target=write, args=(work, now, number, start)) for number in range(WRITERS)]
    for one in (reader, *writers):
        one.start()
    found: dict[str, set[tuple[str, ...]]] = {}
    for one in writers:
        one.join()
    ended.set()
    while (one_seen := seen.get()) is not None:
        found.setdefault(one_seen[0], set()).add(one_seen[1])
    reader.join()
    assert [one.exitcode for one in (*writers, reader)] == [0] * (WRITERS + 1)
    assert set(found) == {address.unit for address in (*PARTS, *GROUPS)}
    assert {unit: len(contents) for unit, contents in found.items()} == dict.fromkeys(found, 1)
