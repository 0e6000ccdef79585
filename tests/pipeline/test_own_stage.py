"""A stage of a user's own is a stage like ours: no fork, a class that the config names."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pyarrow.parquet as pq
import pytest
import yaml

import stages.registry
from pipeline.cli import main
from pipeline.config import RunConfig, config_class, load_config
from pipeline.run import Selection, run
from pipeline.status import status
from pipeline.workspace import survey
from schemas.config import StageConfig
from schemas.media import MediaRow
from schemas.row import Row
from stages.base import Input, Stage, Video
from stages.registry import inputs_of
from storyloom.errors import UsageError
from tests import machine
from tests.pipeline.own_stages import ShareRow, SizeRow, Total
from tests.runs import CLIP_SETTINGS, ROOT, Finished, Recorder, clip, content_of, demo_config, made_by_run, run_quietly
from tests.test_docs import blocks

OWN = "stages=[" + ", ".join(f"'tests.pipeline.own_stages:{name}'" for name in ("Size", "Hint", "Sum", "Share")) + "]"

STAGES = ("download", "size", "hint", "sum", "share")

DEMO = str(ROOT / "configs" / "demo.yaml")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("short")
    for number in range(3):
        clip(folder / f"{number}.mp4", 8.0 * number, 1.0 + number, "-vf", "scale=160:-2")
    return folder


def own_config(folder: Path, manifest: Path, *overrides: str) -> RunConfig:
    return demo_config(folder, f"manifest={manifest}", *CLIP_SETTINGS, OWN, *overrides)


def selected(config: RunConfig) -> Selection:
    return Selection(tuple(name for name in STAGES if name in config.graph.names))


def sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in sorted(folder.glob("*.mp4"))}


def test_rows_tables_and_a_result_over_the_corpus(tmp_path: Path, short: Path) -> None:
    config = own_config(tmp_path, short)
    run_quietly(config, selected(config))
    finished, expected = Finished(config), sizes(short)
    assert {url: row.counts()["units"] for url, row in finished.rows("size").items()} == expected
    total = finished.workspace.job.results["sum"].value
    assert total == Total(videos=3, units=sum(expected.values()))
    shares = finished.rows("share")
    assert all(isinstance(row, ShareRow) and row.hinted == -1 for row in shares.values())
    assert sum(row.percent for row in shares.values() if isinstance(row, ShareRow)) == pytest.approx(100, abs=0.01)
    digits = [
        row["digit"]
        for file in sorted(Path(config.work).glob("size/*/part-*.digits.parquet"))
        for row in pq.read_table(file).to_pylist()
    ]
    assert sorted(digits) == sorted(int(digit) for size in expected.values() for digit in str(size))


def test_a_stage_that_is_off_costs_and_writes_nothing(tmp_path: Path, short: Path) -> None:
    config = own_config(tmp_path, short)
    run_quietly(config, selected(config))
    assert "hint" not in config.graph.names
    assert "hint" not in {one.stage for one in status(survey(config))}
    assert not Path(config.work, "hint").exists()
    with pytest.raises(UsageError, match=r"no stage 'hint' \(it is off"):
        run(config, Selection(("hint",)), Recorder())


def test_an_optional_input_follows_when_its_stage_is_on(tmp_path: Path, short: Path) -> None:
    off = own_config(tmp_path, short)
    run_quietly(off, selected(off))
    on = own_config(tmp_path, short, "hint.enabled=true")
    assert {stage: len(units) for stage, units in made_by_run(on, selected(on)).items()} == {"hint": 3, "share": 3}
    expected = {name: sum(int(digit) for digit in str(size)) for name, size in sizes(short).items()}
    found = {url: row.hinted for url, row in Finished(on).rows("share").items() if isinstance(row, ShareRow)}
    assert found == expected
    assert made_by_run(off, selected(off)) == {}


def test_a_changed_setting_makes_stale_the_stage_and_what_reads_it(tmp_path: Path, short: Path) -> None:
    config = own_config(tmp_path, short)
    run_quietly(config, selected(config))
    slower = own_config(tmp_path, short, "size.pause=0.5")
    assert made_by_run(slower, selected(slower)) == {}
    changed = own_config(tmp_path, short, "size.unit=1000")
    why = {one.stage: one.why for one in status(survey(changed)) if one.stage in STAGES and one.to_do}
    assert why["size"] == "size.unit 1 → 1000"
    made = made_by_run(changed, selected(changed))
    assert set(made) == {"size", "sum", "share"}
    assert {url: row.counts()["units"] for url, row in Finished(changed).rows("size").items()} == {
        name: size // 1000 for name, size in sizes(short).items()
    }


def test_a_stage_that_the_shards_do_not_read_neither_stops_nor_changes_them(tmp_path: Path, demo_run: Finished) -> None:
    config = demo_config(tmp_path, f"work={demo_run.config.work}", OWN)
    run_quietly(config, Selection(("write",)))
    assert [one.to_do for one in status(survey(config)) if one.stage == "size"] == [1]
    assert content_of(config.output) == content_of(demo_run.config.output)


def test_only_runs_the_stage_alone(tmp_path: Path, short: Path) -> None:
    config = own_config(tmp_path, short)
    run_quietly(config, Selection(("download",)))
    assert set(made_by_run(config, Selection(("size",)))) == {"size"}
    assert set(made_by_run(config, Selection(("size",), force=True))) == {"size"}


def test_summaries_of_old_parts_are_not_made_again_when_parts_are_added(tmp_path: Path, short: Path) -> None:
    lists = tmp_path / "list.txt"
    lists.write_text(f"{short / '0.mp4'}\n{short / '1.mp4'}\n")
    config = own_config(tmp_path, lists)
    run_quietly(config, selected(config))
    lists.write_text("".join(f"{short / name}\n" for name in sizes(short)))
    made = made_by_run(config, selected(config))
    assert len([unit for unit in made["sum"] if unit.startswith("part-")]) == 1
    assert [unit for unit in made["sum"] if not unit.startswith("part-")] == ["corpus"]
    assert (len(made["size"]), len(made["share"])) == (1, 3)  # the share of all changed
    total = Finished(config).workspace.job.results["sum"].value
    assert total == Total(videos=3, units=sum(sizes(short).values()))


def test_the_schemas_of_own_stages_are_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text())
    config["stages"] = ["tests.pipeline.own_stages:Size", "tests.pipeline.own_stages:Sum"]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setattr(
        "sys.argv", ["storyloom", "schema", "export", str(tmp_path / "json"), "--config", str(tmp_path / "own.yaml")]
    )
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert "units" in json.loads((tmp_path / "json" / "size-row.schema.json").read_text())["properties"]
    assert "digit" in json.loads((tmp_path / "json" / "size-digits-row.schema.json").read_text())["properties"]
    assert "videos" in json.loads((tmp_path / "json" / "sum-result.schema.json").read_text())["properties"]
    assert "size" in json.loads((tmp_path / "json" / "config.schema.json").read_text())["properties"]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("tests.pipeline.own_stages", "must read module:Class"),
        ("no_such_module:Stage", "cannot be imported"),
        ("tests.pipeline.own_stages:Nothing", "cannot be imported"),
        ("tests.pipeline.own_stages:Total", "is no subclass of"),
        ("tests.pipeline.own_stages:Share", "share reads 'size', which is no stage"),
    ],
)
def test_a_stage_that_cannot_be_used_is_named(tmp_path: Path, named: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        demo_config(tmp_path, f"stages=['{named}']")


def forget_stages() -> None:
    for cached in (stages.registry.registered, config_class):
        cached.cache_clear()


MINE = """
from schemas.config import StageConfig
from schemas.row import Row
from stages.base import Input, Stage

class Needy(StageConfig):
    depth: int

class MineRow(Row):
    depth: int = 0

class Mine(Stage[StageConfig, MineRow]):
    name = "mine"
    version = 1
    reads = (Input("download"),)
    row = MineRow
    Config = StageConfig

    def one(self, video):
        return MineRow(video=video.key)
"""


@pytest.fixture
def my_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the module `my_own` of a user lies, beside the start of a run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    forget_stages()
    yield tmp_path / "my_own.py"
    sys.modules.pop("my_own", None)
    forget_stages()


def refusal(folder: Path, *overrides: str) -> str:
    with pytest.raises(UsageError) as refused:
        demo_config(folder, "stages=['my_own:Mine']", *overrides)
    assert len(str(refused.value).splitlines()) == 1, str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def", "cannot be imported: SyntaxError: invalid syntax"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("raise ValueError('two\\nlines')", "cannot be imported: ValueError: two lines"),
        ("import no_such_package", "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"),
    ],
)
def test_a_module_that_fails_when_it_is_imported_is_named_with_the_reason(
    tmp_path: Path, my_module: Path, code: str, said: str
) -> None:
    my_module.write_text(code)
    message = refusal(tmp_path)
    assert f"stages: 'my_own:Mine' {said}" in message
    assert "my_own.py, line 1" in message


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('    name = "mine"\n', "", "lacks name"),
        ("    row = MineRow\n", "", "lacks row"),
        ("    Config = StageConfig\n", "", "lacks Config"),
        ("def one", "def two", "lacks the method one"),
        ("class Mine(Stage[StageConfig, MineRow])", "class Mine", "is no subclass of stages.base.Stage or GroupStage"),
        ('"mine"', '"../../evil"', "name '../../evil' must be small letters, digits and _"),
        ('"mine"', '"Mine"', "name 'Mine' must be small letters, digits and _"),
        ('"mine"', "7", "name 7 must be small letters, digits and _"),
        ("version = 1", 'version = "1"', "version '1' must be a whole number"),
        ("Config = StageConfig", "Config = Needy", "Config.depth needs a valid default: Field required"),
        (
            "Config = StageConfig",
            "Config = dict",
            "Config <class 'dict'> must be a subclass of schemas.config.StageConfig",
        ),
        ("row = MineRow", "row = dict", "row <class 'dict'> must be a subclass of schemas.row.Row"),
        ("depth: int = 0", "depth: int", "row: MineRow.depth needs a default"),
        ('(Input("download"),)', '("download",)', "reads has 'download' where Input('download') is needed"),
        ('(Input("download"),)', 'Input("download")', "a comma is missing: (Input('download'),)"),
        ('(Input("download"),)', '"download"', "reads must be a tuple of stages.base.Input, not 'download'"),
        ('"download"', "Row", "must have a stage's name"),
        ('Input("download"),', 'Input("download"), Input("download")', "from download, and could not tell them apart"),
        ('"download")', '"download", table="nope")', "download has no table 'nope'; it has: rows"),
        (
            '"download")',
            '"sample", without=("jpgs",))',
            "has 'jpgs', which is no field of FramesRow; did you mean 'jpegs'?",
        ),
        ('"download")', '"sample", without="jpegs")', "without='jpegs' must be a tuple: ('jpegs',)"),
        ('"download")', '"sample", without=("video",))', "'video' cannot be left out"),
        ('"download")', '"write")', "reads write, which writes files and has no rows to read"),
        ("version = 1", 'version = 1; manifest_fields = ("titel",)', "manifest_fields has 'titel'"),
        ("version = 1", 'version = 1; manifest_fields = ("titel",)', "did you mean 'title'?"),
        ("version = 1", 'version = 1; manifest_fields = "title"', "manifest_fields 'title' must be a tuple"),
        ("version = 1", 'version = 1; tables = {"rows": MineRow}', "a table may not have the name 'rows'"),
        ("version = 1", 'version = 1; tables = {"more": dict}', "tables['more'] <class 'dict'> must be a subclass of"),
        ("version = 1", 'version = 1; tables = {"more": MineRow}', "row and tables must be different models"),
        (
            "depth: int = 0",
            "depth: dict[str, int] = {}",
            "MineRow cannot be a Parquet table: field 'depth' has type dict",
        ),
        ("version = 1", "version = 1; tables = (MineRow,)", "tables must map names to row models"),
        (
            "    def one",
            "    inputs = classmethod(lambda cls, config: config.depth)\n    def one",
            "inputs() failed with",
        ),
    ],
)
def test_a_stage_that_breaks_the_contract_is_named_with_its_mistake(
    tmp_path: Path, my_module: Path, right: str, wrong: str, said: str
) -> None:
    assert right in MINE
    my_module.write_text(MINE.replace(right, wrong))
    message = refusal(tmp_path)
    assert said in message
    assert "mine" in message.lower()


def test_an_input_that_only_a_setting_asks_for_is_checked_too(tmp_path: Path, my_module: Path) -> None:
    code = MINE.replace("depth: int\n", "depth: int = 0\n").replace("Config = StageConfig", "Config = Needy")
    my_module.write_text(
        f"{code}\n    @classmethod\n    def inputs(cls, config):"
        "\n        return (Input('write'),) if config.depth else cls.reads\n"
    )
    demo_config(tmp_path, "stages=['my_own:Mine']")
    assert "the stage mine reads write, which writes files" in refusal(tmp_path, "mine.depth=1")


def test_a_stage_of_groups_that_reads_a_further_table_is_refused() -> None:
    class Letters(machine.Pack):
        reads = (Input("share"), Input("echo", table="letters"))

    with pytest.raises(UsageError, match="the stage pack: a stage of groups reads rows only, not the table 'letters'"):
        inputs_of(Letters, StageConfig(), {"share": machine.Share, "echo": machine.Echo})


def test_a_revision_that_raises_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.files(tmp_path, [1])
    monkeypatch.setattr(machine.Echo, "revision", lambda self: self.config.nothing)
    with pytest.raises(UsageError, match=r"echo\.revision\(\) failed: AttributeError"):
        survey(machine.config(tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        *("plan", "media", "attempts", "manifests", "summaries", "profile"),
        *("manifest", "work", "output", "seed", "stages", "runner", "prices", "parts"),
        *("graph", "stage", "section", "model_dump", "copy"),
    ],
)
def test_a_name_that_the_machine_uses_itself_is_refused(tmp_path: Path, my_module: Path, name: str) -> None:
    my_module.write_text(MINE.replace('"mine"', f'"{name}"'))
    assert f"stages: the name '{name}' of Mine is taken; choose another" in refusal(tmp_path)


@pytest.mark.parametrize("named", ["my_own:Mine", "{my_own: Mine}", "7", "[7]"])
def test_stages_that_are_no_list_of_names_are_refused(tmp_path: Path, named: str) -> None:
    assert "stages must be a list of module:Class" in refusal(tmp_path, f"stages={named}")


@pytest.mark.parametrize("named", [":Mine", "my_own:", "my_own"])
def test_a_stage_without_module_or_class_is_refused(tmp_path: Path, named: str) -> None:
    assert f"stages: '{named}' must read module:Class" in refusal(tmp_path, f"stages=['{named}']")


def test_a_broken_stage_of_an_installed_package_is_named_with_the_package(
    tmp_path: Path, my_module: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    my_module.write_text("1 / 0")
    info = tmp_path / "storyloom_mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: storyloom-mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[storyloom.stages]\nmine = my_own:Mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sys.argv", ["storyloom", "schema", "export", str(tmp_path / "json")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the stage 'mine' (my_own:Mine) of the installed package storyloom-mine cannot be imported" in line
    assert line.endswith("upgrade the package, or `pip uninstall storyloom-mine`")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_gives_the_same_bytes_of_own_stages_as_inline(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    works = {}
    for kind in ("inline", "ray"):
        config = own_config(tmp_path / kind, short, "hint.enabled=true", f"runner.kind={kind}")
        run_quietly(config, selected(config))
        works[kind] = content_of(config.work)
    assert {name for name in works["ray"] if name.startswith("share/")}
    assert works["ray"] == works["inline"]


class Tiny(Stage[StageConfig, SizeRow]):
    """A stage as one of ours would be: this class in its folder."""

    name: ClassVar[str] = "tiny"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[Input, ...]] = (Input("download"),)
    row: ClassVar[type[Row]] = SizeRow
    Config: ClassVar[type[StageConfig]] = StageConfig

    def one(self, video: Video) -> SizeRow:
        return SizeRow(video=video.key, units=len(video[MediaRow].media))


@pytest.fixture
def with_tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The registry with one more line."""
    monkeypatch.setattr(stages.registry, "STAGES", (*stages.registry.STAGES, Tiny))
    forget_stages()
    yield
    monkeypatch.undo()
    forget_stages()


@pytest.mark.usefixtures("with_tiny")
def test_a_stage_of_ours_costs_its_class_a_line_of_the_registry_and_a_section(tmp_path: Path, short: Path) -> None:
    content = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text())
    content["tiny"] = {"enabled": True}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(content))
    places = [f"manifest={short}", f"work={tmp_path / 'work'}", f"output={tmp_path / 'out'}", "runner.kind=inline"]
    config = load_config(tmp_path / "tiny.yaml", places)
    run_quietly(config, Selection(("download", "tiny")))
    assert {row.counts()["units"] > 0 for row in Finished(config).rows("tiny").values()} == {True}
    off = load_config(tmp_path / "tiny.yaml", [*places, "tiny.enabled=false"])
    assert "tiny" not in off.graph.names
    assert "tiny" in {one.stage for one in status(survey(config))}


def test_the_examples_of_the_documentation_run_as_they_are_printed(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "docs" / "stages.md"
    modules, (one, corpus) = blocks(page, "python"), blocks(page, "yaml")
    for code in modules:
        (tmp_path / code.split("\n", 1)[0].removeprefix("# ")).write_text(code)
    for name, section in (("my.yaml", one), ("corpus.yaml", corpus)):
        places = f"manifest: {short}\nwork: {tmp_path / 'work'}\noutput: {tmp_path / 'out'}\n"
        (tmp_path / name).write_text(places + section)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    only = [part for name in ("download", "sample", "brightness") for part in ("--only", name)]
    for arguments in (
        ["run", "my.yaml", *only],
        ["status", "my.yaml"],
        ["schema", "export", "json", "--config", "my.yaml"],
        ["run", "corpus.yaml", *only, "--only", "usual", "--only", "unusual"],
    ):
        monkeypatch.setattr("sys.argv", ["storyloom", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, capsys.readouterr()
    finished = Finished(load_config(tmp_path / "my.yaml"))
    for url, row in finished.rows("brightness").items():
        values = row.model_dump()
        assert len(values["luma"]) == finished.rows("sample")[url].counts()["frames"] > 0
        assert values["dark"] == sum(value < 60.0 for value in values["luma"])
    assert (tmp_path / "json" / "brightness-row.schema.json").exists()
    rows = Finished(load_config(tmp_path / "corpus.yaml")).rows("unusual").values()
    assert len(rows) == 3
    assert sum(row.model_dump()["brighter_by"] for row in rows) == pytest.approx(0.0, abs=0.01)
    with pytest.raises(UsageError, match=r"no stage 'usual' \(it is off, or nothing reads it"):
        run(
            load_config(tmp_path / "corpus.yaml", ["stages=['brightness:Brightness', 'usual:UsualStep']"]),
            Selection(("usual",)),
            Recorder(),
        )
    for name in ("brightness", "usual"):
        sys.modules.pop(name)
