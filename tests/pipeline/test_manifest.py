"""Reading manifests of every form, and saying what is wrong with one."""

import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.manifest import read_manifest
from schemas.manifest import ManifestRow
from schemas.text import clean_text
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
    rows, told = read_manifest(written(tmp_path, "list.txt", "a.mp4\nb.mp4\na.mp4\n"))
    assert rows["url"].to_pylist() == ["a.mp4", "b.mp4"]
    assert told == ("left out, since they repeat an earlier id: 1 line",)


def test_the_first_of_the_lines_that_share_an_id_counts(tmp_path: Path) -> None:
    text = "url,id,title\nz.mp4,z,\na.mp4,x,first\nb.mp4,x,second\n"
    assert [(row.url, row.title) for row in read(written(tmp_path, "list.csv", text))] == [
        ("z.mp4", ""),
        ("a.mp4", "first"),
    ]


def test_numbers_and_space_become_plain_text(tmp_path: Path) -> None:
    (row,) = read(written(tmp_path, "list.jsonl", '{"url": " v.mp4\\t", "id": 17, "title": null}\n'))
    assert (row.url, row.source_id, row.title) == ("v.mp4", "17", "")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.txt", "\n# nothing\n", "holds no paths, URLs or media"),
        ("empty.csv", "", "no column `url`"),
        ("list.csv", "place\nv.mp4\n", "no column `url`; it has: place"),
        ("list.csv", "video_url\nv.mp4\n", r"did you mean `video_url`\? Then say columns: {url: video_url}"),
        ("list.jsonl", '{"URL": "v.mp4"}\n', r"did you mean `URL`\? Then say columns: {url: URL}"),
        ("list.csv", "url,id,id\nv.mp4,1,2\n", "column `id` is there twice; it has: url, id, id"),
        ("list.csv", "url,title\n,x\n", "list.csv, line 2: it has no url"),
        ("list.csv", 'url,title\nv.mp4,"x\n\n', "a quote is opened and not closed"),
        ("list.jsonl", '{"url": \n', "no line of the manifest .*list.jsonl, line 1: it is no JSON"),
        ("list.jsonl", "null\n", "it is null, not a JSON object or a URL"),
        ("list.jsonl", "[" * 20_000 + "]" * 20_000, "it is nested too deep"),
        ("list.json", "[" * 20_000 + "]" * 20_000, "its member 1: it is nested too deep"),
        ("list.json", '[{"url": "v.mp4"}', "after its member 1 there is neither , nor ]"),
        ("list.json", '[{"url": "v.mp4"}, {"url', "its member 2: it is no JSON"),
        ("list.parquet", "url\nv.mp4\n", "cannot be read as parquet"),
        ("list.csv.gz", "url\nv.mp4\n", "cannot be read as csv"),
        ("list.csv.zst", "url\nv.mp4\n", "cannot be read as csv"),
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


def test_clips_and_columns_of_other_names_are_kept(tmp_path: Path) -> None:
    (row,) = read(written(tmp_path, "list.csv", "url,start,end,views,channel\nv.mp4,1.5,9,12,Lab\n"))
    assert (row.start, row.end, row.extra) == (1.5, 9.0, '{"channel":"Lab","views":"12"}')
    (row,) = read(written(tmp_path, "list.txt", "v.mp4\n"))
    assert (row.start, row.end, row.extra) == (-1.0, -1.0, "{}")


@pytest.mark.parametrize(
    ("ids", "read_as"),
    [
        (["9300000000000000001", "9300000000000000002"], ["9300000000000000001", "9300000000000000002"]),
        (['"2021-05-06"', '"2021-05-07 00:00:00"'], ["2021-05-06", "2021-05-07 00:00:00"]),
        (["1.10", "1e3"], ["1.10", "1e3"]),
        (["true", "NaN"], ["true", "NaN"]),
        (["1" * 4000, '"NA"'], ["1" * 4000, "NA"]),
    ],
)
def test_json_values_stay_as_written(tmp_path: Path, ids: list[str], read_as: list[str]) -> None:
    lines = [f'{{"url": "{number}.mp4", "id": {one}}}' for number, one in enumerate(ids)]
    assert [row.source_id for row in read(written(tmp_path, "l.jsonl", "\n".join(lines)))] == read_as
    assert [row.source_id for row in read(written(tmp_path, "l.json", f"[{','.join(lines)}]"))] == read_as


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("null", "it is null, not a JSON object or a URL"),
        ("17", "it is a number, not a JSON object or a URL"),
        ('{"url": "v.mp4", "url": "w.mp4"}', "the key 'url' is there twice"),
        ('{"url": "v.mp4", "id": [1]}', "column `id` is an array, no text"),
        ('{"url": "v.mp4", "x": ' + "[" * 200 + "]" * 200 + "}", "it is nested over 64 levels deep"),
        ('{"url": "v.mp4", "x": ' + "[" * 20_000 + "]" * 20_000 + "}", "it is nested too deep"),
        ('{"title": "no url"}', "it has no url"),
        ('{"url": "v\\ud800.mp4"}', "`url` has half of a character"),
        ('{"url": "v\\u0000.mp4"}', "`url` has NUL bytes"),
        ('{"url": "https://example.org/\\u001b[2J.mp4"}', "its url has control characters"),
        ('{"url": "v.mp4", "id": "x\udce9"}', "`id` is not UTF-8"),
        ('{"url": "v.mp4", "start": "soon"}', "its start 'soon' is no time"),
        ('{"url": "v.mp4", "start": "1_0"}', "its start '1_0' is no time"),
        ('{"url": "v.mp4", "start": "\u0661:\u0662"}', "its start '\u0661:\u0662' is no time"),
        ('{"url": "v.mp4", "start": NaN}', "its start 'NaN' is no time"),
        ('{"url": "v.mp4", "start": 9, "end": 2}', "its end 2 is not after its start 9"),
        ('{"url": "v.mp4", "end": -1e400}', "its end '-1e400' is no time"),
    ],
)
def test_a_line_that_cannot_be_used_fails_alone(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "l.jsonl"
    path.write_bytes(f'{{"url": "a.mp4"}}\n{line}\n{{"url": "b.mp4"}}\n'.encode(errors="surrogateescape"))
    rows, told = read_manifest(str(path))
    first, wrong, last = rows_of(rows)
    assert (first.url, first.problem, last.url, last.problem) == ("a.mp4", "", "b.mp4", "")
    assert wrong.problem.startswith(problem)
    assert wrong.source_id == "l.jsonl, line 2"
    assert told[-1].startswith(f"unusable, which fail as `bad_line`: 1 line, the first: l.jsonl, line 2: {problem}")


def test_a_csv_line_that_cannot_be_used_fails_alone(tmp_path: Path) -> None:
    text = 'url,title\na.mp4,x\nb.mp4,one, two\nc.mp4\n\n"d".mp4,x\ne.mp4,"a, b"\n'
    rows = read(written(tmp_path, "list.csv", text))
    assert [row.problem[:36] for row in rows] == [
        "",
        "it has 3 values, the header 2; put v",
        "it has 1 values, the header 2; put v",
        "its quotes are wrong: ',' expected a",
        "",
    ]
    assert rows[-1].title == "a, b"


def test_empty_columns_and_rows_of_a_spreadsheet_are_nothing(tmp_path: Path) -> None:
    rows, told = read_manifest(written(tmp_path, "l.csv", "url,title,,\na.mp4,A,,\n,,,\n , ,\nb.mp4,B,x,\n,,\n"))
    assert rows["url"].to_pylist() == ["a.mp4", "b.mp4"]
    assert rows["extra"].to_pylist() == ["{}", '{"column 3":"x"}']
    assert told == ()


def test_lines_and_values_have_any_length(tmp_path: Path) -> None:
    long = "y" * 3_000_000
    rows = read(written(tmp_path, "l.jsonl", f'{{"url": "a.mp4", "text": "{long}"}}\n{{"url": "b.mp4"}}\n'))
    assert [(row.url, len(row.extra)) for row in rows] == [("a.mp4", 16384 + len('{"text":""}')), ("b.mp4", 2)]
    lines = "line\n" * 500_000
    rows, told = read_manifest(written(tmp_path, "l.csv", f'url,title\na.mp4,"{lines}"\nb.mp4,B\n'))
    assert [(row.url, row.title[:9]) for row in rows_of(rows)] == [("a.mp4", "line line"), ("b.mp4", "B")]
    what = "`title` cleaned of control characters, of URLs' passwords and queries, and what is over 4,096 characters"
    assert told == (f"{what}: 1 line",)


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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.txt", "é.mp4\r\nb.mp4\r\n"),
        ("l.csv", "url,id\r\né.mp4,\r\nb.mp4,\r\n"),
        ("l.csv", "url;id\né.mp4;\nb.mp4;\n"),
        ("l.csv", "url\tid\né.mp4\t\nb.mp4\t\n"),
        ("l.tsv", "url\tid\né.mp4\t\nb.mp4\t\n"),
        ("l.jsonl", '{"url": "é.mp4"}\r\n\r\n"b.mp4"\r\n'),
        ("l.json", ' [ {"url": "é.mp4"} , "b.mp4" ] '),
        ("l.json", '{"url": "é.mp4"}\n{"url": "b.mp4"}\n'),
    ],
)
def test_lists_of_every_program_are_read(tmp_path: Path, encoding: str, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert [row.source_id for row in read(str(tmp_path / name))] == ["é.mp4", "b.mp4"]
    packed = gzip.compress(text.encode(encoding))
    (tmp_path / f"{name}.gz").write_bytes(packed)
    assert [row.source_id for row in read(str(tmp_path / f"{name}.gz"))] == ["é.mp4", "b.mp4"]
    (tmp_path / f"{name}.zst").write_bytes(pa.compress(text.encode(encoding), "zstd", asbytes=True))
    assert [row.source_id for row in read(str(tmp_path / f"{name}.zst"))] == ["é.mp4", "b.mp4"]


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes("url,title,license,by\na.mp4,Größe,Ü,ä\nb.mp4,ß,,\n".encode("cp1252"))
    pq.write_table(
        pa.table({"url": ["a.mp4"], "title": pa.array([b"Gr\xf6\xdfe"]).view(pa.string())}), tmp_path / "l.parquet"
    )
    (tmp_path / "l.jsonl").write_text('{"url": "a.mp4", "title": "x\\ud800"}\n')
    what = "`{}` has bytes that are not UTF-8, or half characters, which become U+FFFD (save the list as UTF-8)"
    told = {form: read_manifest(str(tmp_path / f"l.{form}")).told for form in ("csv", "parquet", "jsonl")}
    assert told["csv"][:2] == (f"{what.format('title')}: 2 lines", f"{what.format('license')}: 1 line")
    assert "other columns cleaned" in told["csv"][2]
    assert told["parquet"] == told["jsonl"] == (f"{what.format('title')}: 1 line",)


def test_a_text_list_in_another_encoding_fails_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"good.mp4\ncaf\xe9.mp4\nnul\0.mp4\n")
    assert [row.problem.partition(";")[0] for row in read(str(tmp_path / "l.txt"))] == [
        "",
        "`url` is not UTF-8",
        "`url` has NUL bytes",
    ]


def test_names_of_files_that_are_there_are_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("#1 - intro.mp4", " lead.mp4", "'quoted'", "50%25.mp4", "plain.mp4", "~x.mp4"):
        (tmp_path / name).touch()
    text = "#1 - intro.mp4\n# a comment\n#2 - gone.mp4\n lead.mp4\n'quoted'\n \"plain.mp4\" \n50%25.mp4\n~x.mp4\n"
    rows, told = read_manifest(written(tmp_path, "list.txt", text))
    names = ["#1 - intro.mp4", " lead.mp4", "'quoted'", "plain.mp4", "50%25.mp4", "~x.mp4"]
    assert rows["url"].to_pylist() == names
    assert all(Path(row.location).exists() for row in rows_of(rows))
    assert told == (
        "taken for comments though they look like media (write ./#NAME for a file): 1 line, the first: #2 - gone.mp4",
        'quotes taken off: 1 line, the first: "plain.mp4"',
    )


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (row,) = read(written(tmp_path, "list.txt", "~/v.mp4"))
    assert (row.location, row.source_id) == ("/home/me/v.mp4", "~/v.mp4")


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


def test_columns_have_the_names_that_the_config_says(tmp_path: Path) -> None:
    path = written(tmp_path, "l.csv", "video link,licence,url\nv.mp4,CC0,a page\n")
    rows, told = read_manifest(path, columns={"url": "video link"})
    (row,) = rows_of(rows)
    assert (row.url, row.license, row.extra) == ("v.mp4", "", '{"licence":"CC0","url":"a page"}')
    hint = "did you mean `license`? Then say columns: {license: licence} in the config"
    assert told == (f"column `licence` is kept under `extra`; {hint}",)
    (row,) = rows_of(read_manifest(path, columns={"url": "video link", "license": "licence"}).rows)
    assert (row.license, row.extra) == ("CC0", '{"url":"a page"}')
    with pytest.raises(UsageError, match="no column `lizenz`, which `columns` names"):
        read_manifest(path, columns={"url": "video link", "license": "lizenz"})


def test_numbers_of_other_columns_are_numbers(tmp_path: Path) -> None:
    text = (
        '{"url": "v.mp4", "views": 12, "rate": 1.5, "big": 36893488147419103232, "nan": NaN, "none": null, "ok": true}'
    )
    (row,) = read(written(tmp_path, "l.jsonl", text))
    assert row.extra == '{"big":"36893488147419103232","nan":"NaN","ok":true,"rate":1.5,"views":12}'


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("1e999", '"1e999"'),
        ("-Infinity", '"-Infinity"'),
        ("0.12345678901234567890123", '"0.12345678901234567890123"'),
        ("9007199254740993.0", '"9007199254740993.0"'),
        ("-0", '"-0"'),
        ("1e-400", '"1e-400"'),
        ("1e-99999999999999999999", '"1e-99999999999999999999"'),
        ("0.1", "0.1"),
        ("-0.0", "-0.0"),
        ("1e3", "1000.0"),
        ("18446744073709551615", "18446744073709551615"),
    ],
)
def test_a_number_that_would_change_stays_text(tmp_path: Path, number: str, kept: str) -> None:
    (row,) = read(written(tmp_path, "l.jsonl", f'{{"url": "v.mp4", "n": {number}}}'))
    assert row.extra == f'{{"n":{kept}}}'


def test_dates_beyond_the_calendar_stay_numbers(tmp_path: Path) -> None:
    columns = {
        "url": ["a.mp4"],
        "title": pa.array([2**62], pa.timestamp("us")),
        "when": pa.array([2**62], pa.timestamp("us")),
    }
    pq.write_table(pa.table(columns), tmp_path / "l.parquet")
    (row,) = read(str(tmp_path / "l.parquet"))
    assert (row.title, row.extra) == (str(2**62), f'{{"when":"{2**62}"}}')


def test_parquet_of_every_type_is_read(tmp_path: Path) -> None:
    columns = {
        "url": pa.array(["a.mp4", "b.mp4"]).dictionary_encode(),
        "id": pa.array([9300000000000000001, 9300000000000000002], pa.uint64()),
        "title": pa.array([b"caf\xe9", b"ok"]).cast(pa.binary()).view(pa.string()),
        "language": pa.array(["en", None], pa.large_string()),
        "license": pa.array([Decimal("1.10"), None]),
        "start": pa.array([1, None], pa.int8()),
        "when": pa.array([2**62, 0], pa.timestamp("us")),
        "tags": pa.array([["x"], None]),
        "picture": pa.array([b"\xff", b""]),
        "broken": pa.array([b"\xff", b"y"]).view(pa.string()),
        "nothing": pa.nulls(2),
    }
    pq.write_table(pa.table(columns), tmp_path / "l.parquet")
    rows, told = read_manifest(str(tmp_path / "l.parquet"))
    one, two = rows_of(rows)
    assert (one.source_id, one.title, one.language, one.license, one.start) == (
        "9300000000000000001",
        "caf\ufffd",
        "en",
        "1.10",
        1.0,
    )
    assert (two.source_id, two.title, two.language, two.license, two.start) == (
        "9300000000000000002",
        "ok",
        "",
        "",
        -1.0,
    )
    assert json.loads(two.extra) == {"when": "1970-01-01 00:00:00", "broken": "y"}
    assert {"broken": "\ufffd", "tags": ["x"]}.items() <= json.loads(one.extra).items()
    assert "column `picture` holds bytes, which are not kept" in told


def test_a_parquet_url_that_is_no_text_fails_alone(tmp_path: Path) -> None:
    urls = pa.array([b"caf\xe9.mp4", b"ok.mp4", b"nul\0.mp4"]).view(pa.string())
    pq.write_table(pa.table({"url": urls}), tmp_path / "l.parquet")
    assert [row.problem.partition(";")[0] for row in read(str(tmp_path / "l.parquet"))] == [
        "`url` is not UTF-8",
        "",
        "`url` has NUL bytes",
    ]


def test_a_list_of_many_batches_keeps_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.manifest.batch.BATCH", 7)
    names = [f"{number}.mp4" for number in range(50)]
    assert [row.url for row in read(written(tmp_path, "l.txt", "\n".join(names)))] == names


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
    rows, told = read_manifest(str(tmp_path), without=(tmp_path / "work", tmp_path / "out"))
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


@pytest.mark.parametrize("name", ["nul\0.txt", "x" * 300, "~nobody-here/l.txt"])
def test_a_manifest_of_an_impossible_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="manifest"):
        read_manifest(name)


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


@pytest.mark.timeout(20)
def test_a_line_of_many_columns_is_cut_at_once(tmp_path: Path) -> None:
    values = {f"key{number}": "x" * (number % 30) for number in range(8_000)}
    rows, told = read_manifest(written(tmp_path, "l.jsonl", json.dumps({"url": "v.mp4"} | values)))
    (row,) = rows_of(rows)
    assert 60_000 < len(row.extra) <= 65_536
    assert '"key0":""' in row.extra
    assert "the longest of other columns left out" in told[0]


def test_a_renewed_signature_is_the_same_video(tmp_path: Path) -> None:
    keys = [read(written(tmp_path, "list.txt", f"https://example.org/a.mp4?sig={n}\n"))[0].video for n in range(2)]
    assert keys[0] == keys[1]


def tar_of(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


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
    with tarfile.open(tmp_path / "h.tar", "w") as tar:
        huge = tarfile.TarInfo("b.mp4")
        huge.size = 2**40
        tar.addfile(huge)
    with pytest.raises(UsageError, match="it is no tar of videos"):
        read_manifest(str(tmp_path / "h.tar"))


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


def test_parquet_that_holds_videos_is_read_without_them(tmp_path: Path) -> None:
    for number in range(2):
        held = [{"bytes": bytes([row]) * 1000, "path": f"{row}.mp4"} for row in range(3)]
        table = pa.table({"video": held, "title": ["A", "B", "C"], "label": [0, 1, 2]})
        pq.write_table(table, tmp_path / f"train-{number}.parquet", row_group_size=2)
    (tmp_path / "README.md").touch()
    rows = read(str(tmp_path))
    assert [row.source_id for row in rows][2:4] == ["train-0.parquet#2", "train-1.parquet#0"]
    assert [(row.offset, row.title, row.extra) for row in rows][3:] == [
        (0, "A", '{"label":0}'),
        (1, "B", '{"label":1}'),
        (2, "C", '{"label":2}'),
    ]
    assert rows[0].location == str(tmp_path / "train-0.parquet")
