"""Commands that only look write nothing, and places that do not work yet are refused."""

from pathlib import Path

import pytest

from pipeline.cli import main
from tests.runs import ROOT, Finished

DEMO = str(ROOT / "configs" / "demo.yaml")


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of the program itself, with its last step that turns errors into messages."""
    monkeypatch.setattr("sys.argv", ["storyloom", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("status", 0),
        ("status --json", 0),
        ("report", 1),
        ("report --json", 1),
        ("run --dry-run", 0),
        ("run --dry-run --force", 0),
        ("run --dry-run --retry", 0),
        ("gc --dry-run", 0),
        ("gc", 0),
    ],
)
def test_a_mistyped_work_folder_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, expected: int
) -> None:
    places = ["--set", f"work={tmp_path / 'wrok' / 'deep'}", "--set", f"output={tmp_path / 'uot'}"]
    name, *options = command.split()
    code = called(monkeypatch, name, DEMO, "--set", f"manifest={ROOT / 'demo' / 'videos.txt'}", *places, *options)
    assert code == expected
    assert tree(tmp_path) == []


def test_a_page_of_figures_makes_no_work_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo_run: Finished
) -> None:
    arguments = ["--html", str(tmp_path / "page.html"), "--config", DEMO, "--set", f"work={tmp_path / 'wrok'}"]
    arguments += ["--set", f"manifest={demo_run.config.manifest}"]
    called(monkeypatch, "stats", demo_run.config.output, *arguments)
    assert "wrok" not in tree(tmp_path)


@pytest.mark.parametrize("look", ["status", "report", "run --dry-run", "gc --dry-run"])
def test_a_look_at_a_finished_run_changes_no_file(
    monkeypatch: pytest.MonkeyPatch, demo_run: Finished, look: str
) -> None:
    def state() -> dict[str, int]:
        folders = (Path(demo_run.config.work), Path(demo_run.config.output))
        return {str(path): path.lstat().st_mtime_ns for folder in folders for path in folder.rglob("*")}

    before = state()
    places = [f"{key}={getattr(demo_run.config, key)}" for key in ("manifest", "work", "output")]
    name, *options = look.split()
    assert called(monkeypatch, name, DEMO, *(part for place in places for part in ("--set", place)), *options) == 0
    assert state() == before


@pytest.mark.parametrize("setting", ["work=sftp://host/x", "output=https://host/out", "work=hf://x/y"])
@pytest.mark.parametrize("command", ["run", "status"])
def test_a_place_that_nothing_is_written_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert called(monkeypatch, command, DEMO, "--set", setting) == 2
    key, _, place = setting.partition("=")
    scheme = place.partition("://")[0]
    said = capsys.readouterr().err
    assert f"{key}: nothing is written to {scheme}://, but to paths, s3://" in said
    assert tree(tmp_path) == []


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("stats OUT --html s3://bucket/page.html", "--html"),
        ("validate OUT --junit s3://bucket/x.xml", "--junit"),
        ("schema export s3://bucket/json", "DIR"),
        ("schema check s3://bucket/json", "DIR"),
        ("bench align --json s3://bucket/x.json", "--json"),
    ],
)
def test_a_url_where_only_a_file_or_folder_serves_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert called(monkeypatch, *command.split()) == 2
    message = capsys.readouterr().err
    assert "only folders and files of this machine's file systems serve here, not s3://" in message
    assert named in message
    assert tree(tmp_path) == []
