"""The one reader of shards: what it gives, and how it names what is broken."""

from __future__ import annotations

import pickle
import re
import shutil
import traceback
from http import HTTPStatus
from pathlib import Path

import pytest
from aiohttp import ClientResponseError, RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from stages.write.stage import WriteConfig
from storyloom.errors import BadDataset
from storyloom.format.manifest import MANIFEST, Published, finished_dataset
from storyloom.format.reader import JSON_BYTES, ShardReader
from storyloom.format.shard import Shard
from storyloom.format.stored import BadShard, Replaced
from storyloom.format.tar import BLOCK, member, read_header, read_index, tar_members
from storyloom.fs.failure import why
from tests.documents import dataset, document, read_documents, read_shard, video, videos
from tests.storyloom.reader.folder_server import serving_folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Published, Path]:
    """Two shards; one document's JSON is longer than what is read of it at first."""
    folder = tmp_path_factory.mktemp("format")
    long = video("long", document(words="a long story " * 400))
    return dataset(folder, [[*videos(4), long]], WriteConfig(shard_bytes=20_000)), folder / "out"


def broken(out: Path, folder: Path) -> Path:
    """A copy of the dataset whose files may be written."""
    copy = Path(shutil.copytree(out, folder / "copy"))
    for file in copy.rglob("*.tar"):
        file.chmod(0o644)
    return copy


def files(reader: ShardReader, shards: list[Shard]) -> dict[str, bytes]:
    """Every member by name, as the reader gives them."""
    found: dict[str, bytes] = {}
    for shard in shards:
        for stored in reader.documents(shard):
            found |= {f"{stored.key}.json": stored.content, **stored.jpegs}
    return found


def test_documents_are_the_tar_s_members_in_their_order(published: tuple[Published, Path]) -> None:
    made, out = published
    members = {name: data for shard in made.shards for name, data in read_shard(out / shard.file).items()}
    assert len(made.shards) > 1
    assert list(files(ShardReader(out), made.shards).items()) == list(members.items())


def test_a_url_gives_what_the_folder_gives_and_the_json_alone_fetches_no_image(
    published: tuple[Published, Path],
) -> None:
    made, out = published
    with serving_folder(out) as server:
        remote = ShardReader(server.url)
        assert files(remote, made.shards) == files(ShardReader(out), made.shards)
        server.sent.clear()
        (shard, *_) = made.shards
        keys = [stored.key for stored in remote.json_only(shard)]
        assert server.sent[shard.file] < shard.filesize
    assert keys == list(read_documents(out / shard.file))


def test_the_indexes_of_documents_of_several_shards_are_checked_together(published: tuple[Published, Path]) -> None:
    made, out = published
    with serving_folder(out) as server:
        found = list(ShardReader(server.url).pick([(shard, 0) for shard in made.shards]))
        sent = server.sent[MANIFEST]
    assert [one.number for one in found] == [0] * len(made.shards)
    # The whole once; and a byte after all indexes, and another one after all documents, say that it is the same still
    assert sent == (out / MANIFEST).stat().st_size + 2


def test_a_json_longer_than_the_first_read_is_whole(published: tuple[Published, Path]) -> None:
    made, out = published
    sizes = {stored.key: len(stored.content) for shard in made.shards for stored in ShardReader(out).json_only(shard)}
    assert max(sizes.values()) > JSON_BYTES
    assert sizes == {name.removesuffix(".json"): len(data) for name, data in json_members(made, out).items()}


def json_members(made: Published, out: Path) -> dict[str, bytes]:
    members = {name: data for shard in made.shards for name, data in read_shard(out / shard.file).items()}
    return {name: data for name, data in members.items() if name.endswith(".json")}


def test_a_document_is_found_by_number_and_by_key(published: tuple[Published, Path]) -> None:
    made, out = published
    reader, last = ShardReader(out), made.shards[-1]
    (picked,) = reader.pick([(last, last.nsamples - 1)])
    found = reader.find(made.shards, picked.key)
    assert found is not None
    assert (found.shard, found.number, found.content) == (picked.shard, picked.number, picked.content)
    assert (list(picked.jpegs), found.jpegs) == (picked.sample().pictures, {})
    assert reader.find(made.shards, "nobody-0000") is None


def test_a_shard_without_index_is_walked_on_demand_and_unfinished_otherwise(
    published: tuple[Published, Path], tmp_path: Path
) -> None:
    made, out = published
    copy = broken(out, tmp_path)
    for index in copy.rglob("*.tar.idx"):
        index.unlink()
    assert files(ShardReader(copy, walk=True), made.shards) == files(ShardReader(out), made.shards)
    with pytest.raises(BadShard, match=r"shard-000000\.tar\.idx: cannot be read: .* no shard is complete without it"):
        ShardReader(copy).offsets(made.shards[0])


def test_a_walked_shard_that_is_cut_off_is_named(published: tuple[Published, Path], tmp_path: Path) -> None:
    made, out = published
    copy, (first, *_) = broken(out, tmp_path), made.shards
    (copy / f"{first.file}.idx").unlink()
    (copy / first.file).write_bytes((copy / first.file).read_bytes()[:BLOCK])
    with pytest.raises(BadShard, match=r"shard-000000\.tar: it has 1 document, but manifest\.json says \d"):
        ShardReader(copy, walk=True).offsets(first)


def test_images_that_the_json_does_not_list_are_named(published: tuple[Published, Path]) -> None:
    made, out = published
    (stored,) = ShardReader(out).pick([(made.shards[0], 0)])
    sample = stored.sample()
    other = sample.model_copy(update={"images": [None, *sample.images]})
    assert stored.pictures(other) == list(stored.jpegs.values())
    with pytest.raises(BadShard, match=r"document 0: it lists the images .* follow it"):
        stored.pictures(sample.model_copy(update={"images": [*sample.images, "more.jpg"]}))


def test_the_error_names_shard_place_and_way_out_and_passes_between_processes(
    published: tuple[Published, Path], tmp_path: Path
) -> None:
    made, out = published
    copy, (first, *_) = broken(out, tmp_path), made.shards
    (copy / first.file).unlink()
    with pytest.raises(BadShard) as caught:
        list(ShardReader(copy).pick([(first, 1)]))
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.shard, error.place) == (f"{copy}/{first.file}", "document 1")
    assert "storyloom validate" in str(error) == str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0" * 1024, "no tar header at its byte 0: its checksum is wrong"),
        (member("k-0000.json", b"x" * 600)[:600], "k-0000.json is cut off"),
        (member("k-0000.json", b"x")[:500], "500 bytes instead of a header's 512"),
    ],
)
def test_bytes_that_are_no_members_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(tar_members(data))


def test_a_header_with_a_size_in_another_form_is_refused() -> None:
    block = bytearray(member("a.json", b"{}")[:BLOCK])
    assert read_header(bytes(block)) == ("a.json", 2)
    block[124:136] = b"\x80" + bytes(10) + b"\2"
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * ord(" ") + sum(block[156:]))
    with pytest.raises(ValueError, match="its size is written as"):
        read_header(bytes(block))


@pytest.mark.parametrize("content", [b"", b"\0" * 12, b"\0" * 16, b"\1" + b"\0" * 7])
def test_an_index_whose_offsets_do_not_rise_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"offsets do not rise|no multiple"):
        read_index(content)


@pytest.mark.parametrize("status", [500, 403])
def test_a_server_that_refuses_is_told_with_its_status_alone_and_not_as_damage(
    published: tuple[Published, Path], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    made, out = published
    monkeypatch.setattr("storyloom.fs.folder.PAUSE", 0.0)
    with serving_folder(out) as server:
        server.status = status
        server.failures.update({made.shards[0].file: 99, f"{made.shards[0].file}.idx": 99, MANIFEST: 99})
        place = server.url.replace("://", "://user:sekrit@")
        reader = ShardReader(place)
        with pytest.raises(BadShard) as no_index:
            reader.offsets(made.shards[0])
        server.failures.pop(f"{made.shards[0].file}.idx")
        with pytest.raises(BadShard) as no_shard:
            list(reader.pick([(made.shards[0], 0)]))
        with pytest.raises(BadDataset) as no_manifest:
            finished_dataset(place)
    for caught in (no_index, no_shard, no_manifest):
        said = "".join(traceback.format_exception(caught.value))
        assert f"the server answers {status} {HTTPStatus(status).phrase}" in str(caught.value)
        assert "look at the server" in str(caught.value)
        assert not re.search("sekrit|dXNlcjpz|uthorization|headers|damaged|write it again|storyloom run", said)


def test_why_never_gives_what_an_exception_holds_beside_its_message() -> None:
    asked = RequestInfo(URL("http://h/x"), "GET", CIMultiDictProxy(CIMultiDict(Authorization="Basic s3krit")))
    for reason in (
        ClientResponseError(asked, (), status=403, message="Forbidden", headers=CIMultiDict(Cookie="s3krit")),
        ValueError({"Authorization": "Basic s3krit"}),
        TimeoutError(),
    ):
        assert "s3krit" not in why(reason)
        assert why(reason)


def replaced_by(out: Path, other: Path) -> None:
    """Put another dataset's files in the place of a dataset's, as publishing does: the manifest goes first."""
    (out / MANIFEST).unlink()
    for file in sorted(other.rglob("*")):
        if file.is_file() and file.name != MANIFEST:
            place = out / file.relative_to(other)
            place.unlink(missing_ok=True)
            shutil.copy(file, place)
    shutil.copy(other / MANIFEST, out / MANIFEST)


@pytest.mark.parametrize("place", ["disk", "http"])
def test_a_dataset_that_is_replaced_while_it_is_read_is_not_mixed_with_the_new_one(
    place: str, published: tuple[Published, Path], tmp_path: Path
) -> None:
    made, out = published
    copy = broken(out, tmp_path)
    dataset(tmp_path / "other", [[*videos(4, words="so here he"), video("long", document())]], WriteConfig())
    with serving_folder(copy) as server:
        reader = ShardReader(copy if place == "disk" else server.url)
        documents = reader.pick([(made.shards[0], 0)])
        assert next(documents).content == next(ShardReader(out).documents(made.shards[0])).content
        shutil.copytree(tmp_path / "other" / "out", tmp_path / "new")
        replaced_by(copy, tmp_path / "new")
        for read in (reader.documents, reader.json_only, reader.keys):
            with pytest.raises(Replaced, match=r"shard-000000\.tar: is another one since the dataset was replaced"):
                next(iter(read(made.shards[0])))


def test_a_dataset_that_is_about_to_be_replaced_is_told(published: tuple[Published, Path], tmp_path: Path) -> None:
    made, out = published
    copy = broken(out, tmp_path)
    reader = ShardReader(copy)
    next(reader.documents(made.shards[0]))
    (copy / MANIFEST).unlink()
    with pytest.raises(Replaced, match=r"manifest\.json: is gone: a run may be replacing the dataset"):
        next(reader.documents(made.shards[0]))


def test_shards_that_stay_the_same_are_read_on_when_a_dataset_grows(
    published: tuple[Published, Path], tmp_path: Path
) -> None:
    made, out = published
    copy = broken(out, tmp_path)
    reader = ShardReader(copy)
    before = next(reader.documents(made.shards[0]))
    (copy / MANIFEST).write_text((copy / MANIFEST).read_text() + "\n")
    assert next(reader.documents(made.shards[0])) == before
