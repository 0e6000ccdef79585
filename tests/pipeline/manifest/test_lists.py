"""Lists as text, CSV and JSON, and saying what is wrong with one."""

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.manifest import read_manifest
from storyloom.errors import UsageError
from tests.manifests import read, written
from tests.manifests import rows as rows_of


def test_a_text_file_holds_a_path_or_url_a_line(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "list.txt", "\ufeffa.mp4\n\n# a comment\nhttps://example.org/b.mp4\n"))
    assert [row.location for row in rows] == [str(tmp_path / "a.mp4"), "https://example.org/b.mp4"]


def test_csv_columns_are_read_as_text(tmp_path: Path) -> None:
    text = "url,id,title,language,license,other\nv.mp4,0017,1984,en,CC0,x\n"
    (row,) = read(written(tmp_path, "list.csv", text))
    assert (row.source_id, row.title, row.language, row.license) == ("0017", "1984", "en", "CC0")


def test_no_word_of_a_csv_file_stands_for_nothing(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "list.csv", "url,id,license\na.mp4,NA,N/A\nb.mp4,null,nan\nc.mp4,,\n"))
    assert [(row.source_id, row.license) for row in rows] == [("NA", "N/A"), ("null", "nan"), ("c.mp4", "")]


def test_jsonl_and_parquet_say_the_same_as_csv(tmp_path: Path) -> None:
    csv = read(written(tmp_path, "l.csv", "url,id\nv.mp4,x\nw.mp4,\n"))
    jsonl = read(written(tmp_path, "l.jsonl", '{"url": "v.mp4", "id": "x"}\n{"url": "w.mp4", "id": null}\n'))
    pq.write_table(pa.table({"url": ["v.mp4", "w.mp4"], "id": ["x", None]}), tmp_path / "l.parquet")
    parquet = read(str(tmp_path / "l.parquet"))
    assert csv == jsonl == parquet


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


def test_a_list_of_many_batches_keeps_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.manifest.batch.BATCH", 7)
    names = [f"{number}.mp4" for number in range(50)]
    assert [row.url for row in read(written(tmp_path, "l.txt", "\n".join(names)))] == names


@pytest.mark.parametrize("name", ["nul\0.txt", "x" * 300, "~nobody-here/l.txt"])
def test_a_manifest_of_an_impossible_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="manifest"):
        read_manifest(name)


@pytest.mark.timeout(20)
def test_a_line_of_many_columns_is_cut_at_once(tmp_path: Path) -> None:
    values = {f"key{number}": "x" * (number % 30) for number in range(8_000)}
    rows, told = read_manifest(written(tmp_path, "l.jsonl", json.dumps({"url": "v.mp4"} | values)))
    (row,) = rows_of(rows)
    assert 60_000 < len(row.extra) <= 65_536
    assert '"key0":""' in row.extra
    assert "the longest of other columns left out" in told[0]
