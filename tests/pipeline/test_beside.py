"""Subtitle files beside local videos."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.beside import Beside
from pipeline.manifest import read_manifest
from tests.manifests import rows


def beside(folder: Path, video: str, *files: str, language: str = "") -> str:
    for name in (video, *files):
        (folder / name).touch()
    return next(iter(Beside().of(str(folder / video), language)), "")


@pytest.mark.parametrize(
    "name",
    [
        *("Talk [abc123].vtt", "Talk [abc123].SRT", "Talk [abc123].en.vtt", "Talk [abc123].en-US.srt"),
        *(
            "Talk [abc123].eng.srt",
            "Talk [abc123].en.auto.vtt",
            "Talk [abc123].en-orig.vtt",
            "Talk [abc123].zh-Hans.ass",
        ),
        *(
            "Talk [abc123].en.sdh.srt",
            "Talk [abc123].pt_BR.ttml",
            "Talk [abc123].auto.en.sbv",
            "Talk [abc123].en.json3",
        ),
        *("Talk [abc123].EN.forced.srv3", "Talk [abc123].cc.ssa"),
        *("Talk [abc123].mp4.srt", "Talk [abc123].mp4.en.vtt", "Talk [abc123].en.2.srt"),
    ],
)
def test_a_file_of_the_same_name_is_found(tmp_path: Path, name: str) -> None:
    assert beside(tmp_path, "Talk [abc123].mp4", name) == name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Talk.live_chat.json",
            "Talk.info.json",
            "Talk.description",
            "Talk 2.en.vtt",
            "Talk.part1.srt",
        ),
        *("talks.vtt", "Talk.2.srt", "Talk.en.2000.srt", "Talk.en.txt", "Talk.one two.srt", "en.vtt"),
    ],
)
def test_other_files_are_none(tmp_path: Path, name: str) -> None:
    assert beside(tmp_path, "Talk.mp4", name) == ""


@pytest.mark.parametrize(
    ("language", "best"),
    [
        ("en", "v.en.vtt"),
        ("eng", "v.en.vtt"),
        ("en-GB", "v.en-GB.srt"),
        ("fra", "v.fr.auto.vtt"),
        ("ger", "v.deu.srt"),
        ("pt", "v.srt"),
        ("", "v.srt"),
    ],
)
def test_the_language_of_the_manifest_comes_first_then_a_name_without_one(
    tmp_path: Path, language: str, best: str
) -> None:
    files = ["v.srt", "v.en.vtt", "v.en-GB.srt", "v.en.auto.vtt", "v.fr.auto.vtt", "v.deu.srt", "v.en.forced.vtt"]
    assert beside(tmp_path, "v.mp4", *files, language=language) == best


def test_what_people_wrote_comes_before_what_a_machine_wrote(tmp_path: Path) -> None:
    assert beside(tmp_path, "v.mp4", "v.en-orig.vtt", "v.en.srt", language="en") == "v.en.srt"
    assert beside(tmp_path, "w.mp4", "w.auto.vtt", "w.srt") == "w.srt"


def test_without_a_language_the_one_that_is_spoken_comes_first(tmp_path: Path) -> None:
    assert beside(tmp_path, "v.mp4", "v.de.vtt", "v.en.vtt", "v.en-orig.vtt") == "v.en.vtt"


def test_a_file_belongs_to_the_video_with_the_longest_fitting_name(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.en.mp4", "a.en.vtt", "v1.2.mp4", "v1.2.fr.srt", "v1.mp4"):
        (tmp_path / name).touch()
    found = Beside()
    names = {name: found.of(str(tmp_path / name), "") for name in ("a.mp4", "a.en.mp4", "v1.2.mp4", "v1.mp4")}
    assert names == {"a.mp4": [], "a.en.mp4": ["a.en.vtt"], "v1.2.mp4": ["v1.2.fr.srt"], "v1.mp4": []}


def test_hindi_is_no_mark_of_the_hearing_impaired(tmp_path: Path) -> None:
    assert beside(tmp_path, "v.mp4", "v.hi.srt", "v.en.hi.srt", language="hi") == "v.hi.srt"
    assert beside(tmp_path, "v.mp4", language="en") == "v.en.hi.srt"


def test_a_folder_is_listed_once(tmp_path: Path) -> None:
    found = Beside()
    (tmp_path / "a.mp4").touch()
    assert found.of(str(tmp_path / "a.mp4"), "") == []
    (tmp_path / "a.vtt").touch()
    assert found.of(str(tmp_path / "a.mp4"), "") == []


@pytest.mark.parametrize("form", ["txt", "csv", "jsonl", "parquet", "folder"])
def test_files_beside_are_found_in_every_kind_of_manifest(tmp_path: Path, form: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("sub/v.mp4", "sub/v.en.vtt", "sub/v.fr.vtt", "w.mp4"):
        (tmp_path / name).touch()
    path = tmp_path if form == "folder" else tmp_path / f"list.{form}"
    if form == "txt":
        path.write_text("sub/v.mp4\nw.mp4\n")
    elif form == "csv":
        path.write_text("url,language\nsub/v.mp4,en\nw.mp4,\n")
    elif form == "jsonl":
        path.write_text('{"url": "sub/v.mp4", "language": "en"}\n{"url": "w.mp4"}\n')
    elif form == "parquet":
        pq.write_table(pa.table({"url": ["sub/v.mp4", "w.mp4"], "language": ["en", None]}), path)
    found = {row.url: row for row in rows(read_manifest(str(path))[0])}
    assert found["sub/v.mp4"].subtitles == "sub/v.en.vtt"
    assert found["sub/v.mp4"].subtitles_location == str(tmp_path / "sub" / "v.en.vtt")
    assert found["sub/v.mp4"].other_subtitles == ["sub/v.fr.vtt"]
    assert found["sub/v.mp4"].other_subtitles_locations == [str(tmp_path / "sub" / "v.fr.vtt")]
    assert (found["w.mp4"].subtitles, found["w.mp4"].other_subtitles) == ("", [])


def test_the_manifest_s_own_subtitles_and_remote_videos_are_left_alone(tmp_path: Path) -> None:
    for name in ("v.mp4", "v.vtt", "own.srt"):
        (tmp_path / name).touch()
    lines = f"url,subtitles\nv.mp4,own.srt\nhttps://example.org/v.mp4,\nfile://{tmp_path}/v.mp4,\n{tmp_path}/v.mp4,\n"
    (tmp_path / "list.csv").write_text(lines + "nowhere/x.mp4,\n\\0.mp4,\n")
    found = rows(read_manifest(str(tmp_path / "list.csv"))[0])
    beside = str(tmp_path / "v.vtt")
    assert not any(row.other_subtitles for row in found)
    assert [row.subtitles for row in found] == ["own.srt", "", beside, beside, "", ""]


def test_a_file_whose_name_is_no_text_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").touch()
    Path(f"{tmp_path}/v.en.\udce9.vtt").touch()
    assert Beside().of(str(tmp_path / "v.mp4"), "") == []


@pytest.mark.parametrize(("video", "file"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_names_are_the_same_in_either_form_of_unicode(
    tmp_path: Path, video: Literal["NFC", "NFD"], file: Literal["NFC", "NFD"]
) -> None:
    track = unicodedata.normalize(file, "Café.en.srt")
    assert beside(tmp_path, unicodedata.normalize(video, "Café.mp4"), track) == track


def test_an_entry_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "loop.srt").symlink_to("loop.srt")
    assert beside(tmp_path, "Talk.mp4", "Talk.srt") == "Talk.srt"
    assert beside(tmp_path, "loop.mp4") == ""
