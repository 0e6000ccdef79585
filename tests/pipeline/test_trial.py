"""`storyloom try`: a folder of its own for the same videos, every kind of place, plain words about what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import app, start
from pipeline.extras import install
from pipeline.manifest import read_manifest
from pipeline.settings.recipes import Recipe, recipe_file
from pipeline.trial import FOLDER, trial
from storyloom.errors import UsageError
from tests.runs import NARRATED, Finished


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two files with the names of videos, in which the command runs."""
    for name in ("a.mp4", "deep/b.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"none")
    (tmp_path / "a.en.vtt").write_text("WEBVTT\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(*videos: str) -> list[dict[str, Any]]:
    made = trial(videos, Path(FOLDER).absolute())
    rows: list[dict[str, Any]] = read_manifest(made.config.manifest).rows.to_pylist()
    return rows


def test_it_has_the_settings_of_the_demo_and_a_config_to_go_on_with(media: Path) -> None:
    made = trial(["a.mp4"], media / FOLDER)
    from pipeline.config import load_config

    demo = load_config(recipe_file(Recipe.DEMO))
    assert made.file.is_file()
    for section in ("transcribe", "score", "filter"):
        assert made.config.stage(section) == demo.stage(section)
    assert Path(made.config.output).parent == made.folder == media / FOLDER / made.folder.name


def test_the_same_videos_have_the_same_folder_and_others_another(media: Path) -> None:
    folders = [
        trial(videos, media / FOLDER).folder.name for videos in (["a.mp4"], ["./a.mp4"], ["deep"], ["a.mp4", "deep"])
    ]
    assert folders[0] == folders[1]
    assert len(set(folders)) == 3
    assert folders[0].startswith("a-")
    assert folders[3].startswith("a-and-1-more-")


def test_files_folders_and_urls_go_together_with_their_subtitles(media: Path) -> None:
    rows = listed("a.mp4", "deep", "https://example.org/watch?v=1")
    assert [row["source_id"] for row in rows] == ["a.mp4", "deep/b.mkv", "https://example.org/watch"]
    assert rows[0]["subtitles"] == str(media / "a.en.vtt")


def test_a_folder_does_not_hold_the_media_of_earlier_tries(media: Path) -> None:
    kept = media / FOLDER / "earlier" / "work" / "media" / "c.mp4"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"none")
    assert sorted(row["source_id"] for row in listed(".")) == ["./a.mp4", "./deep/b.mkv"]


def test_a_list_is_read_as_one(media: Path) -> None:
    (media / "mine.jsonl").write_text(json.dumps({"url": "a.mp4", "id": "first", "title": "A"}) + "\n")
    (row,) = listed("mine.jsonl")
    assert (row["source_id"], row["title"]) == ("first", "A")
    assert {one["source_id"] for one in listed("mine.jsonl", "deep")} == {"mine.jsonl/first", "deep/b.mkv"}


@pytest.mark.parametrize(("video", "said"), [("aa.mp4", "did you mean .*/a.mp4?"), ("nothing-like-it", "give a video")])
def test_a_place_with_nothing_is_told_before_anything_is_made(media: Path, video: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trial([video], media / FOLDER)
    assert not (media / FOLDER).exists()


def ended(*videos: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, ["try", *videos])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output.splitlines()


def test_the_demo_s_video_ends_with_its_document_and_a_page(
    demo_run: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work of the demo's run is there already, as that of an earlier try."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(NARRATED.parent, tmp_path / "demo")
    made = trial([str(NARRATED)], tmp_path / FOLDER)
    Path(made.config.manifest).write_text(json.dumps({"url": str(NARRATED), "id": "narrated.mp4"}) + "\n")
    shutil.copytree(demo_run.config.work, made.config.work, symlinks=True)
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(start, "_has_browser", lambda: True)
    monkeypatch.setattr("pipeline.trial.trial", lambda *_: made)
    code, lines = ended(str(NARRATED))
    assert code == 0
    assert lines[0] == lines[-1] == start.FOR_TRYING
    assert any("A red cup of coffee" in line for line in lines)
    assert lines[-2] == f"page: {made.page}"
    assert "low_similarity" in made.page.read_text(encoding="utf-8")
    assert opened == [made.page.as_uri()]


def test_what_is_no_video_is_told_with_its_reason_and_the_warning_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.md").write_text("no video\n")
    code, lines = ended("notes.md")
    assert code == 1
    assert "  notes.md: download.not_media: this is a text, not a video; check where the URL leads" in lines
    assert "storyloom: no document came out of 1 video: download.not_media 1" in lines
    assert lines[0] == lines[-1] == start.FOR_TRYING
    assert not any("are the demo's" in line for line in lines)


def test_a_missing_extra_is_named_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.extras.find_spec", lambda name: None if name == "av" else SimpleNamespace())
    result = CliRunner().invoke(app, ["try", str(NARRATED)])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).endswith(f"(av): {install('demo')}")
    assert list(tmp_path.iterdir()) == []


def test_a_changed_config_is_used_as_it_is_and_told(media: Path) -> None:
    made = trial(["a.mp4"], media / FOLDER)
    assert trial(["a.mp4"], media / FOLDER).told == ()
    made.file.write_text(made.file.read_text(encoding="utf-8").replace("/shards", "/mine"))
    again = trial(["a.mp4"], media / FOLDER)
    assert again.output == made.folder / "mine"
    (told,) = again.told
    assert told.startswith(f"{made.file} was changed: it is used as it is")


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_name_is_refused(media: Path, empty: str) -> None:
    with pytest.raises(UsageError, match="is empty"):
        trial([empty], media / FOLDER)
    assert not (media / FOLDER).exists()


def test_a_private_url_is_tried_again_as_its_remedy_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting makes all parts stale, so that nothing has failed under it yet."""
    monkeypatch.chdir(tmp_path)
    code, lines = ended("http://127.0.0.1:9/a.mp4")
    assert code == 1
    assert any("download.allow_private_addresses=true (by --set)" in line for line in lines)
    (config,) = (tmp_path / FOLDER).glob("*/config.yaml")
    changed = ["--set", "download.allow_private_addresses=true", "--retry", "private_address", "--dry-run"]
    result = CliRunner().invoke(app, ["run", str(config), *changed])
    assert result.exit_code == 0
    assert "no video failed" not in result.output
