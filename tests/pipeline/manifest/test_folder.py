"""Folders, patterns and media files as manifests."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.manifest import read_manifest
from schemas.text import clean_text
from storyloom.errors import UsageError
from tests.manifests import read, tar_of, written


def test_a_file_whose_name_is_no_text_fails_alone(tmp_path: Path) -> None:
    for name in (b"caf\xe9.mp4", b"caf\xe8.mp4", b"good.mp4"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(b"video")
    rows = read(str(tmp_path))
    assert [(row.url, "not UTF-8" in row.problem) for row in rows] == [
        ("caf\ufffd.mp4", True),
        ("caf\ufffd.mp4", True),
        ("good.mp4", False),
    ]
    place = tmp_path.name
    assert [row.source_id for row in rows] == [
        f"{place}, file 1 (caf\ufffd.mp4)",
        f"{place}, file 2 (caf\ufffd.mp4)",
        "good.mp4",
    ]


def test_a_folder_is_read_in_order_with_the_subtitles_beside_the_media(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.mp4", "b.vtt", "a.WEBM", "notes.txt", "sub/c.mkv"):
        (tmp_path / name).touch()
    rows = read(str(tmp_path))
    assert [row.source_id for row in rows] == ["a.WEBM", "b.mp4", "sub/c.mkv"]
    assert [row.subtitles for row in rows] == ["", "b.vtt", ""]


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (row,) = read(written(tmp_path, "list.txt", "~/v.mp4"))
    assert (row.location, row.source_id) == ("/home/me/v.mp4", "~/v.mp4")


def test_names_that_differ_in_what_is_not_seen_are_several_videos(tmp_path: Path) -> None:
    names = ["a\x01.mp4", "a\x02.mp4", "a.mp4", "a\u202e.mp4", "b\t.mp4", "b .mp4", "b\n.mp4", "b\\n.mp4"]
    for name in names:
        (tmp_path / name).touch()
    rows = read(str(tmp_path))
    assert [row.url for row in rows if row.problem] == ["b\\n.mp4"]
    ids = [row.source_id for row in rows]
    assert len(set(ids)) == len(names)
    assert {"a\\x01.mp4", "a\\u202e.mp4", "b\\t.mp4", "b .mp4"} <= set(ids)
    assert all(clean_text(one) == (one, False) for one in ids)
    members = dict.fromkeys(names[:4], b"video")
    tar = tar_of(tmp_path / "t.tar", members)
    assert len({row.source_id for row in read(tar)}) == len(members)


def test_one_media_file_is_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "Talk.mp4").touch()
    (tmp_path / "Talk.en.vtt").touch()
    (row,) = read(str(tmp_path / "Talk.mp4"))
    assert (row.location, row.source_id, row.subtitles) == (str(tmp_path / "Talk.mp4"), "Talk.mp4", "Talk.en.vtt")


def test_a_pattern_matches_media_and_lists(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "v.mp4").touch()
        written(tmp_path / name, "l.csv", "url,subtitles\nv.mp4,s.vtt\n/abs.mp4,\n" if name == "a" else "url\nw.mp4\n")
    assert [row.source_id for row in read(f"{tmp_path}/*/v.mp4")] == ["a/v.mp4", "b/v.mp4"]
    rows = read(f"{tmp_path}/**/*.csv")
    assert [row.location for row in rows] == [f"{tmp_path}/a/v.mp4", "/abs.mp4", f"{tmp_path}/b/w.mp4"]
    assert rows[0].subtitles_location == f"{tmp_path}/a/s.vtt"
    with pytest.raises(UsageError, match="matches no file"):
        read_manifest(f"{tmp_path}/*.mkv")


def test_links_in_a_folder_are_followed_once(tmp_path: Path) -> None:
    for name in ("real/z.mp4", "folder/a.mp4", "folder/sub/b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder = tmp_path / "folder"
    for name, target in [
        ("linked", "../real"),
        ("again", "../real"),
        ("loop", "."),
        ("0sub", "sub"),
        ("link.mp4", "../real/z.mp4"),
        ("gone.mp4", "/nonexistent/gone.mp4"),
        ("self.mp4", "self.mp4"),
    ]:
        (folder / name).symlink_to(target)
    names = ["a.mp4", "again/z.mp4", "gone.mp4", "link.mp4", "self.mp4", "sub/b.mp4"]
    assert [row.url for row in read(str(folder))] == names


def test_what_a_folder_holds_beside_media_is_told(tmp_path: Path) -> None:
    for name in (
        "a.MP4",
        "a.srt",
        "b.mpg",
        "c.ogv",
        "d.3g2",
        "e.vob",
        "n.txt",
        "m.txt",
        "x.jpg",
        "Makefile",
        "._a.MP4",
    ):
        (tmp_path / name).touch()
    (tmp_path / "f.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    rows, told = read_manifest(str(tmp_path))
    assert rows["url"].to_pylist() == ["a.MP4", "b.mpg", "c.ogv", "d.3g2", "e.vob"]
    assert told == (
        "passed over in the folder: 6 files (2 .txt, 1 ._*, 1 without an ending, 1 no regular file, 1 .jpg)",
    )


def test_the_work_folder_is_no_source(tmp_path: Path) -> None:
    for name in ("a.mp4", "work/media/00/x.mp4", "out/y.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    rows, told = read_manifest(str(tmp_path), without=(str(tmp_path / "work"), str(tmp_path / "out")))
    assert rows["url"].to_pylist() == ["a.mp4"]
    assert told == ("out/ is this run's own and was passed over", "work/ is this run's own and was passed over")


def nested(folder: Path, name: str, depth: int) -> None:
    """Make a video this deep below a folder, beyond what paths can be."""
    place = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=place)
        below = os.open(name, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(os.open("v.mp4", os.O_CREAT, dir_fd=place))
    os.close(place)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder that is removed at the end, since pytest cannot."""
    yield tmp_path
    subprocess.run(["rm", "-r", tmp_path], check=True)


def test_a_folder_a_thousand_deep_is_read(deep: Path) -> None:
    nested(deep, "d", 1000)
    (row,) = read(str(deep))
    assert row.url == "d/" * 1000 + "v.mp4"


def test_a_folder_deeper_than_paths_may_be_is_told(deep: Path) -> None:
    (deep / "a.mp4").touch()
    nested(deep, "d" * 200, 25)
    rows, told = read_manifest(str(deep))
    assert rows["url"].to_pylist() == ["a.mp4"]
    assert "cannot be listed (File name too long)" in told[0]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_hugging_face_folder_is_read_by_its_metadata(tmp_path: Path, form: str) -> None:
    for name in ("train/a.mp4", "train/b.mp4", "test/a.mp4", "train/unlisted.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for split, files in (("train", ["a.mp4", "b.mp4"]), ("test", ["a.mp4"])):
        table = pa.table({"file_name": files, "text": [f"about {name}" for name in files]})
        if form == "parquet":
            pq.write_table(table, tmp_path / split / "metadata.parquet")
        elif form == "csv":
            table.to_pandas().to_csv(tmp_path / split / "metadata.csv", index=False)
        else:
            table.to_pandas().to_json(tmp_path / split / "metadata.jsonl", orient="records", lines=True)
    rows = {row.source_id: row for row in read(str(tmp_path))}
    assert rows.keys() == {"train/a.mp4", "train/b.mp4", "test/a.mp4"}
    assert rows["test/a.mp4"].location == str(tmp_path / "test/a.mp4")
    assert rows["train/b.mp4"].extra == '{"text":"about b.mp4"}'


def with_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_metadata_tell_of_the_media_in_folders_below_too(tmp_path: Path) -> None:
    with_files(tmp_path, "videos/a.mp4", "videos/b.mp4", "videos/deep/c.mp4", "d.mp4")
    text = "file_name,title,license,text\nvideos/a.mp4,A,CC0,one\n./videos/deep/../deep/c.mp4,C,CC0,two\n"
    written(tmp_path, "metadata.csv", text)
    rows, told = read_manifest(str(tmp_path))
    assert rows["title"].to_pylist() == ["A", "C"]
    assert told == ("passed over in the folder: 2 files (2 media that metadata.csv does not name)",)


def test_of_two_metadata_of_a_folder_one_is_read_and_the_other_told(tmp_path: Path) -> None:
    with_files(tmp_path, "a.mp4", "b.mp4")
    written(tmp_path, "metadata.csv", "file_name,title\na.mp4,A\n")
    written(tmp_path, "metadata.jsonl", '{"file_name": "b.mp4", "title": "B"}\n')
    rows, told = read_manifest(str(tmp_path))
    assert rows["title"].to_pylist() == ["B"]
    assert told[0] == "metadata.csv was passed over, since metadata.jsonl is beside it"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "LJ001-0001|Printing, in the only sense|Printing\nLJ001-0002|x|y\n"),
        ("metadata.csv", "\n"),
        ("metadata.jsonl", '{"fps": 25}\n{"fps": 30}\n'),
    ],
)
def test_metadata_of_something_else_hide_no_media(tmp_path: Path, name: str, text: str) -> None:
    with_files(tmp_path, "vids/a.mp4", "proj/sub/x.mp4", "proj/y.mp4")
    written(tmp_path / "proj", name, text)
    rows, told = read_manifest(str(tmp_path))
    assert rows["url"].to_pylist() == ["proj/sub/x.mp4", "proj/y.mp4", "vids/a.mp4"]
    assert told[0].startswith(f"proj/{name} was passed over: there is no column `")


@pytest.mark.parametrize("column", ["url", "videoID"])
def test_the_lists_beside_tars_are_no_sources(tmp_path: Path, column: str) -> None:
    tar_of(tmp_path / "00000.tar", {"0.mp4": b"video", "0.json": b'{"title": "A"}'})
    pq.write_table(pa.table({column: ["https://example.org/a"]}), tmp_path / "00000.parquet")
    written(tmp_path, "00000_stats.json", "{}")
    rows, told = read_manifest(str(tmp_path))
    assert rows["source_id"].to_pylist() == ["00000.tar#0.mp4"]
    assert told == ("passed over in the folder: 2 files (1 .json, 1 .parquet)",)
