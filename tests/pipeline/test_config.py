"""The config: what is wrong is named, with the nearest right name."""

import pickle
import re
from pathlib import Path

import pytest

from pipeline.config import config_class, load_config
from stages.filter.stage import FilterConfig
from stages.registry import StageNotUsable
from storyloom.errors import UsageError

ROOT = Path(__file__).parents[2]
GOOD = "manifest: list.txt\nwork: work\noutput: out\n"


def config(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["demo", "local", "cluster"])
def test_the_configs_of_this_repository_load(name: str) -> None:
    load_config(ROOT / "configs" / f"{name}.yaml")


def test_set_overrides_a_nested_key_and_its_value_is_yaml(tmp_path: Path) -> None:
    loaded = load_config(config(tmp_path, GOOD), ["filter.threshold=0.25", "download.resources.cpus=2", "seed=7"])
    assert (loaded.section(FilterConfig).threshold, loaded.stage("download").resources.cpus, loaded.seed) == (
        0.25,
        2.0,
        7,
    )


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (GOOD + "filtre: {}\n", [], "filtre: unknown key; did you mean 'filter'?"),
        (GOOD + "filter:\n  treshold: 0.2\n", [], "filter.treshold: unknown key; did you mean 'threshold'?"),
        ("work: w\noutput: o\n", [], "manifest: missing"),
        (GOOD + "seed: many\n", [], "got 'many'"),
        (GOOD, ["sample.max_side=for:qwen3-vll@256"], "no model 'qwen3-vll', did you mean 'qwen3-vl'?"),
        (GOOD, ["sample.max_side=for:qwen3-vl"], "is neither a number of pixels nor for:MODEL@TOKENS"),
        (GOOD, ["sample.max_side=8"], "expected whole number, 16 to 16,384 or text, got 8"),
        (GOOD, ["seed"], "--set takes key=value"),
        (GOOD + "seed: 1\n", ["seed.a.b=1"], "'seed' is a value"),
        (GOOD, ["write.max_image=3"], "did you mean 'max_images'?"),
        ("- a list", [], "must hold keys and values"),
        ("a: [", [], "cannot be read as YAML"),
    ],
)
def test_a_wrong_config_says_what_is_wrong(tmp_path: Path, text: str, overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        load_config(config(tmp_path, text), overrides)
    assert message in str(refused.value)


def test_a_section_whose_lines_are_all_commented_out_is_an_empty_one(tmp_path: Path) -> None:
    text = GOOD + "stages:\nrunner:\nfilter:\n  # threshold: 0.2\nscore:\n  resources:\n"
    assert load_config(config(tmp_path, text)) == load_config(config(tmp_path, GOOD))
    loaded = load_config(config(tmp_path, text), ["filter.threshold=0.25"])
    assert loaded.section(FilterConfig).threshold == 0.25


def test_a_value_that_fits_no_member_of_a_union_is_named_once_and_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        load_config(config(tmp_path, GOOD), ["filter.threshold=high", "filter.resources.gpus=all"])
    _, *lines = str(refused.value).splitlines()
    assert [line.split(": ")[0].strip() for line in lines] == ["filter.resources.gpus", "filter.threshold"]
    assert lines[1].endswith("got 'high'")
    assert lines[1].strip() == "filter.threshold: expected calibrated or number, -1 to 1, got 'high'"


@pytest.mark.parametrize(
    "text", ["seed: 1\nfilter: {}\nseed: 2\n", "filter:\n  min_words: 1\n  min_words: 2\n", "a: &a {b: 1, b: 2}\n"]
)
def test_a_key_that_is_there_twice_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"is there twice\n.*line \d, column"):
        load_config(config(tmp_path, GOOD + text))


def test_a_key_may_override_one_that_is_merged_in(tmp_path: Path) -> None:
    text = GOOD + "filter: &same\n  resources: &few {cpus: 1}\nscore:\n  resources: {<<: *few, cpus: 2}\n"
    assert load_config(config(tmp_path, text)).stage("score").resources.cpus == 2


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no config at"):
        load_config(tmp_path / "nothing.yaml")


def test_resources_do_not_enter_a_stages_identity(tmp_path: Path) -> None:
    one = load_config(config(tmp_path, GOOD), ["align.resources.cpus=4"])
    two = load_config(config(tmp_path, GOOD))
    assert one.stage("align").identity() == two.stage("align").identity()


def test_documents_may_not_hold_more_images_than_shards_declare(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"filter\.max_images"):
        load_config(config(tmp_path, GOOD), ["filter.max_images=40"])


@pytest.mark.parametrize("key", ["work", "output"])
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("sftp://host/folder", "nothing is written to sftp://, but to paths, s3://, gs://, az://, memory://"),
        ("https://example.org/folder", "nothing is written to https://"),
        ("zip://a.zip::s3://bucket/folder", "a folder in a store is named as in s3://bucket/folder"),
        ("s3://bucket/x/../folder", "a URL has no . and .. in its path"),
        ("s3:///folder", "a folder in a store is named as in s3://bucket/folder"),
        ("s3://key:secret@bucket/folder", "credentials belong into the environment"),
        ("s3://bucket/folder?token=secret", "credentials belong into the environment"),
        ("file://host/folder", "names another machine"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_a_folder_of_its_name_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, place: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"{key}: .*{re.escape(said)}") as refused:
        load_config(config(tmp_path, GOOD), [f"{key}={place}"])
    assert "secret" not in str(refused.value)
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("place", "taken"),
    [
        ("s3a://bucket/folder/", "s3://bucket/folder"),
        ("s3://bucket//a//folder", "s3://bucket/a/folder"),
        ("abfs://container/folder", "az://container/folder"),
        ("file:///tmp/a%20folder", "/tmp/a folder"),
    ],
)
def test_a_folder_has_one_name(tmp_path: Path, place: str, taken: str) -> None:
    assert load_config(config(tmp_path, GOOD), [f"work={place}"]).work == taken


OWN = "stages: [tests.machine:Measure]\n"


def test_a_stage_of_ones_own_has_a_section_of_its_own(tmp_path: Path) -> None:
    loaded = load_config(config(tmp_path, GOOD + OWN + "measure:\n  most: 7\n"))
    assert "measure" in loaded.graph.names
    assert loaded.stage("measure").identity() == {"most": 7}
    with pytest.raises(UsageError, match="measure\\.mots: unknown key; did you mean 'most'"):
        load_config(config(tmp_path, GOOD + OWN + "measure:\n  mots: 7\n"))


def test_a_config_with_a_stage_of_ones_own_travels_to_another_process(tmp_path: Path) -> None:
    loaded = load_config(config(tmp_path, GOOD + OWN + "measure:\n  most: 7\n"))
    copy = pickle.loads(pickle.dumps(loaded))
    assert copy == loaded
    assert type(copy) is config_class(loaded.stages)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tests.machine", "must read module:Class"),
        ("tests.nowhere:Stage", "cannot be imported"),
        ("tests.machine:Nothing", "cannot be imported"),
        ("tests.machine:MeasureRow", "is no subclass of stages.base.Stage or GroupStage"),
        ("tests.machine:Echo", "echo reads 'measure', which is no stage"),
    ],
)
def test_a_stage_that_cannot_be_used_is_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config(config(tmp_path, f"{GOOD}stages: ['{name}']\n"))
    with pytest.raises(StageNotUsable):
        config_class((name,))


def test_a_stage_that_is_on_may_not_read_one_that_is_off(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"set download\.enabled to true"):
        load_config(config(tmp_path, GOOD), ["download.enabled=false"])
