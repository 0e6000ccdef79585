"""Ids and texts of manifests: published without secrets, cleaned once."""

import json
from pathlib import Path

import pytest

from pipeline.manifest import read_manifest
from schemas.text import clean_text
from storyloom.errors import UsageError
from tests.manifests import read, written
from tests.manifests import rows as rows_of


def test_the_key_comes_from_what_the_manifest_says_not_from_where_it_lies(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    one = read(written(tmp_path / "one", "list.txt", "a.mp4"))
    two = read(written(tmp_path / "two", "list.txt", "a.mp4"))
    assert one[0].video == two[0].video
    assert one[0].url == two[0].url
    assert one[0].location != two[0].location


def test_lines_that_repeat_an_id_are_counted(tmp_path: Path) -> None:
    rows, told = read_manifest(written(tmp_path, "list.txt", "a.mp4\nb.mp4\na.mp4\n"))
    assert rows["url"].to_pylist() == ["a.mp4", "b.mp4"]
    assert told == ("left out, since they repeat an earlier id: 1 line",)


def test_the_first_of_the_lines_that_share_an_id_counts(tmp_path: Path) -> None:
    text = "url,id,title\nz.mp4,z,\na.mp4,x,first\nb.mp4,x,second\n"
    assert [(row.url, row.title) for row in read(written(tmp_path, "list.csv", text))] == [
        ("z.mp4", ""),
        ("a.mp4", "first"),
    ]


def test_text_is_cleaned_once_and_that_is_told(tmp_path: Path) -> None:
    line = {
        "url": "v.mp4",
        "title": "\x1b[31mRed\u202e",
        "license": "CC\ud800",
        "by": "\x9bme",
        "n": [{"\x07k": "\x00"}],
    }
    rows, told = read_manifest(written(tmp_path, "l.jsonl", json.dumps(line)))
    (row,) = rows_of(rows)
    assert (row.title, row.license, row.extra) == ("[31mRed", "CC\ufffd", '{"by":"me","n":[{"k":""}]}')
    assert "`title` cleaned of control characters" in " ".join(told)
    assert "other columns cleaned of control characters" in " ".join(told)


def test_signed_urls_have_ids_without_their_signature(tmp_path: Path) -> None:
    text = "https://me:secret@example.org/a.mp4?X-Signature=abc\nhttps://example.org/b.mp4?v=1&t=2\n"
    rows = rows_of(read_manifest(written(tmp_path, "l.txt", text), url_parameters=("v",)).rows)
    assert [row.source_id for row in rows] == ["https://example.org/a.mp4", "https://example.org/b.mp4?v=1"]
    assert rows[0].url == "https://me:secret@example.org/a.mp4?X-Signature=abc"


def test_urls_that_only_secrets_tell_apart_are_never_one_video(tmp_path: Path) -> None:
    path = written(tmp_path, "l.txt", "https://example.org/get?file=1\nx.mp4\nhttps://example.org/get?file=2\n")
    rows, told = read_manifest(path)
    first, other, second = rows_of(rows)
    assert (first.problem, first.source_id, other.problem) == ("", "https://example.org/get", "")
    assert second.problem.startswith(
        "it has another URL than l.txt, line 1, but the same id 'https://example.org/get', since"
    )
    assert (second.source_id, second.url) == ("l.txt, line 3", "https://example.org/get?file=2")
    assert told[-1].startswith("unusable, which fail as `bad_line`: 1 line, the first: l.txt, line 3: it has another")
    assert len({row.video for row in (first, other, second)}) == 3
    rows, told = read_manifest(path, url_parameters=("file",))
    assert (len(rows), told) == (3, ())
    again = written(tmp_path, "m.txt", "https://example.org/get?file=1\nhttps://example.org/get?file=1\n")
    assert len(read_manifest(again).rows) == 1


def test_a_named_parameter_settles_which_video_it_is(tmp_path: Path) -> None:
    text = "https://example.org/w?v=abc&t=10\nhttps://u:p@example.org/w?t=20&v=abc\nhttps://example.org/w?v=b\n"
    rows, told = read_manifest(written(tmp_path, "l.txt", text), ("v",))
    assert rows["source_id"].to_pylist() == ["https://example.org/w?v=abc", "https://example.org/w?v=b"]
    assert told == ("left out, since they repeat an earlier id: 1 line",)


def test_clips_of_a_file_have_ids_with_their_times(tmp_path: Path) -> None:
    text = "url,start,end,id\nv.mp4,1.5,9,\nv.mp4,0:01:02.25,,\nv.mp4,,7,\nv.mp4,1,2,mine\nv.mp4,,,\n"
    rows = read(written(tmp_path, "l.csv", text))
    assert [(row.source_id, row.start, row.end) for row in rows] == [
        ("v.mp4#t=1.5,9", 1.5, 9.0),
        ("v.mp4#t=62.25", 62.25, -1.0),
        ("v.mp4#t=,7", -1.0, 7.0),
        ("mine", 1.0, 2.0),
        ("v.mp4", -1.0, -1.0),
    ]


def test_an_id_is_published_without_secrets(tmp_path: Path) -> None:
    url = "https://user:5ecret@example.org/watch?v=1&sig=5ecret"
    (row,) = rows_of(read_manifest(written(tmp_path, "list.txt", url + "\n"), ("v",))[0])
    assert (row.url, row.published_url, row.source_id) == (url, *["https://example.org/watch?v=1"] * 2)


def test_an_id_that_is_a_url_is_published_without_secrets(tmp_path: Path) -> None:
    (row,) = read(written(tmp_path, "list.csv", "url,id\na.mp4,https://u:5ecret@example.org/a.mp4\n"))
    assert row.source_id == "https://example.org/a.mp4"


WRAPPED = [
    "{}",
    "see {} and more",
    "src={}",
    "<{}>",
    "({})",
    "[l]({})",
    '"{}"',
    "jdbc:{}",
    "\ufeff{}",
    "{}\x07",
    "x\t{}\ny",
]


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_no_text_of_a_line_is_published_with_secrets(tmp_path: Path, wrapped: str) -> None:
    url = wrapped.replace("{}", "https://me:5ecret@h.example/v?tok=5ecret")
    line = dict.fromkeys(("title", "license", "language", "note", url), url) | {"all": [{url: url}]}
    rows, told = read_manifest(written(tmp_path, "l.jsonl", json.dumps({"url": "v.mp4", "id": f"x{url}"} | line)))
    (row,) = rows_of(rows)
    published = [row.title, row.license, row.language, row.extra, row.source_id, *told]
    assert all("h.example/v" in text for text in published[:5])
    assert not any("5ecret" in text for text in published)
    assert "`title` cleaned" in " ".join(told)


def test_a_secret_that_is_cut_off_is_not_published_either(tmp_path: Path) -> None:
    line = {
        "url": "v.mp4",
        "title": "x" * 4080 + " https://me:5ecret@h/",
        "note": "x" * 16370 + " https://me:5ecret@h/",
    }
    (row,) = read(written(tmp_path, "l.jsonl", json.dumps(line)))
    assert "5e" not in row.title + row.extra


@pytest.mark.parametrize("url", ["//u:5ecret@h/x?t=5ecret", "u:5ecret@h:/x?t=5ecret", "http:/u:5ecret@h/x?t=5ecret"])
def test_a_mistyped_url_is_no_path(tmp_path: Path, url: str) -> None:
    rows, told = read_manifest(written(tmp_path, "l.txt", f"{url}\nb.mp4\n"))
    wrong, right = rows_of(rows)
    assert wrong.problem.startswith("its url has a password or a query, but is neither a URL nor the path of a file")
    assert right.problem == ""
    assert not any("5ecret" in one for one in (wrong.problem, wrong.source_id, wrong.published_url, *told))


def test_what_is_told_of_a_list_holds_no_secrets(tmp_path: Path) -> None:
    secret = "https://me:5ecret5ecret5ecret5ecret5ecret@h/v?tok=5ecret"
    lines = [f'{{"url": "a.mp4", "{secret}": 1, "{secret}": 2}}', f'{{"url": "a.mp4", "start": "{secret}"}}', '"b.mp4"']
    rows, told = read_manifest(written(tmp_path, "l.jsonl", "\n".join(lines)))
    assert not any("5ecret" in text for text in [*told, *rows["problem"].to_pylist()])


def test_a_renewed_signature_is_the_same_video(tmp_path: Path) -> None:
    keys = [read(written(tmp_path, "list.txt", f"https://example.org/a.mp4?sig={n}\n"))[0].video for n in range(2)]
    assert keys[0] == keys[1]


def test_what_a_list_holds_reaches_no_terminal(tmp_path: Path) -> None:
    line = b"\x1b]0;x\x07# \xff.mp4\n'\x1b[2J\xff'\n#\x1b[2J\xff.mp4\nv.mp4\n"
    (tmp_path / "l.txt").write_bytes(line)
    _, told = read_manifest(str(tmp_path / "l.txt"))
    assert len(told) == 3
    assert all(clean_text(sentence) == (sentence, False) for sentence in told)
    for name, content in (("l.csv", b"\x1b[2J\xff,b\nx,y\n"), ("l.jsonl", b'{"\\u001b[2J\\ud800": 1}\n')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match="no column `url`") as refused:
            read_manifest(str(tmp_path / name))
        assert clean_text(str(refused.value)) == (str(refused.value), False)


@pytest.mark.parametrize("column", ["id", "url"])
def test_an_id_of_any_length_fits_into_a_document(tmp_path: Path, column: str) -> None:
    long = "x" * 20_000
    line = {"id": f"v.mp4,{long}", "url": f"https://example.org/{long}.mp4,"}[column]
    rows, told = read_manifest(written(tmp_path, "l.csv", f"url,id\n{line}\n"))
    (row,) = rows_of(rows)
    assert len(row.source_id) == len("x" * 4096)
    assert len(row.published_url) <= 4096
    assert column == "url" or "`id` cleaned" in told[0]
