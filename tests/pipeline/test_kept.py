"""A large manifest that did not change is not read again, and one that did is never taken for what it was."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline import kept, workspace
from pipeline.config import RunConfig
from pipeline.manifest import Listed
from pipeline.run import Selection
from pipeline.workspace import Workspace, survey
from storyloom.errors import RunFailed
from storyloom.fs.files import files_at
from tests.machine import Measure, config, prepared, ran

COUNT = 30


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of enough videos, which was written long ago."""
    monkeypatch.setattr(kept, "FROM", COUNT)
    monkeypatch.setattr(kept, "SETTLED_NS", 0)  # else the time of the change of the inode would be too young
    return written(tmp_path, range(COUNT))


def written(folder: Path, numbers: range, name: str = "list.txt") -> Path:
    (folder / name).write_text("".join(f"https://videos.example.org/{n}.mp4\n" for n in numbers))
    return folder / name


def of(manifest: Path, **parts: object) -> RunConfig:
    return config(manifest.parent, manifest=str(manifest), parts={"videos": 3, "group": 2, **parts})


def planned(found: Workspace) -> tuple[object, ...]:
    plan = found.plan
    lines = [found.lines[part] for part in plan.parts]
    sums = (plan.videos_sha256, plan.videos_left_out, tuple(found.lines.group_digests(2)), found.lines.name)
    columns = (plan.parts[:], plan.slots[:], plan.videos[:], plan.first_in_slot[:], dict(plan.left_out))
    return (*columns, *sums, lines, found.lines.places(), found.told, dict(found.job.groups))


def reads(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Grows with each time that a manifest is read."""
    found: list[RunConfig] = []
    read = workspace.listed

    def counted(config: RunConfig) -> Listed:
        found.append(config)
        return read(config)

    monkeypatch.setattr(workspace, "listed", counted)
    return found


@pytest.mark.parametrize("parts", [{}, {"limit": 7}, {"sample": 0.3}], ids=["all", "limit", "sample"])
def test_what_was_kept_is_what_reading_gives(
    listed: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, object]
) -> None:
    first = planned(survey(of(listed, **parts), write=True))
    read = reads(monkeypatch)
    assert planned(survey(of(listed, **parts))) == first
    assert planned(survey(of(listed, **parts), write=True)) == first
    assert read == []


def _longer(manifest: Path) -> None:
    written(manifest.parent, range(COUNT + 1))


def _of_one_size(manifest: Path) -> None:
    manifest.write_text(manifest.read_text().replace("/7.mp4", "/x.mp4"))


def _replaced_by_an_old_one(manifest: Path) -> None:
    before = manifest.stat()
    written(manifest.parent, range(COUNT), "new")
    (manifest.parent / "new").write_text(manifest.read_text().replace("/7.mp4", "/x.mp4"))
    os.utime(manifest.parent / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (manifest.parent / "new").replace(manifest)


@pytest.mark.parametrize("change", [_longer, _of_one_size, _replaced_by_an_old_one])
def test_a_list_that_changed_is_read(listed: Path, change: Callable[[Path], None]) -> None:
    before = survey(of(listed), write=True)
    change(listed)
    after = survey(of(listed))
    assert {line.url for part in after.plan.parts for line in after.lines[part]} == set(listed.read_text().split())
    assert after.lines.name != before.lines.name


@pytest.mark.parametrize(
    "setting",
    [{"seed": 5}, {"parts": {"videos": 3, "group": 3}}, {"url_parameters": ["v"]}, {"columns": {"title": "name"}}],
    ids=["seed", "group", "url_parameters", "columns"],
)
def test_other_settings_read_the_list(
    listed: Path, monkeypatch: pytest.MonkeyPatch, setting: dict[str, object]
) -> None:
    survey(of(listed), write=True)
    read = reads(monkeypatch)
    changed = {"manifest": str(listed), "parts": {"videos": 3, "group": 2}, **setting}
    survey(config(listed.parent, **changed))
    assert len(read) == 1


def test_another_version_of_a_stage_that_recognises_lists_reads_the_list(
    listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Measure, "lists", classmethod(lambda cls, urls, config: []))
    survey(of(listed), write=True)
    read = reads(monkeypatch)
    survey(of(listed))
    assert read == []
    monkeypatch.setattr(Measure, "version", Measure.version + 1)
    survey(of(listed))
    assert len(read) == 1


def test_a_package_of_a_stage_that_comes_to_any_place_makes_the_list_be_read(
    tmp_path: Path, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """yt-dlp is often another one than that of the environment, in a folder of `PYTHONPATH`."""
    survey(of(listed), write=True)
    read = reads(monkeypatch)
    (tmp_path / "packages" / "yt_dlp").mkdir(parents=True)
    (tmp_path / "packages" / "yt_dlp" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "yt_dlp", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    survey(of(listed))
    assert len(read) == 1


def test_a_plan_that_another_run_extended_is_read(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survey(of(listed), write=True)
    survey(of(written(listed.parent, range(COUNT + 9), "longer.txt")), write=True)
    read = reads(monkeypatch)
    survey(of(listed))
    assert len(read) == 1


def test_a_subtitle_file_that_appears_beside_local_videos_is_found(tmp_path: Path, listed: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    listed.write_text("".join(f"videos/{n}.mp4\n" for n in range(COUNT)))
    (videos / "3.mp4").touch()
    survey(of(listed), write=True)
    (videos / "3.vtt").touch()
    after = survey(of(listed))
    found = [line.subtitles for part in after.plan.parts for line in after.lines[part] if line.subtitles]
    assert found == ["videos/3.vtt"]


def test_media_and_subtitles_that_are_links_are_looked_at_each_time(tmp_path: Path, listed: Path) -> None:
    """As those of git-annex and DVC are: their folder does not change when what they lead to comes."""
    for folder in ("videos", "annex"):
        (tmp_path / folder).mkdir()
    listed.write_text("".join(f"videos/{n}.mp4\n" for n in range(COUNT)))
    for name in ("3.mp4", "3.vtt"):
        (tmp_path / "videos" / name).symlink_to(tmp_path / "annex" / name)
    survey(of(listed), write=True)
    for name in ("3.mp4", "3.vtt"):
        (tmp_path / "annex" / name).touch()
    after = survey(of(listed))
    found = [line.subtitles for part in after.plan.parts for line in after.lines[part] if line.subtitles]
    assert found == ["videos/3.vtt"]


def test_what_changed_a_moment_ago_is_not_kept(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SETTLED_NS", 10 * 10**9)
    survey(of(listed), write=True)
    assert not (listed.parent / "work" / kept.FOLDER).exists()


@pytest.mark.parametrize(("version", "kept_of_it"), [({"ETag": '"a1"'}, True), ({}, False)], ids=["tag", "time alone"])
def test_a_list_in_a_store_that_tells_only_its_time_is_not_kept(
    listed: Path, monkeypatch: pytest.MonkeyPatch, version: dict[str, str], *, kept_of_it: bool
) -> None:
    """Another list of the same size may be written within the same second."""

    class Told(MemoryFileSystem):  # type: ignore[misc]
        def info(self, path: str, **options: Any) -> dict[str, Any]:
            return {**super().info(path, **options), **version}

    monkeypatch.setattr("pipeline.manifest.remote._storage", lambda url: Told())
    MemoryFileSystem().pipe_file("/kept/list.txt", listed.read_bytes())
    survey(config(listed.parent, manifest="memory://kept/list.txt", parts={"videos": 3, "group": 2}), write=True)
    assert (listed.parent / "work" / kept.FOLDER).exists() == kept_of_it


def test_a_small_manifest_is_not_kept(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "FROM", COUNT + 1)
    survey(of(listed), write=True)
    assert not (listed.parent / "work" / kept.FOLDER).exists()


def test_looking_alone_keeps_nothing(listed: Path) -> None:
    survey(of(listed))
    assert not (listed.parent / "work").exists()


def test_damage_of_what_was_kept_makes_the_list_be_read(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = planned(survey(of(listed), write=True))
    (file,) = (listed.parent / "work" / kept.FOLDER).iterdir()
    whole, read = file.read_bytes(), reads(monkeypatch)
    places = [0, 5, len(whole) // 4, len(whole) // 2, len(whole) - 200, len(whole) - 1]
    for place in places:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        assert planned(survey(of(listed))) == first
    file.write_bytes(whole[:100])
    assert planned(survey(of(listed))) == first
    assert len(read) > 2  # some bytes say nothing


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_damaged_lines_of_workers_are_not_used_and_mended_by_a_run(listed: Path, damage: str) -> None:
    before = survey(of(listed), write=True)
    file = listed.parent / "work" / before.lines.name
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    assert planned(survey(of(listed))) == planned(before)
    survey(of(listed), write=True)
    assert file.read_bytes() == whole


def test_lines_that_are_damaged_while_a_command_looks_are_named(listed: Path) -> None:
    first = survey(of(listed), write=True)
    looking = survey(of(listed))
    file = listed.parent / "work" / first.lines.name
    file.write_bytes(file.read_bytes()[:-300])
    looking.lines._group = None
    with pytest.raises(RunFailed, match=rf"{file.name}, the manifest as workers read it, is damaged .*run again"):
        looking.lines[looking.plan.parts[0]]


def test_what_is_kept_is_for_its_owner_alone_and_no_garbage(listed: Path) -> None:
    from pipeline.gc import collect

    survey(of(listed), write=True)
    (file,) = (listed.parent / "work" / kept.FOLDER).iterdir()
    assert file.stat().st_mode & 0o077 == 0
    assert collect([of(listed)])["attempts and profiles"] == []
    found = collect([of(listed, videos=2)])["attempts and profiles"]
    assert [one.name for one in found] == [f"{kept.FOLDER}/{file.name}"]


def test_a_run_over_what_was_kept_does_what_a_run_over_the_list_does(tmp_path: Path, listed: Path) -> None:
    ran(of(listed), Selection(only=("measure",)))
    assert prepared(of(listed)).done("measure").keys() == set(survey(of(listed)).plan.parts)
    assert files_at(tmp_path / "work").entries(kept.FOLDER)
