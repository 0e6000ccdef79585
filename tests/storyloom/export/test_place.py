"""Where an export goes: whole or not at all, and over nothing but an earlier export."""

import json
import shutil
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
from rich.console import Console

from stages.write.stage import WriteConfig
from storyloom.export.names import FormatName
from storyloom.export.place import DestinationTaken
from storyloom.export.registry import FORMATS
from storyloom.export.run import export, tracked
from storyloom.format.stored import BadShard
from tests.documents import complete, dataset, tree, videos, with_codes
from tests.storyloom.export.made import made

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("dataset"))


def content(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (content, _) in tree(folder).items()}


def test_every_name_has_a_format() -> None:
    assert set(FORMATS) == set(FormatName)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with word times and codes."""
    folder = tmp_path_factory.mktemp("spoken")
    dataset(folder, [[with_codes(complete(one)) for one in videos(2)]], WriteConfig())
    return folder / "out"


@pytest.mark.parametrize("name", list(FormatName))
def test_the_same_dataset_gives_the_same_bytes(out: Path, spoken: Path, name: FormatName, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        export(
            spoken if FORMATS[name].needs_words or FORMATS[name].needs_codes else out,
            name,
            tmp_path / folder,
            40_000 if FORMATS[name].file_bytes else None,
        )
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_the_record_says_which_dataset_this_is_and_how_it_was_made(out: Path, tmp_path: Path) -> None:
    export(out, FormatName.QWEN_VL, tmp_path / "dest")
    record = json.loads((tmp_path / "dest" / "export.json").read_bytes())
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert record["dataset_sha256"] == manifest["sha256"]
    assert record["provenance"] == manifest["provenance"]
    assert record["documents"] == {
        "train": manifest["splits"]["train"]["nsamples"],
        "validation": manifest["splits"]["val"]["nsamples"],
    }
    assert record["entries"] == ["export.json", "images", "train.jsonl", "validation.jsonl"]


def test_a_folder_with_something_else_is_refused_and_left_alone(out: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DestinationTaken, match="did not write what is in it"):
        export(out, FormatName.MMC4, tmp_path)
    assert content(tmp_path) == {"notes.txt": b"mine"}


def test_a_file_is_refused(out: Path, tmp_path: Path) -> None:
    (tmp_path / "dest").write_text("mine")
    with pytest.raises(DestinationTaken, match="is a file"):
        export(out, FormatName.MMC4, tmp_path / "dest")


def test_the_dataset_itself_is_refused(out: Path) -> None:
    before = tree(out)
    with pytest.raises(DestinationTaken, match="not empty"):
        export(out, FormatName.MMC4, out)
    assert tree(out) == before


def test_an_earlier_export_is_replaced_as_a_whole(out: Path, tmp_path: Path) -> None:
    first = export(out, FormatName.MMC4, tmp_path / "dest")
    second = export(out, FormatName.QWEN_VL, tmp_path / "dest")
    assert (first.replaced, second.replaced) == (False, True)
    assert {path.name for path in (tmp_path / "dest").iterdir()} == {
        "export.json",
        "images",
        "train.jsonl",
        "validation.jsonl",
    }


def test_an_earlier_export_in_which_somebody_keeps_a_file_is_refused(out: Path, tmp_path: Path) -> None:
    export(out, FormatName.QWEN_VL, tmp_path / "dest")
    (tmp_path / "dest" / "notes.txt").write_text("mine")
    with pytest.raises(DestinationTaken, match=r"also notes\.txt"):
        export(out, FormatName.QWEN_VL, tmp_path / "dest")


def test_what_appears_at_the_destination_meanwhile_is_not_replaced(out: Path, tmp_path: Path) -> None:
    def slow(shards):  # type: ignore[no-untyped-def]
        (tmp_path / "dest").mkdir(exist_ok=True)
        (tmp_path / "dest" / "notes.txt").write_text("mine")
        return nullcontext(shards)

    with pytest.raises(DestinationTaken):
        export(out, FormatName.MMC4, tmp_path / "dest", progress=slow)
    assert content(tmp_path) == {"dest/notes.txt": b"mine"}


def test_a_damaged_shard_leaves_no_thread_behind_for_which_python_waits_at_its_end(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "copy")
    next((tmp_path / "copy" / "data" / "train").glob("*.tar")).unlink()
    before = set(threading.enumerate())  # some of other tests may end meanwhile
    with pytest.raises(BadShard) as held:  # as `main` holds it while it says what is wrong
        export(tmp_path / "copy", FormatName.MMC4, tmp_path / "dest", progress=tracked(Console()))
    assert set(threading.enumerate()) <= before
    assert "cannot be read" in str(held.value)


@pytest.mark.parametrize("damage", ["cut", "gone", "scrambled", "swapped"])
def test_a_damaged_shard_stops_the_export_and_keeps_the_earlier_one(out: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    export(copy, FormatName.MOSAICML, tmp_path / "dest")
    before = tree(tmp_path / "dest")
    first, second = sorted((copy / "data" / "train").glob("*.tar"))[:2]
    if damage == "gone":
        first.unlink()
    elif damage == "swapped":
        last = max((copy / "data" / "train").glob("*.tar"))
        first.write_bytes(last.read_bytes() + second.read_bytes())
    else:
        whole = first.read_bytes()
        first.write_bytes(whole[:5000] if damage == "cut" else bytes(700) + whole[700:])
    with pytest.raises(BadShard, match=r"shard-\d{6}"):
        export(copy, FormatName.MOSAICML, tmp_path / "dest")
    assert tree(tmp_path / "dest") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "dest"]


def test_files_stay_under_the_size_that_was_asked_for(out: Path, tmp_path: Path) -> None:
    for name, pattern in [
        (FormatName.MMC4, "*/*.tar"),
        (FormatName.MOSAICML, "*/*.mds"),
        (FormatName.OBELICS, "data/*.parquet"),
    ]:
        export(out, name, tmp_path / name.value, 30_000)
        sizes = [path.stat().st_size for path in (tmp_path / name.value).glob(pattern)]
        assert len(sizes) > 3, name
        assert max(sizes) < 50_000, name


def storyloom(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipeline.cli", "export", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_says_what_it_wrote_and_warns_of_images_that_are_skipped(out: Path, tmp_path: Path) -> None:
    done = storyloom(str(out), str(tmp_path / "dest"), "--to", "mmc4")
    assert done.returncode == 0, done.stderr
    assert "images in train below 11,000 bytes" in done.stderr
    assert "mmc4 in" in done.stdout
    again = storyloom(str(out), str(tmp_path / "dest"), "--to", "qwen-vl")
    assert (again.returncode, "replaced the export" in again.stdout) == (0, True)


def test_wrong_usage_ends_with_2_and_damage_with_1(out: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    taken = storyloom(str(out), str(tmp_path / "taken"), "--to", "mmc4")
    assert (taken.returncode, "nothing was changed" in taken.stderr) == (2, True)
    sized = storyloom(str(out), str(tmp_path / "new"), "--to", "qwen-vl", "--file-bytes", "2000000")
    assert (sized.returncode, "one file a split" in sized.stderr) == (2, True)
    shutil.copytree(out, tmp_path / "copy")
    next((tmp_path / "copy" / "data" / "train").glob("*.tar")).unlink()
    broken = storyloom(str(tmp_path / "copy"), str(tmp_path / "new"), "--to", "mmc4")
    assert (broken.returncode, "cannot be read" in broken.stderr) == (1, True)
    assert "Traceback" not in taken.stderr + sized.stderr + broken.stderr
