"""The line that says how to load an export can be pasted as it is."""

from pathlib import Path

import pytest

from storyloom.export.names import FormatName
from storyloom.export.registry import FORMATS
from storyloom.export.run import Exported, load_hint


def made(folder: Path, shards: int) -> Exported:
    (folder / "train").mkdir(parents=True)
    for number in range(shards):
        (folder / "train" / f"shard-{number:06d}.tar").touch()
    return Exported(folder, "photos", {"train": 3}, {"train": 9}, [], replaced=False)


@pytest.mark.parametrize(("shards", "names"), [(1, "shard-000000.tar"), (12, "'shard-{000000..000011}.tar'")])
def test_the_tars_of_mmc4_are_named_to_the_last(tmp_path: Path, shards: int, names: str) -> None:
    hint = load_hint(FormatName.MMC4, made(tmp_path / "out", shards))
    assert hint == f"--mmc4_shards {tmp_path}/out/train/{names}"


@pytest.mark.parametrize("name", FormatName)
def test_no_placeholder_is_left_and_a_space_in_the_path_is_quoted(tmp_path: Path, name: FormatName) -> None:
    done = made(tmp_path / "my out", 1)
    hint = load_hint(name, done)
    quoted = f'"{done.dest}' if '"' in FORMATS[name].load else f"'{done.dest}'"
    assert quoted in hint
    assert not any(word in hint.replace(str(done.dest), "") for word in ("DEST", "SPLIT", "SHARDS", "NAME"))
