"""A dataset is read alike from a folder, from memory, from a web server and from object stores."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

import storyloom
from pipeline.cli import main
from storyloom.errors import BadDataset, UsageError
from storyloom.export.names import FormatName
from storyloom.export.place import DestinationTaken
from storyloom.export.run import export
from storyloom.format.manifest import MANIFEST, finished_dataset
from storyloom.format.reader import ShardReader
from storyloom.fs import folder, remote
from storyloom.fs.files import files_at
from storyloom.fs.ranges import ByteRange
from storyloom.fs.store import StoreFiles
from storyloom.push.push import plan_push, push, target_of
from storyloom.reader import DocumentDataset, PackedDataset, TokenLayout
from storyloom.review.design import draw
from storyloom.validate import stream
from storyloom.validate.dataset import validate_dataset
from storyloom.validate.spread import in_this_process
from storyloom.view.dataset import Dataset
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
        new: A folder in which nothing is; None where nothing can be written.
    """

    address: str
    put: Callable[[Path], str]
    new: Callable[[], str] | None


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
            yield Place(f"{server.url}/out", lambda folder: f"{server.url}/{folder.relative_to(out.parent)}", None)
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
        yield Place(putting(out), putting, lambda: f"memory://places/new-{next(number)}")
        files.rm("/places", recursive=True)
        return
    with getattr(stores, request.param)() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        putting = put(store.files(), store.folder())
        yield Place(putting(out), putting, store.folder)


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


def test_a_push_from_a_url_leaves_the_bytes_of_the_folder_s(out: Path, place: Place, tmp_path: Path) -> None:
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
    if place.new is None:
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


def there(url: str) -> dict[str, bytes]:
    """The files of a folder in a store, by name."""
    files = files_at(url)
    return {entry.name: files.read(entry.name) for entry in files.tree()}


@pytest.fixture
def new(place: Place) -> str:
    if place.new is None:
        pytest.skip("nothing is written to a web server")
    return place.new()


def test_a_push_to_a_store_leaves_the_bytes_of_one_to_a_folder(
    out: Path, place: Place, new: str, tmp_path: Path
) -> None:
    for source, dest in ((out, str(tmp_path / "local")), (place.address, new)):
        push(plan_push(source, target_of(dest), spread=in_this_process))
    assert there(new) == contents(tmp_path / "local")
    assert plan_push(place.address, target_of(new), spread=in_this_process).send == []


def test_a_dataset_is_not_pushed_into_itself(place: Place, new: str) -> None:
    for inside in (place.address, f"{place.address}/deeper"):
        with pytest.raises(UsageError, match="is the dataset itself or lies in it"):
            plan_push(place.address, target_of(inside), spread=in_this_process)


def test_an_export_to_a_store_has_the_bytes_of_one_to_a_folder(
    out: Path, place: Place, new: str, say: Callable[..., Said], tmp_path: Path
) -> None:
    export(out, FormatName.MS_SWIFT, tmp_path / "local")
    said = say("export", place.address, new, "--to", "ms-swift")
    assert (said.code, said.err) == (0, "")
    assert f"ms-swift in {new}" in said.out
    assert there(new) == contents(tmp_path / "local")
    export(out, FormatName.LLAVA_INTERLEAVE, tmp_path / "other")
    assert f"replaced the export that was at {new}" in say("export", out, new, "--to", "llava-interleave").out
    assert there(new) == contents(tmp_path / "other")


def test_an_export_to_a_store_goes_over_nothing_but_exports_and_a_broken_one_is_done_again(
    out: Path, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_at(new)
    files.replace("notes.txt", b"mine")
    with pytest.raises(DestinationTaken, match=f"{new} is not empty"):
        export(out, FormatName.MS_SWIFT, new)
    assert there(new) == {"notes.txt": b"mine"}
    files.remove("notes.txt")
    replace = StoreFiles.replace

    def breaking(self: StoreFiles, name: str, content: Any, **options: Any) -> None:
        if name.endswith(".jsonl"):
            raise OSError("the line is cut")
        replace(self, name, content, **options)

    with monkeypatch.context() as patch:
        patch.setattr(StoreFiles, "replace", breaking)
        with pytest.raises(OSError, match="the line is cut"):
            export(out, FormatName.MS_SWIFT, new)
    assert json.loads(files.read("export.json"))["unfinished"]
    export(out, FormatName.MS_SWIFT, tmp_path / "local")
    export(out, FormatName.MS_SWIFT, new)
    assert there(new) == contents(tmp_path / "local")


def test_a_browser_is_shown_what_it_is_shown_of_the_folder(
    out: Path, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    seen = []
    for address in (out, place.address):
        shown = Dataset(address)
        shown.start(60.0)
        key = sorted(storyloom.open(out).keys())[5]
        address_of = shown.find(key)
        assert address_of is not None
        seen.append((shown.index.progress(), shown.story(address_of), shown.picture(address_of, 1)))
        shown.close()
        shown.index.remove()
    assert seen[0] == seen[1]


def test_a_reviewer_is_given_the_pairs_of_the_folder(out: Path, place: Place) -> None:
    local, remote = (draw(ShardReader(one), finished_dataset(one), 10, 0) for one in (out, place.address))
    assert local == remote


def test_a_check_streams_shards_and_keeps_none_of_them(
    out: Path, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, int]] = []
    read = remote.read_ranges

    def recorded(files: Any, root: str, ranges: Sequence[ByteRange]) -> list[bytes | Exception]:
        found = read(files, root, ranges)
        asked.extend(
            (one.file, len(content))
            for one, content in zip(ranges, found, strict=True)
            if isinstance(content, bytes) and content
        )
        return found

    monkeypatch.setattr(remote, "read_ranges", recorded)
    monkeypatch.setattr(folder, "AHEAD", 10_000)
    monkeypatch.setattr(stream, "CHUNK", 10_000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    report = validate_dataset(place.address, spread=in_this_process)
    of_shards = [size for file, size in asked if file.endswith(".tar")]
    assert report.violations.total == 0
    assert max(of_shards) == 10_000
    assert sum(of_shards) == report.bytes_read == sum(shard.filesize for shard in finished_dataset(out).shards)


def test_a_dataset_that_is_replaced_while_it_is_checked_is_told(out: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(out, tmp_path / "copy"))

    def replace(done: int, of: int) -> None:
        if done == of:
            (copy / MANIFEST).write_bytes((copy / MANIFEST).read_bytes() + b"\n")

    with pytest.raises(BadDataset, match="was replaced, or began to be, while it was checked"):
        validate_dataset(copy, spread=in_this_process, on_shard=replace)
