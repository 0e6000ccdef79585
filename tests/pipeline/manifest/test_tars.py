"""Tars of videos as manifests."""

import json
import tarfile
from pathlib import Path

import pytest

from pipeline.manifest import read_manifest
from storyloom.errors import UsageError
from tests.manifests import read, tar_of
from tests.manifests import rows as rows_of


def test_a_tar_of_videos_is_read_with_what_it_says_of_them(tmp_path: Path) -> None:
    said = {
        "url": "https://example.org/watch",
        "title": "A",
        "license": "CC0",
        "views": 3,
        "start": 5,
        "language": None,
    }
    members = {
        "00/a.mp4": b"first",
        "00/a.json": json.dumps(said).encode(),
        "00/a.txt": b"a caption\n",
        "00/b.json": b"[1]",
        "00/b.webm": b"second",
        "00/c.jpg": b"x",
        "00/d.txt": b"alone",
    }
    rows, told = read_manifest(tar_of(tmp_path / "0.tar", members))
    one, two = rows_of(rows)
    assert (one.source_id, one.published_url, one.title, one.license, one.start) == (
        *["0.tar#00/a.mp4"] * 2,
        "A",
        "CC0",
        -1.0,
    )
    assert json.loads(one.extra) == {
        "caption": "a caption",
        "start": 5,
        "url": "https://example.org/watch",
        "views": 3,
    }
    assert (two.source_id, two.extra) == ("0.tar#00/b.webm", "{}")
    content = (tmp_path / "0.tar").read_bytes()
    assert [content[row.offset : row.offset + row.size] for row in (one, two)] == [b"first", b"second"]
    assert one.location == str(tmp_path / "0.tar")
    assert told == (
        "JSON members of tars passed over: 1 line, the first: 00/b.json: it is an array, not a JSON object",
        "members of tars passed over, since they are neither media nor their JSON or text: 1 line, the first: 00/c.jpg",
    )


def test_a_member_s_json_that_is_too_long_is_told(tmp_path: Path) -> None:
    members = {"a.mp4": b"video", "a.json": b'{"title": "' + b"x" * (1 << 20) + b'"}'}
    rows, told = read_manifest(tar_of(tmp_path / "0.tar", members))
    assert rows["title"].to_pylist() == [""]
    assert told == ("JSON or text members of tars over 1,048,576 bytes passed over: 1 line, the first: a.json",)


def test_a_folder_and_a_pattern_of_tars_are_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    tar_of(tmp_path / "0.tar", {"a.mp4": b"1"})
    tar_of(tmp_path / "sub" / "1.tar", {"a.mp4": b"2"})
    for manifest in (f"{tmp_path}/**/*.tar", str(tmp_path)):
        rows = read(manifest)
        assert [(row.source_id, row.location) for row in rows] == [
            ("0.tar#a.mp4", str(tmp_path / "0.tar")),
            ("sub/1.tar#a.mp4", str(tmp_path / "sub" / "1.tar")),
        ]


def test_a_damaged_tar_keeps_what_comes_before(tmp_path: Path) -> None:
    whole = Path(
        tar_of(tmp_path / "w.tar", {"a.mp4": b"1" * 600, "b.mp4": b"2" * 600, "c.mp4": b"3" * 600})
    ).read_bytes()
    (tmp_path / "short.tar").write_bytes(whole[: 1536 + 600])
    rows, told = read_manifest(str(tmp_path / "short.tar"))
    assert (rows["member"].to_pylist(), "short.tar is damaged" in told[0]) == (["a.mp4"], True)
    (tmp_path / "wrong.tar").write_bytes(whole[:1536] + b"\xff" * 4096)
    rows, told = read_manifest(str(tmp_path / "wrong.tar"))
    assert (rows["member"].to_pylist(), "wrong.tar is damaged" in told[0]) == (["a.mp4"], True)
    (tmp_path / "no.tar").write_bytes(b"\xff" * 4096)
    with pytest.raises(UsageError, match="it is no tar of videos"):
        read_manifest(str(tmp_path / "no.tar"))


def header_of(kind: bytes = b"0", size: int = 0, **headers: str) -> bytes:
    """The header of a tar's member, with the blocks of what it says beyond that."""
    info = tarfile.TarInfo("b.mp4")
    info.type, info.size = kind, size
    info.pax_headers = {name.replace("_", "."): value for name, value in headers.items()}
    return info.tobuf(tarfile.PAX_FORMAT)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param((header_of(b"L", 9) + b"\0" * 512) * 3000, id="names of names of names"),
        pytest.param((header_of(b"x", 9) + b"9 a=bcde\n".ljust(512, b"\0")) * 3000, id="headers of headers"),
        pytest.param(header_of(GNU_sparse_map="0,1,x", GNU_sparse_size="9"), id="parts that are no numbers"),
        pytest.param(header_of(GNU_sparse_major="1", GNU_sparse_minor="0"), id="no parts"),
        pytest.param(header_of(GNU_sparse_size="9" * 5000, GNU_sparse_map="0,1"), id="a number of too many digits"),
    ],
)
def test_a_hostile_tar_header_is_a_damaged_one(tmp_path: Path, block: bytes) -> None:
    whole = Path(tar_of(tmp_path / "w.tar", {"a.mp4": b"1" * 600})).read_bytes()
    (tmp_path / "l.tar").write_bytes(whole[:1536] + block + b"\0" * 1024)
    rows, told = read_manifest(str(tmp_path / "l.tar"))
    assert rows["member"].to_pylist() == ["a.mp4"]
    assert "l.tar" in told[0] or "members of tars passed over" in told[0]


def test_links_and_members_that_are_not_there_of_a_tar_are_no_videos(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "l.tar", "w") as tar:
        link = tarfile.TarInfo("a.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(UsageError, match=r"holds no paths, URLs or media; members of tars passed over.*: 1 line"):
        read_manifest(str(tmp_path / "l.tar"))
    huge = tarfile.TarInfo("b.mp4")
    huge.size = 2**40
    (tmp_path / "h.tar").write_bytes(huge.tobuf() + bytes(tarfile.RECORDSIZE - tarfile.BLOCKSIZE))
    with pytest.raises(UsageError, match="it is no tar of videos"):
        read_manifest(str(tmp_path / "h.tar"))
