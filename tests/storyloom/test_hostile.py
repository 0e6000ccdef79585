"""Finished datasets from strangers: what a command may not read ends in one sentence, and `validate` sees every lie."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.write.stage import WriteConfig
from storyloom.errors import FAILED, StoryloomError
from storyloom.format.manifest import FunnelRow, read_manifest
from tests.documents import dataset, videos
from tests.storyloom.hostile import MISCOUNTED, NOTICED, READERS, REFUSED, SECRET, at, many_texts, validated
from tests.storyloom.validate import damage


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of two documents with two images each."""
    folder = tmp_path_factory.mktemp("small")
    dataset(folder, [videos(2, documents=1)], WriteConfig(max_images=4))
    return folder / "out"


@pytest.fixture
def out(small: Path, tmp_path: Path) -> Path:
    """A copy of it, beside a twin and a secret."""
    shutil.copytree(small, tmp_path / "twin")
    (tmp_path / "secret").write_text(SECRET)
    return Path(shutil.copytree(small, tmp_path / "out"))


def outcome(command: str, folder: Path) -> str:
    """What a command prints: of an error its sentence."""
    try:
        return READERS[command](folder)
    except StoryloomError as refusal:
        error = refusal
    message = str(error)
    assert error.exit_code == FAILED
    assert str(folder) in message
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert len(message) < 1500
    return f"refused: {message}"


def test_the_good_dataset_is_fine_for_every_command(out: Path) -> None:
    assert validated(out)[0].violations.kept == []
    assert [name for name in READERS if outcome(name, out).startswith("refused")] == []


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_not_be_read_ends_in_one_sentence_in_every_command(case: str, out: Path) -> None:
    REFUSED[case](out)
    report, _ = validated(out)
    assert report.violations.total
    assert [name for name in READERS if not outcome(name, out).startswith("refused")] == []


@pytest.mark.parametrize("case", MISCOUNTED)
def test_what_the_manifest_or_a_document_miscounts_ends_in_one_sentence(case: str, out: Path) -> None:
    MISCOUNTED[case](out)
    report, _ = validated(out)
    assert report.violations.total
    assert [name for name in READERS if not outcome(name, out).startswith("refused")] in ([], ["train"])


@pytest.mark.parametrize("target", [-1, 0, "x", [1], 10**400, None])
def test_a_config_that_asks_for_shards_of_no_size_states_none(target: object, out: Path) -> None:
    at("provenance.config", {"write": {"shard_bytes": target}})(out)
    assert '"target":0,' in outcome("stats", out)


def test_a_page_quotes_no_long_text_for_each_of_its_frames(out: Path) -> None:
    long = "a " * 500_000 + "b"
    damage.edit_document(out, lambda one: one.update(_first_text(one, long), image_text_index=[0, 0]))
    page = outcome("stats", out)
    assert len(page) < len(long)
    assert page.count("a " * 1000) == 2
    assert "more characters)" in page


def _first_text(one: dict[str, Any], text: str) -> dict[str, Any]:
    place = next(n for n, old in enumerate(one["texts"]) if old is not None)
    return {"texts": [text if n == place else old for n, old in enumerate(one["texts"])]}


def test_a_document_that_another_format_would_repeat_without_end_is_not_exported(out: Path) -> None:
    """Its URL stands at each of 3,004 positions."""
    damage.edit_document(out, many_texts)
    assert not outcome("export", out).startswith("refused")
    damage.edit_document(out, lambda one: one.update(video_url="https://x.example/" + "u" * 10_000))
    assert "2 images and 3002 texts, of a URL of 10018 characters: too many to export" in outcome("export", out)


LIMITED = """
import resource, sys
from pathlib import Path
from storyloom.errors import StoryloomError
from tests.storyloom.hostile import READERS, validated
now = 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1])
resource.setrlimit(resource.RLIMIT_AS, (now + 2**30, now + 2**30))
for folder in map(Path, sys.argv[1:]):
    assert validated(folder)[0].violations.total
    for read in READERS.values():
        try:
            read(folder)
        except StoryloomError:
            pass
"""
"""Reads datasets with every command in 1 GiB of address space beyond that of the imports."""

GREEDY = (
    "terabyte-document",
    "index-billion",
    "manifest-values",
    "manifest-errors",
    "document-errors",
    "entries",
    "json-deep",
    "yaml-aliases",
    "sparse-wids-train.json",
    "sparse-README.md",
)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux tells it")
def test_what_asks_for_much_memory_gets_no_gibibyte(small: Path, tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(small, tmp_path / case / "out")) for case in GREEDY]
    for case, folder in zip(GREEDY, folders, strict=True):
        (REFUSED | NOTICED)[case](folder)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, folders)], capture_output=True, text=True, check=False, timeout=200
    )
    assert (done.returncode, done.stderr) == (0, "")


FREE = {"name", "max_images", "config", "fingerprints", "revisions", "tools"}
"""What cannot be computed from the shards."""


def leaves(value: Any, *place: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a JSON object that is no list or object, with its place."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, *place, str(key))
    else:
        yield place, value


def test_every_value_of_the_manifest_that_follows_from_the_shards_is_checked(out: Path) -> None:
    manifest = json.loads((out / "manifest.json").read_bytes())
    unnoticed = []
    for place, value in leaves(manifest):
        (out / "manifest.json").write_text(json.dumps(manifest))
        at(place, value + 1 if isinstance(value, int | float) else f"{value[:-1]}0")(out)
        if (published := read_manifest(out)) is not None:
            damage.write_files(out, published)  # the other files say the same
        if not FREE & set(place) and not validated(out)[0].violations.total:
            unnoticed.append(place)
    assert unnoticed == []


FUNNEL = (
    FunnelRow(what="videos", found=3, kept=2, dropped={"transcribe.no_speech": 1}),
    FunnelRow(what="frames", found=4, kept=4, dropped={}),
    FunnelRow(what="sentences", found=5, kept=4, dropped={"repetition": 1}),
    FunnelRow(what="documents", found=2, kept=2, dropped={}),
)
"""A true one of the small dataset."""


@pytest.mark.parametrize("number", range(len(FUNNEL)))
@pytest.mark.parametrize("more", [{"found": 1}, {"found": 1, "kept": 1}, {"found": -1, "kept": -1}])
def test_a_funnel_that_adds_up_to_something_else_is_noticed(out: Path, number: int, more: dict[str, int]) -> None:
    published = damage.manifest(out)
    rows = list(FUNNEL)
    provenance = published.provenance.model_copy(update={"funnel": rows})
    damage.write_files(out, published.model_copy(update={"provenance": provenance}))
    assert damage.check(out) == []
    row = rows[number]
    rows[number] = row.model_copy(update={name: getattr(row, name) + n for name, n in more.items()})
    damage.write_files(out, published.model_copy(update={"provenance": provenance}))
    assert damage.check(out) == [("manifest.json", "", "manifest_funnel")]


@pytest.mark.parametrize("case", NOTICED)
def test_what_is_wrong_is_noticed_and_nothing_of_other_folders_is_told(case: str, out: Path) -> None:
    NOTICED[case](out)
    report, printed = validated(out)
    assert report.violations.total
    assert SECRET not in printed + "".join(outcome(name, out) for name in READERS)
