"""A dataset is read alike from a folder, from memory, from a web server and from object stores."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

import storyloom
from pipeline.cli import main
from storyloom.format.manifest import MANIFEST, finished_dataset
from storyloom.reader import DocumentDataset, PackedDataset, TokenLayout
from tests import stores
from tests.documents import tree
from tests.storyloom.push.made import mugs
from tests.storyloom.reader.folder_server import serving_folder

SECRET = "tests-secret"


@dataclass(frozen=True)
class Place:
    """A kind of place.

    Attributes:
        address: Of a dataset's copy there.
        put: Puts another folder there, and says where.
        lists: Whether its files can be listed.
    """

    address: str
    put: Callable[[Path], str]
    lists: bool = True


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards and a validation split; the documents are licensed, so that they may be pushed."""
    return mugs(tmp_path_factory.mktemp("made"), *(f"v{n}" for n in range(12)), shard_bytes=20_000)


@pytest.fixture(
    scope="module",
    params=[
        "memory",
        "http",
        pytest.param("seaweed", marks=pytest.mark.slow),
        pytest.param("moto", marks=pytest.mark.slow),
    ],
)
def place(request: pytest.FixtureRequest, out: Path) -> Iterator[Place]:
    if request.param == "http":
        with serving_folder(out.parent) as server:
            yield Place(
                f"{server.url}/out", lambda folder: f"{server.url}/{folder.relative_to(out.parent)}", lists=False
            )
        return
    number = iter(range(1000))

    def put(files: Any, above: str) -> Callable[[Path], str]:
        def putting(folder: Path) -> str:
            url = f"{above}/{next(number)}"
            files.put(f"{folder}/", f"{url}/", recursive=True)
            return url

        return putting

    if request.param == "memory":
        files = fsspec.filesystem("memory")
        putting = put(files, "memory://places")
        yield Place(putting(out), putting)
        files.rm("/places", recursive=True)
        return
    with getattr(stores, request.param)() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        putting = put(store.files(), store.folder())
        yield Place(putting(out), putting)


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs a command in this process: what memory holds is there."""

    def saying(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["storyloom", *map(str, arguments)])
        monkeypatch.setattr("pipeline.cli._answer_nothing", lambda: None)
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capfd.readouterr())

    return saying


@pytest.mark.parametrize(
    "command",
    [
        ("show",),
        ("stats",),
        ("stats", "--json"),
        ("validate", "--workers", "1"),
        ("validate", "--workers", "1", "--deep", "--json"),
    ],
    ids=" ".join,
)
def test_a_command_says_of_a_url_what_it_says_of_the_folder(
    command: tuple[str, ...], out: Path, place: Place, say: Callable[..., Said]
) -> None:
    name, *options = command
    local, remote = say(name, out, *options), say(name, place.address, *options)
    assert (local.code, local.err) == (0, "")
    assert remote == Said(0, local.out.replace(str(out), place.address), "")


def test_a_document_is_shown_by_its_key_and_a_missing_one_is_told(
    out: Path, place: Place, say: Callable[..., Said]
) -> None:
    key = list(storyloom.open(out).keys())[-1]
    assert say("show", place.address, key) == say("show", out, key)
    assert say("show", place.address, "nobody-0000") == Said(
        2, "", f"storyloom: no document 'nobody-0000' in {place.address}\n"
    )


def test_the_page_of_a_url_is_that_of_the_folder(
    out: Path, place: Place, say: Callable[..., Said], tmp_path: Path
) -> None:
    say("stats", out, "--html", tmp_path / "local.html")
    say("stats", place.address, "--html", tmp_path / "remote.html")
    assert (tmp_path / "remote.html").read_bytes() == (tmp_path / "local.html").read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    return {path: content for path, (content, _) in tree(folder).items()}


def test_an_export_of_a_url_has_the_bytes_of_the_folder_s(
    out: Path, place: Place, say: Callable[..., Said], tmp_path: Path
) -> None:
    for source, dest in ((out, "local"), (place.address, "remote")):
        assert say("export", source, tmp_path / dest, "--to", "llava-interleave").code == 0
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")


def test_a_push_from_a_url_leaves_the_bytes_of_the_folder_s(
    out: Path, place: Place, say: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyloom.push.push.over_processes", None)
    from storyloom.push.push import plan_push, push, target_of
    from storyloom.validate.spread import in_this_process

    for source, dest in ((out, "local"), (place.address, "remote")):
        push(plan_push(source, target_of(str(tmp_path / dest)), spread=in_this_process))
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")


def test_a_dataset_and_its_copy_at_a_url_are_equal(out: Path, place: Place, say: Callable[..., Said]) -> None:
    same = say("diff", out, place.address)
    assert same.code == 0
    assert place.address in same.out


def test_a_trainer_gets_the_documents_and_goes_on_where_it_stopped(out: Path, place: Place) -> None:
    assert list(storyloom.open(place.address)) == list(storyloom.open(out))
    local, remote = (DocumentDataset(one, shuffle=True, window=4) for one in (out, place.address))
    begun = iter(remote)
    first = [next(begun) for _ in range(3)]
    again = DocumentDataset(place.address, shuffle=True, window=4)
    again.load_state_dict(remote.state_dict())
    assert first + list(again) == list(local)


def test_packed_sequences_of_a_url_are_those_of_the_folder(out: Path, place: Place) -> None:
    layout = TokenLayout(lambda text: list(text.encode()), image_token=256, image_tokens=4)
    local, remote = (list(PackedDataset(DocumentDataset(one), layout, budget=512)) for one in (out, place.address))
    assert [one.tokens.tolist() for one in remote] == [one.tokens.tolist() for one in local]


def test_damage_is_found_at_a_url_as_in_the_folder(
    out: Path, place: Place, say: Callable[..., Said], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(out, out.parent / f"damaged-{tmp_path.name}"))
    (shard, *_) = finished_dataset(copy).shards
    content = bytearray((copy / shard.file).read_bytes())
    content[700] ^= 1
    (copy / shard.file).chmod(0o644)
    (copy / shard.file).write_bytes(content[:-600])
    (copy / "wids-train.json").write_bytes(b"")
    (copy / ".nv-meta" / "split.yaml").unlink()
    local, address = say("validate", copy, "--workers", "1", "--json"), place.put(copy)
    remote = say("validate", address, "--workers", "1", "--json")
    assert remote == Said(1, local.out.replace(str(copy), address), "")
    assert json.loads(remote.out)["nviolations"] > 3


def test_what_lies_beside_the_shards_is_found_where_files_are_listed(
    out: Path, place: Place, say: Callable[..., Said], tmp_path: Path
) -> None:
    if not place.lists:
        pytest.skip("a web server lists no files")
    copy = Path(shutil.copytree(out, tmp_path / "more"))
    shutil.copy(copy / "data/train/shard-000000.tar", copy / "data/train/shard-000001.tar")
    (copy / "data" / "notes.txt").write_text("mine")
    (copy / ".storyloom-unfinished").write_text("")
    local, address = say("validate", copy, "--workers", "1"), place.put(copy)
    assert say("validate", address, "--workers", "1") == Said(1, local.out.replace(str(copy), address), "")


def test_a_url_without_a_dataset_is_told(place: Place, say: Callable[..., Said]) -> None:
    nowhere = f"{place.address}-nowhere"
    for command in ("show", "stats"):
        assert say(command, nowhere) == Said(
            2, "", f"storyloom: {nowhere} holds no finished dataset: there is no {MANIFEST} in it\n"
        )
    assert say("validate", nowhere, "--workers", "1").code == 2
