"""The manifest's lines by part, in memory and in the file that workers read."""

import errno
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import lines as lines_by_part
from pipeline.lines import Lines, part_lines
from pipeline.manifest import SCHEMA, Rows
from pipeline.plan import Plan, make_plan
from schemas.config import PartsConfig
from schemas.manifest import ManifestRow
from storyloom.errors import RunFailed
from storyloom.fs.files import files_at
from tests.manifests import table


def manifest(count: int) -> list[ManifestRow]:
    return [ManifestRow(video=f"{n:020x}", url=f"/{n}.mp4", source_id=f"{n}.mp4") for n in range(count)]


def made(rows: list[ManifestRow], folder: Path, size: int = 3) -> tuple[Plan, Lines]:
    plan = make_plan([row.video for row in rows], files_at(folder), PartsConfig(videos=size), 0)
    return plan, Lines(Rows(SCHEMA, [table(rows)]), plan)


def test_a_part_holds_the_lines_of_its_videos_unchanged_and_in_its_order(tmp_path: Path) -> None:
    line = ManifestRow(
        video="f" * 20,
        url="v.mp4",
        folder="/f",
        source_id="x",
        subtitles="v.vtt",
        title="T",
        language="en",
        license="CC0",
    )
    plan, lines = made([*manifest(5), line], tmp_path)
    file = lines.save(files_at(tmp_path))
    for part, members in plan.members.items():
        assert [row.video for row in lines[part]] == list(members)
        assert part_lines(files_at(tmp_path), file, part) == lines[part]
    assert [row for part in plan.parts for row in lines[part] if row.video == line.video] == [line]


def test_every_video_of_a_part_lies_in_one_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_by_part, "ROW_GROUP", 7)
    plan, lines = made(manifest(100), tmp_path)
    file = lines.save(files_at(tmp_path))
    groups = pq.ParquetFile(tmp_path / file)
    assert groups.num_row_groups == 12
    parts = [set(groups.read_row_group(number)["part"].to_pylist()) for number in range(groups.num_row_groups)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(plan.parts)
    found = [row.source_id for part in plan.parts for row in part_lines(files_at(tmp_path), file, part)]
    assert sorted(found) == sorted(f"{n}.mp4" for n in range(100))


def test_a_part_that_was_never_planned_is_named(tmp_path: Path) -> None:
    _, lines = made(manifest(4), tmp_path)
    file = lines.save(files_at(tmp_path))
    for part in ("0", "0000000-00000000", "0000001-00000000", "nowhere"):
        with pytest.raises(KeyError, match=part):
            part_lines(files_at(tmp_path), file, part)


def test_the_file_is_named_by_its_content(tmp_path: Path) -> None:
    rows = manifest(4)
    _, lines = made(rows, tmp_path)
    file = lines.save(files_at(tmp_path))
    assert file == lines.name
    assert made(rows, tmp_path)[1].save(files_at(tmp_path)) == file
    renamed = [row.model_copy(update={"title": "renamed"}) for row in rows]
    assert made(renamed, tmp_path)[1].save(files_at(tmp_path)) != file


def test_a_damaged_file_is_named_and_written_anew_by_the_next_run(tmp_path: Path) -> None:
    plan, lines = made(manifest(4), tmp_path)
    files = files_at(tmp_path)
    file = tmp_path / lines.save(files)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunFailed, match=rf"{file.name}, the manifest as workers read it, is damaged .*run again"):
        part_lines(files, lines.name, plan.parts[0])
    assert files.read(lines.save(files)) == whole


def test_parts_are_found_by_the_manifests_ids_of_their_videos(tmp_path: Path) -> None:
    plan, lines = made(manifest(7), tmp_path)
    (part,) = lines.parts_with(["3.mp4"])
    assert f"{3:020x}" in plan.members[part]
    assert set(lines.parts_with([f"{n}.mp4" for n in range(7)])) == set(plan.parts)
    assert lines.parts_with(["nothing"]) == []


def test_a_file_that_is_damaged_in_the_cache_alone_is_brought_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    plan, lines = made(manifest(4), tmp_path)
    files = files_at("memory://damaged-lines/work")
    name, part = lines.save(files), plan.parts[0]
    assert part_lines(files, name, part) == lines[part]
    (cached,) = (tmp_path / "cache").glob("files/li/lines-*[!k]")
    content = cached.read_bytes()
    cached.write_bytes(content[:200] + bytes(200) + content[400:])
    assert part_lines(files, name, part) == lines[part]


def test_a_file_that_is_damaged_in_its_store_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    plan, lines = made(manifest(4), tmp_path)
    files = files_at("memory://damaged-lines-of-the-store/work")
    name = lines.save(files)
    files.replace(name, files.read(name)[:200])
    with pytest.raises(RunFailed, match=rf"{name}, the manifest as workers read it, is damaged .*run again"):
        part_lines(files, name, plan.parts[0])
    files.remove(name)
    with pytest.raises(RunFailed, match=rf"{name}, the manifest as workers read it, is gone; run again"):
        part_lines(files, name, plan.parts[0])


def test_what_fails_on_this_machine_is_not_said_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, lines = made(manifest(4), tmp_path)
    files = files_at(tmp_path)
    name = lines.save(files)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("pipeline.lines.ParquetFile", fail)
    with pytest.raises(OSError, match="Too many open files"):
        part_lines(files, name, plan.parts[0])
