"""A push to folders and object stores: whole, resumed, never half, and nothing that is not of the dataset."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from storyloom.errors import BadDataset, UsageError
from storyloom.format.manifest import finished_dataset
from storyloom.push.files import PushFile
from storyloom.push.hub import HubTarget
from storyloom.push.push import lines, push, target_of
from storyloom.push.target import FolderTarget, OnBytes, PushFailed, StoreTarget
from storyloom.validate.dataset import validate_dataset
from storyloom.validate.spread import in_this_process
from tests.documents import tree
from tests.storyloom.push.made import mugs, planned, pushed
from tests.storyloom.reader.folder_server import serving_folder


class Breaking(FolderTarget):
    """A folder whose disk fails at a file."""

    def __init__(self, folder: Path, at: str) -> None:
        super().__init__(folder)
        self._at = at

    def send(self, files: Sequence[PushFile], remove: Sequence[str], on_bytes: OnBytes) -> None:
        if any(file.path == self._at for file in files):
            raise PushFailed("the line is cut")
        super().send(files, remove, on_bytes)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mugs(tmp_path_factory.mktemp("pushed"))


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    files = MemoryFileSystem()
    yield files
    if files.exists("/pushed"):
        files.rm("/pushed", recursive=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path: content for path, (content, _) in tree(folder).items()}


def test_a_folder_gets_the_whole_dataset_its_pictures_and_nothing_else(output: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    pushed(output, FolderTarget(there))
    here = contents(output)
    got = contents(there)
    pictures = {path for path in got if path.startswith("pictures/")}
    assert set(got) - pictures == set(here)
    assert pictures
    assert all(got[path] == here[path] for path in here if path != "README.md")
    report = validate_dataset(there, spread=in_this_process)
    assert report.violations.total == 0


def test_the_card_shows_strips_of_frames_with_words_that_are_no_markdown(output: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    pushed(output, FolderTarget(there))
    card = (there / "README.md").read_text()
    assert "![frames of a document](pictures/story-0.jpg)" in card
    assert card.index("## A look") < card.index("## What is in it")
    assert "`*so* here \\| " in card
    with Image.open(there / "pictures/story-0.jpg") as strip:
        assert strip.size == (2 * 240, 180)


def test_what_lies_beside_a_dataset_is_not_sent(output: Path, tmp_path: Path) -> None:
    mine = mugs(tmp_path / "mine")
    (mine / "notes.txt").write_text("a secret")
    (mine / ".env").write_text("TOKEN=1")
    pushed(mine, FolderTarget(tmp_path / "there"))
    assert not {"notes.txt", ".env"} & set(contents(tmp_path / "there"))


def test_a_push_that_was_cut_has_no_manifest_and_goes_on_where_it_ended(output: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    with pytest.raises(PushFailed):
        pushed(output, Breaking(there, "data/train/shard-000001.tar"))
    assert (there / "data/train/shard-000000.tar").exists()
    assert not (there / "manifest.json").exists()
    plan = pushed(output, FolderTarget(there))
    assert [file.path for file in plan.there] == ["data/train/shard-000000.tar"]
    assert plan.send[-1].path == "manifest.json"
    assert finished_dataset(there) == finished_dataset(output)


def test_pushing_again_sends_nothing(output: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    pushed(output, FolderTarget(there))
    before = tree(there)
    plan = pushed(output, FolderTarget(there))
    assert (plan.send, plan.stale) == ([], [])
    assert tree(there) == before


@pytest.mark.parametrize("path", ["data/train/shard-000000.tar", "data/train/shard-000001.tar.idx", "croissant.json"])
def test_a_file_that_changed_at_the_target_is_replaced_and_told(output: Path, tmp_path: Path, path: str) -> None:
    there = tmp_path / "there"
    pushed(output, FolderTarget(there))
    content = bytearray((there / path).read_bytes())
    content[7] ^= 1
    (there / path).chmod(0o644)
    (there / path).write_bytes(content)
    plan = pushed(output, FolderTarget(there))
    assert plan.replaced == [path]
    assert (there / path).read_bytes() == (output / path).read_bytes()
    assert (there / "manifest.json").exists()


def test_a_smaller_dataset_removes_the_shards_of_the_one_before_and_leaves_other_files(
    output: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    pushed(output, FolderTarget(there))
    (there / "LICENSE").write_text("mine")
    (there / "notes").mkdir()
    (there / "notes/a.txt").write_text("mine, too")
    plan = pushed(mugs(tmp_path / "less", "one"), FolderTarget(there))
    assert "data/train/shard-000001.tar" in plan.stale
    assert validate_dataset(there, spread=in_this_process).violations.total == 0
    assert (there / "LICENSE").read_text() == "mine"
    assert (there / "notes/a.txt").exists()


def test_a_replaced_dataset_has_no_manifest_while_its_shards_are_replaced(output: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    pushed(mugs(tmp_path / "before", "four", "five", "six"), FolderTarget(there))
    with pytest.raises(PushFailed):
        pushed(output, Breaking(there, "data/train/shard-000001.tar"))
    assert not (there / "manifest.json").exists()


def test_a_dry_run_lists_and_writes_nothing(output: Path, tmp_path: Path) -> None:
    plan = planned(output, FolderTarget(tmp_path / "there"))
    listed = list(lines(plan))
    size = (output / "data/train/shard-000000.tar").stat().st_size
    assert f"send     data/train/shard-000000.tar  {size:,} bytes" in listed
    assert listed[-1].startswith("send     manifest.json")
    assert not (tmp_path / "there").exists()


def test_a_damaged_dataset_is_not_sent(tmp_path: Path) -> None:
    broken = mugs(tmp_path / "broken")
    shard = broken / "data/train/shard-000000.tar"
    shard.chmod(0o644)
    shard.write_bytes(shard.read_bytes().replace(b"so", b"oh", 1))
    with pytest.raises(BadDataset, match="breaks rules of the format"):
        planned(broken, FolderTarget(tmp_path / "there"))


def test_a_folder_of_other_things_and_the_dataset_itself_are_refused(output: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds other files, thesis\.tex"):
        planned(output, FolderTarget(tmp_path))
    with pytest.raises(UsageError, match="the dataset itself"):
        planned(output, FolderTarget(output / "inside"))


@pytest.mark.parametrize(
    "theirs", [{"README.md": b"years of work"}, {"manifest.json": b'{"web": 1}'}, {"pictures/story-0.jpg": b"me"}]
)
def test_files_of_another_s_with_names_of_ours_are_not_replaced(
    output: Path, tmp_path: Path, memory: MemoryFileSystem, theirs: dict[str, bytes]
) -> None:
    for path, content in theirs.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
        memory.pipe(f"/pushed/theirs/{path}", content)
    for target in (FolderTarget(tmp_path), StoreTarget("memory://pushed/theirs")):
        with pytest.raises(UsageError, match=f"holds other files, {next(iter(theirs))} for one"):
            planned(output, target)
    assert {path: (tmp_path / path).read_bytes() for path in theirs} == theirs


def test_the_rest_of_a_dataset_of_ours_without_its_shards_is_replaced(
    output: Path, tmp_path: Path, memory: MemoryFileSystem
) -> None:
    for name in ("README.md", "manifest.json"):
        content = (output / name).read_bytes() + b"\n"
        (tmp_path / name).write_bytes(content)
        memory.pipe(f"/pushed/rest/{name}", content)
    for target in (FolderTarget(tmp_path), StoreTarget("memory://pushed/rest")):
        assert planned(output, target).replaced == ["README.md", "manifest.json"]


def test_a_store_gets_the_whole_dataset_resumes_and_reads_back_what_it_does_not_tell(
    output: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = StoreTarget("memory://pushed/mugs")
    plan = planned(output, target)
    sent: list[int] = []

    def cut(size: int) -> None:
        sent.append(size)
        if len(sent) == 2:
            raise ConnectionError("the line is cut")

    with pytest.raises(PushFailed, match=r"the line is cut.*goes on where this one ended"):
        push(plan, cut)
    assert not memory.exists("/pushed/mugs/manifest.json")
    again = pushed(output, target)
    assert "data/train/shard-000000.tar" in [file.path for file in again.there]
    assert finished_dataset("memory://pushed/mugs") == finished_dataset(output)
    memory.pipe("/pushed/mugs/croissant.json", b"x" * (output / "croissant.json").stat().st_size)
    assert planned(output, target).replaced == ["croissant.json"]


def test_an_md5_that_a_store_tells_is_believed(output: Path) -> None:
    from storyloom.push.target import _told_by_store

    md5 = finished_dataset(output).shards[0].md5sum
    assert _told_by_store({"size": 3, "ETag": f'"{md5}"'}).md5 == md5
    assert _told_by_store({"size": 3, "ETag": '"0123-7"'}).md5 == ""
    assert _told_by_store({"size": 3, "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg=="}).md5 == "d41d8cd98f00b204e9800998ecf8427e"


def test_a_target_s_name_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(target_of("hf://datasets/me/mugs"), HubTarget)
    assert isinstance(target_of("me/mugs"), HubTarget)
    assert isinstance(target_of("./me/mugs"), FolderTarget)
    assert isinstance(target_of("mugs"), FolderTarget)
    assert isinstance(target_of("memory://x"), StoreTarget)
    (tmp_path / "me").mkdir()
    with pytest.raises(UsageError, match=r"hf://datasets/me/mugs, or \./me/mugs"):
        target_of("me/mugs")
    with pytest.raises(UsageError, match="no dataset repository"):
        target_of("hf://models/me/mugs")


def test_a_url_s_secrets_are_in_no_message() -> None:
    with pytest.raises(UsageError) as refused:
        target_of("nosuch://user:hunter22@host/x?sig=topsecret")
    assert "hunter22" not in str(refused.value)
    assert "topsecret" not in str(refused.value)


def test_a_server_that_is_only_read_from_is_no_target(output: Path, tmp_path: Path) -> None:
    with serving_folder(tmp_path) as server, pytest.raises(UsageError, match="cannot be written to: name a folder"):
        pushed(output, StoreTarget(f"{server.url}/there"))
