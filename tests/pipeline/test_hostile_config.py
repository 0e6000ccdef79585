"""Configs and `--set` that are wrong on purpose: each ends in a typed error within a second."""

import math
import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from pipeline.cli import main
from pipeline.config import config_class, load_config
from pipeline.config_file import MOST_BYTES
from stages.transcribe.settings import TranscribeConfig
from storyloom.errors import UsageError

GOOD = "manifest: list.txt\nwork: work\noutput: out\n"

SECONDS = 2.0
"""Of the processor for a refusal: no more than a second on a machine that is not busy."""

PAIRS = list(pairwise("abcdefghijklmnopqrstu"))
BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in PAIRS)
MERGE_BOMB = "a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{<<: [*{a}, *{a}]}}\n" for a, b in PAIRS)

HOSTILE = {
    "lists within lists": GOOD + "seed: " + "[" * 20_000,
    "closed lists within lists": GOOD + "seed: " + "[" * 9_000 + "]" * 9_000,
    "mappings within mappings": GOOD + "seed: " + "{a: " * 9_000,
    "dashes": GOOD + "seed: " + "- " * 9_000,
    "question marks": GOOD + "? " * 9_000,
    "sections within sections": "".join(" " * n + f"a{n}:\n" for n in range(300)),
    "an alias bomb": GOOD + BOMB,
    "a merge bomb": GOOD + MERGE_BOMB,
    "a long text many times": GOOD + "a: &a " + "x" * 30_000 + "\nb: [" + "*a, " * 5_000 + "]\n",
    "an alias within itself": GOOD + "a: &a [*a]\n",
    "a merge of itself": GOOD + "a: &a {<<: *a}\n",
    "an unknown alias": GOOD + "seed: *nothing\n",
    "a seed of 5,000 digits": GOOD + "seed: " + "1" * 5_000 + "\n",
    "a hexadecimal seed of 5,000 digits": GOOD + "seed: 0x" + "f" * 5_000 + "\n",
    "a sexagesimal seed": GOOD + "seed: 1:" + "59:" * 3_000 + "59\n",
    "a seed in quotes of 5,000 digits": GOOD + f"seed: '{'1' * 5_000}'\n",
    "a seed of 31 digits": GOOD + "seed: " + "1" * 31 + "\n",
    "an exponent": GOOD + "filter: {min_sharpness: 1e999}\n",
    "20,000 unknown keys": GOOD + "".join(f"k{n}: \n" for n in range(9_000)),
    "a key of 60,000 characters": GOOD + "k" * 60_000 + ": 1\n",
    "too many bytes": GOOD + "#" * MOST_BYTES,
    "a key twice in braces": GOOD + "filter: {min_words: 1, min_words: 2}\n",
    "a key twice, once in quotes": GOOD + "seed: 1\n'seed': 2\n",
    "two merges": GOOD + "a: &a {cpus: 1}\nb: &b {cpus: 2}\nscore:\n  resources:\n    <<: *a\n    <<: *b\n",
    "a merge of a text": GOOD + "score: {<<: text}\n",
    "a python object": GOOD + "seed: !!python/object/apply:os.getpid []\n",
    "a tag of bytes": "manifest: !!binary aGVsbG8=\nwork: w\noutput: o\n",
    "a tag of a set": GOOD + "stages: !!set {a, b}\n",
    "a tag of a number": GOOD + "seed: !!int '7'\n",
    "a local tag": GOOD + "seed: !secret 7\n",
    "two documents": GOOD + "---\n" + GOOD,
    "a list as key": GOOD + "? [a, b]\n: 1\n",
    "a number as key": GOOD + "1: 2\n",
    "nothing as key": GOOD + "~: 2\n",
    "truth as key": GOOD + "true: 2\n",
    "a tab": GOOD + "filter:\n\tmin_words: 1\n",
    "nothing": "",
    "a comment": "# nothing\n",
    "null": "null\n",
    "a text": "manifest\n",
    "a NUL in a text": 'manifest: "a\\0b"\nwork: w\noutput: o\n',
    "an escape in a key": GOOD + '"\\e[31m": 1\n',
    "a lone surrogate": 'manifest: "\\ud800"\nwork: w\noutput: o\n',
    "a folder's name that is too long": GOOD.replace("work: work", f"work: {'w' * 300}"),
    "a path that is too long": GOOD.replace("work: work", f"work: {'w/' * 3000}"),
    "a home of nobody": GOOD.replace("output: out", "output: ~no.such.user/out"),
    "a list as a path": GOOD.replace("work: work", "work: [work]"),
    "truth as a number": GOOD + "filter: {min_words: true}\n",
    "truth among words and numbers": GOOD + "score: {batch: yes}\n",
    "half a word": GOOD + "align: {min_words: 2.5}\n",
    "a section of texts": GOOD + "filter: [threshold]\n",
    "a stage within the package": GOOD + "stages: ['..x:Y']\n",
    "a stage of NUL": GOOD + "stages: ['a:b c']\n",
}


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_refused_at_once(tmp_path: Path, name: str) -> None:
    file, began = written(tmp_path, HOSTILE[name]), time.process_time()
    with pytest.raises(UsageError) as refused:
        load_config(file)
    assert time.process_time() - began < SECONDS
    assert len(str(refused.value)) < 200_000
    assert str(refused.value).isprintable() or "\n" in str(refused.value)


NUMBERS = [".inf", "-.inf", ".nan", "inf", "nan", "Infinity", "1e999", "1" + "0" * 30, "-1" + "0" * 30]


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize(
    "key", ["transcribe.seconds", "download.timeout", "sample.memory", "align.resources.memory", "seed", "parts.videos"]
)
def test_a_number_without_end_is_refused(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(UsageError, match=rf"{key}: "):
        load_config(written(tmp_path, GOOD), [f"{key}={value}"])


def _numbers(model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str]]:
    for name, field in model.model_fields.items():
        members = list(_members(field.annotation))
        if {int, float} & {one for one in members if isinstance(one, type)}:
            yield model, name
        for one in members:
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from _numbers(one)


def _members(annotation: Any) -> Iterator[Any]:
    yield annotation
    if get_origin(annotation) is not Literal:
        for one in get_args(annotation):
            yield from _members(one)


def _refuses(model: type[BaseModel], key: str, value: float) -> bool:
    try:
        model.model_validate({key: value})
    except ValidationError as refused:
        return any(error["loc"][:1] == (key,) for error in refused.errors())
    return False


NUMBERS_OF_CONFIGS = {f"{model.__name__}.{name}": (model, name) for model, name in _numbers(config_class())}


def test_the_walk_over_the_config_finds_its_numbers() -> None:
    assert {"RunConfig.seed", "Resources.gpus", "VadConfig.pad", "FilterConfig.threshold"} <= NUMBERS_OF_CONFIGS.keys()


@pytest.mark.parametrize("name", NUMBERS_OF_CONFIGS)
def test_every_number_of_a_config_is_finite_and_bounded_on_both_sides(name: str) -> None:
    beyond = (-1e300, 1e300, -(10**30), 10**30, math.inf, -math.inf, math.nan, True)
    assert [value for value in beyond if not _refuses(*NUMBERS_OF_CONFIGS[name], value)] == []


@pytest.mark.parametrize("word", ["no", "off", "on", "y", "null_", "2024-01-01", "1_000", "0x10", "12:30", "010"])
def test_a_word_that_old_yaml_takes_for_something_else_is_text(tmp_path: Path, word: str) -> None:
    loaded = load_config(written(tmp_path, GOOD + f"transcribe: {{language: {word}}}\n"), [f"work={word}"])
    assert (loaded.section(TranscribeConfig).language, loaded.work) == (word, word)


@pytest.mark.parametrize(
    ("word", "value"), [("yes", True), ("no", False), ("on", True), ("off", False), ("true", True)]
)
def test_a_switch_takes_the_words_that_people_write(tmp_path: Path, word: str, value: bool) -> None:  # noqa: FBT001
    assert load_config(written(tmp_path, GOOD + f"runner: {{profile: {word}}}\n")).runner.profile is value


def test_a_number_where_a_text_belongs_is_told_to_be_put_in_quotes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"work: .* got 7; a text that looks like something else needs quotes"):
        load_config(written(tmp_path, GOOD.replace("work: work", "work: 7")))


def test_an_octal_number_is_what_it_says_in_tens(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, GOOD + "seed: 010\n")).seed == 10


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_config(tmp_path / "config.yaml").manifest == "list.txt"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "config.yaml").write_bytes((GOOD + "# é\n").encode(encoding))
    with pytest.raises(UsageError, match="save it as UTF-8"):
        load_config(tmp_path / "config.yaml")


def test_what_is_no_file_is_no_config(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    places = ["", "pipe", "dangling", "loop", "n" * 300, "a/" * 3000, "a\0b", "\udcff"]
    for place in [
        *(tmp_path / one for one in places),
        Path("/dev/zero"),
        Path("/dev/null"),
        written(tmp_path, "") / "x",
    ]:
        with pytest.raises(UsageError, match=r"config|/"):
            load_config(place)


@pytest.mark.parametrize(
    "override",
    [
        "=1",
        "",
        ".=1",
        "a..b=1",
        ".".join("a" * 5_000) + "=1",
        "seed=" + "[" * 9_000,
        "seed=" + "1" * 100_000,
        "filter={min_words: 1, min_words: 2}",
        "filter.min_words=*a",
        "filter.min_words=!!int 3",
        "work=a\0b",
        "work=\udcff",
        "\x1b[31m=1",
        "seed=1\n---\n2",
        "work=~no.such.user",
        "<<=1",
        "seed={",
    ],
)
def test_an_odd_override_is_refused(tmp_path: Path, override: str) -> None:
    began = time.process_time()
    with pytest.raises(UsageError) as refused:
        load_config(written(tmp_path, GOOD), [override])
    assert time.process_time() - began < SECONDS
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 50_000


def test_an_override_changes_one_of_two_sections_that_an_alias_makes_the_same(tmp_path: Path) -> None:
    text = GOOD + "filter: &same {resources: {cpus: 3}}\nalign: *same\n"
    loaded = load_config(written(tmp_path, text), ["align.resources.cpus=5"])
    assert [loaded.stage(name).resources.cpus for name in ("filter", "align")] == [3, 5]


def test_a_refused_config_ends_the_program_with_2_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["storyloom", "status", str(written(tmp_path, HOSTILE["lists within lists"]))])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "within each other" in capsys.readouterr().err
