"""Reading manifests of every form, and saying what is wrong with one."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.manifest import read_manifest
from schemas.rows import ManifestRow
from storyloom.errors import UsageError
from tests.manifests import rows as rows_of


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def read(path: str) -> list[ManifestRow]:
    return rows_of(read_manifest(path)[0])


def test_a_text_file_holds_a_path_or_url_a_line(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "list.txt", "\ufeffa.mp4\n\n# a comment\nhttps://example.org/b.mp4\n"))
    assert [row.location for row in rows] == [str(tmp_path / "a.mp4"), "https://example.org/b.mp4"]


def test_the_key_comes_from_what_the_manifest_says_not_from_where_it_lies(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    one = read(written(tmp_path / "one", "list.txt", "a.mp4"))
    two = read(written(tmp_path / "two", "list.txt", "a.mp4"))
    assert one[0].video == two[0].video
    assert one[0].url == two[0].url
    assert one[0].location != two[0].location


def test_csv_columns_are_read_as_text(tmp_path: Path) -> None:
    text = "url,id,title,language,license,other\nv.mp4,0017,1984,en,CC0,x\n"
    (row,) = read(written(tmp_path, "list.csv", text))
    assert (row.source_id, row.title, row.language, row.license) == ("0017", "1984", "en", "CC0")


def test_no_word_of_a_csv_file_stands_for_nothing(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "list.csv", "url,id,license\na.mp4,NA,N/A\nb.mp4,null,nan\nc.mp4,,\n"))
    assert [(row.source_id, row.license) for row in rows] == [("NA", "N/A"), ("null", "nan"), ("c.mp4", "")]


def test_a_file_whose_name_is_no_text_is_named(tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.mp4")).write_bytes(b"video")
    with pytest.raises(UsageError, match="a file whose name is not UTF-8: 'caf"):
        read_manifest(str(tmp_path))


def test_jsonl_and_parquet_say_the_same_as_csv(tmp_path: Path) -> None:
    csv = read(written(tmp_path, "l.csv", "url,id\nv.mp4,x\nw.mp4,\n"))
    jsonl = read(written(tmp_path, "l.jsonl", '{"url": "v.mp4", "id": "x"}\n{"url": "w.mp4", "id": null}\n'))
    pq.write_table(pa.table({"url": ["v.mp4", "w.mp4"], "id": ["x", None]}), tmp_path / "l.parquet")
    parquet = read(str(tmp_path / "l.parquet"))
    assert csv == jsonl == parquet


def test_a_folder_is_read_in_order_with_the_subtitles_beside_the_media(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.mp4", "b.vtt", "a.WEBM", "notes.txt", "sub/c.mkv"):
        (tmp_path / name).touch()
    rows = read(str(tmp_path))
    assert [row.source_id for row in rows] == ["a.WEBM", "b.mp4", "sub/c.mkv"]
    assert [row.subtitles for row in rows] == ["", "b.vtt", ""]


def test_lines_that_repeat_an_id_are_counted(tmp_path: Path) -> None:
    rows, duplicates = read_manifest(written(tmp_path, "list.txt", "a.mp4\nb.mp4\na.mp4\n"))
    assert (rows["url"].to_pylist(), duplicates) == (["a.mp4", "b.mp4"], 1)


def test_the_first_of_the_lines_that_share_an_id_counts(tmp_path: Path) -> None:
    text = "url,id,title\nz.mp4,z,\na.mp4,x,first\nb.mp4,x,second\n"
    assert [(row.url, row.title) for row in read(written(tmp_path, "list.csv", text))] == [
        ("z.mp4", ""),
        ("a.mp4", "first"),
    ]


def test_numbers_and_space_become_plain_text(tmp_path: Path) -> None:
    (row,) = read(written(tmp_path, "list.jsonl", '{"url": " v.mp4\\t", "id": 17, "title": null}\n'))
    assert (row.url, row.source_id, row.title) == ("v.mp4", "17", "")


def test_a_column_of_lists_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "list.jsonl", '{"url": "v.mp4", "title": [1, 2]}\n')
    with pytest.raises(UsageError, match=r"list\.jsonl: column `title` is no text"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.txt", "\n# nothing\n", "holds no paths or URLs"),
        ("list.csv", "path\nv.mp4\n", "no column `url`; it has: path"),
        ("list.csv", "url,id,id\nv.mp4,1,2\n", "has a column twice; it has: url, id, id"),
        ("list.csv", "url,title\n,x\n", "row 1: no url"),
        ("list.csv", "url,title\nv.mp4,x\n  ,y\n,z\n", "list.csv, row 2: no url"),
        ("list.jsonl", '{"url": \n', "cannot be read"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_manifest(written(tmp_path, name, text))


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no manifest at .*nothing\.txt"):
        read_manifest(str(tmp_path / "nothing.txt"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("place", ["pipe.txt", "/dev/zero", "/dev/null"])
def test_a_manifest_that_may_never_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.txt")
    with pytest.raises(UsageError, match=rf"the manifest .*{place} is no regular file"):
        read_manifest(place)


def test_an_id_is_published_without_secrets(tmp_path: Path) -> None:
    url = "https://user:5ecret@example.org/watch?v=1&sig=5ecret"
    (row,) = rows_of(read_manifest(written(tmp_path, "list.txt", url + "\n"), ("v",))[0])
    assert (row.url, row.published_url, row.source_id) == (url, *["https://example.org/watch?v=1"] * 2)


def test_an_id_that_is_a_url_is_published_without_secrets(tmp_path: Path) -> None:
    (row,) = read(written(tmp_path, "list.csv", "url,id\na.mp4,https://u:5ecret@example.org/a.mp4\n"))
    assert row.source_id == "https://example.org/a.mp4"


def test_a_renewed_signature_is_the_same_video(tmp_path: Path) -> None:
    keys = [read(written(tmp_path, "list.txt", f"https://example.org/a.mp4?sig={n}\n"))[0].video for n in range(2)]
    assert keys[0] == keys[1]


def test_urls_that_only_their_queries_tell_apart_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "list.txt", "https://example.org/get?id=1\na.mp4\nhttps://example.org/get?id=2\n")
    with pytest.raises(UsageError, match=r"rows 1 and 3 .* `url_parameters`"):
        read_manifest(path)
    assert len(read_manifest(path, ("id",))[0]) == 3
