"""Shards over processes and over Ray: the same result in the same order."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.executors.ray_validate import over_ray
from storyloom.validate.dataset import validate_dataset
from storyloom.validate.report import ValidationReport, as_json
from storyloom.validate.result import ShardTask
from storyloom.validate.spread import in_this_process, over_processes
from tests.storyloom.validate.damage import SHARD, edit_header, found

OTHERS = ["data/train/shard-000001.tar", "data/val/shard-000000.tar"]


@pytest.fixture
def broken(out: Path) -> Path:
    """Something is wrong with two shards, an index and the manifest."""
    edit_header(out, slice(100, 108), b"0000644\0")
    (out / OTHERS[1]).write_bytes((out / OTHERS[1]).read_bytes()[:3000])
    (out / f"{OTHERS[0]}.idx").unlink()
    (out / "croissant.json").unlink()
    return out


def here(folder: Path) -> ValidationReport:
    return validate_dataset(folder, spread=in_this_process)


def test_two_processes_find_what_one_finds_in_the_same_order(broken: Path) -> None:
    report = validate_dataset(broken, spread=partial(over_processes, workers=2))
    assert [rule for _, _, rule in found(report)] == [
        "mode",
        "missing_file",
        "truncated",
        "manifest_hash",
        "missing_file",
    ]
    assert as_json(report) == as_json(here(broken))


@pytest.mark.ray
@pytest.mark.slow
def test_ray_finds_what_one_process_finds(broken: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = validate_dataset(broken, spread=partial(over_ray, workers=2, address="local"))
    assert as_json(report) == as_json(here(broken))
    assert capfd.readouterr() == ("", "")


class Deadly(str):
    """A path that ends the process that unpickles it, as a crash in a decoder would."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        return os._exit, (1,)


def test_a_shard_that_ends_its_process_takes_no_other_along(good: Path) -> None:
    files = [OTHERS[0], SHARD, OTHERS[1]]
    folders = [str(good), Deadly(good), str(good)]
    tasks = [ShardTask(folder, file, n, {}, False) for n, (folder, file) in enumerate(zip(folders, files, strict=True))]
    results = list(over_processes(tasks, 2))
    assert [result.file for result in results] == files
    assert [[one.rule for one in result.violations.kept] for result in results] == [[], ["crashed"], []]
