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
from schemas.row import Row
from schemas.rows import MediaRow
from stages.base import Input, Stage, Video
from storyloom.errors import UsageError
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
    for cached in (stages.registry.registered, config_class):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (stages.registry.registered, config_class):
        cached.cache_clear()


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
