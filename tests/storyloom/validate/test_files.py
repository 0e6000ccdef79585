"""Rules about the dataset's files: each test breaks one."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from storyloom.errors import UsageError
from storyloom.format.manifest import dataset_sha256
from storyloom.validate.dataset import validate_dataset
from storyloom.validate.spread import in_this_process
from tests.runs import Finished
from tests.storyloom.validate.damage import SHARD, check, manifest, write_files

LAST = "data/train/shard-000001.tar"


def test_a_good_dataset_has_no_violation(good: Path) -> None:
    report = validate_dataset(good, deep=True, spread=in_this_process)
    assert (report.violations.total, report.shards, report.documents, report.images) == (0, 3, 12, 24)


def test_the_output_of_a_run_has_no_violation(demo_run: Finished) -> None:
    report = validate_dataset(Path(demo_run.config.output), deep=True, spread=in_this_process)
    assert report.violations.kept == []
    assert report.images == 9


def test_a_snapshot_of_links_to_the_blobs_of_its_cache_is_fine(good: Path, tmp_path: Path) -> None:
    """Downloads by huggingface_hub look like this."""
    snapshot = cached(good, tmp_path / "datasets--some--thing")
    assert check(snapshot) == []


def cached(good: Path, repository: Path) -> Path:
    """The dataset as in huggingface_hub's cache: a snapshot of links to blobs."""
    snapshot = repository / "snapshots" / "0123abcd"
    (repository / "blobs").mkdir(parents=True)
    for file in (path for path in good.rglob("*") if path.is_file()):
        name = hashlib.sha256(str(file).encode()).hexdigest()
        shutil.copyfile(file, repository / "blobs" / name)
        link = snapshot / file.relative_to(good)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("../" * (len(file.relative_to(good).parts) + 1) + f"blobs/{name}")
    return snapshot


def test_a_folder_without_a_dataset_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"neither manifest\.json nor data/"):
        validate_dataset(tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        validate_dataset(tmp_path / "nothing")


FILES = [
    "README.md",
    "manifest.json",
    "croissant.json",
    "wids-train.json",
    "wids-val.json",
    "data/val/sizes.json",
    ".nv-meta/.info.json",
    ".nv-meta/split.yaml",
    ".nv-meta/dataset.yaml",
    ".nv-meta/similarity.yaml",
    ".nv-meta/crude.yaml",
    ".nv-meta/sample_loader.py",
]


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(out: Path, file: str) -> None:
    (out / file).unlink()
    assert check(out) == [(file, "", "missing_file")]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"[" * 100_000, b"- 1\n", b"a: &a [1]\nb: [*a, *a]\n", b"---\nx: [\n---\n"]
)
def test_garbage_in_the_place_of_a_file_is_a_violation_of_that_file_alone(out: Path, file: str, content: bytes) -> None:
    (out / file).write_bytes(content)
    found = check(out)
    rule = {"README.md": "card_syntax", "manifest.json": "manifest"}.get(file, "index_syntax")
    if file.endswith(".py") and rule not in {rule for _, _, rule in found}:
        rule = "energon_loader"
    assert {(name, r) for name, _, r in found} == {(file, rule)}


@pytest.mark.parametrize("file", [SHARD, f"{SHARD}.idx", "manifest.json", "wids-train.json", ".nv-meta/split.yaml"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "loop"])
def test_what_is_no_file_is_unreadable(out: Path, file: str, kind: str) -> None:
    (out / file).unlink()
    if kind == "folder":
        (out / file).mkdir()
    elif kind == "pipe":
        os.mkfifo(out / file)
    else:
        (out / file).symlink_to(out / file)
    assert check(out) == [(file, "", "unreadable")]


@pytest.mark.parametrize("target", ["nothing", "wids-train.json", "/etc/hostname", "../blobs/" + "0" * 64])
def test_a_link_is_not_followed_wherever_it_leads(out: Path, target: str) -> None:
    (out / "wids-val.json").unlink()
    (out / "wids-val.json").symlink_to(target)
    assert check(out) == [("wids-val.json", "", "unreadable")]


@pytest.mark.parametrize(
    ("rule", "file"),
    [
        ("surplus_file", "data/notes.txt"),
        ("surplus_file", "data/test/shard-000000.tar"),
        ("surplus_file", "data/train/notes.txt"),
        ("surplus_file", "data/train/shard-000007.tar.idx"),
        ("surplus_file", "data/train/shard-000007.parquet"),
        ("surplus_file", "data/train/shard-0.tar"),
        ("surplus_file", "wids-test.json"),
        ("leftover", ".storyloom"),
        ("leftover", ".manifest.json.0123456789abcdef.host.1.storyloom-tmp"),
        ("leftover", ".nv-meta/.split.yaml.0123456789abcdef.host.1.storyloom-tmp"),
        ("leftover", "data/train/.shard-000000.tar.0123456789abcdef.host.1.storyloom-tmp"),
    ],
)
def test_a_file_that_belongs_to_nothing_is_named(out: Path, rule: str, file: str) -> None:
    (out / file).parent.mkdir(exist_ok=True)
    (out / file).write_bytes(b"x")
    place = "data/test" if file.startswith("data/test") else file
    assert check(out) == [(place, "", rule)]


@pytest.mark.parametrize("file", ["LICENSE", "assets/plot.svg", ".nv-meta/index.sqlite", ".gitattributes"])
def test_files_of_the_owner_beside_the_data_are_fine(out: Path, file: str) -> None:
    (out / file).parent.mkdir(exist_ok=True)
    (out / file).write_bytes(b"x")
    assert check(out) == []


def test_a_split_without_a_shard_has_no_folder(out: Path) -> None:
    (out / "data" / "test").mkdir()
    assert check(out) == [("data/test", "", "surplus_file")]


def test_a_shard_that_the_manifest_lists_must_be_there(out: Path) -> None:
    (out / LAST).unlink()
    assert [one for one in check(out) if one[2] == "missing_file"] == [(LAST, "", "missing_file")]


def test_a_shard_that_the_manifest_does_not_list_is_surplus(out: Path) -> None:
    for end in (".tar", ".tar.idx", ".parquet"):
        (out / f"data/train/shard-000002{end}").write_bytes((out / f"data/val/shard-000000{end}").read_bytes())
    rules = {(file, rule) for file, _, rule in check(out)}
    assert ("data/train/shard-000002.tar", "surplus_file") in rules
    assert {rule for _, rule in rules} == {"surplus_file", "duplicate_key", "video_in_two_splits"}


def test_numbers_of_shards_have_no_gap(out: Path) -> None:
    new = "data/train/shard-000002.tar"
    for end in (".tar", ".tar.idx", ".parquet"):
        (out / LAST).with_suffix(end).rename((out / new).with_suffix(end))
    edit_manifest(
        out, lambda p: p.update(shards=[{**s, "file": s["file"].replace(LAST, new)} for s in p["shards"]]), follow=True
    )
    assert check(out) == [(new, "", "shard_numbers")]


def test_a_dataset_without_a_shard_is_refused(out: Path) -> None:
    for path in sorted((out / "data").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert ("data", "", "no_shards") in check(out)


def edit_manifest(out: Path, change: Callable[[dict[str, Any]], object], *, follow: bool = False) -> None:
    """Change the manifest; `follow`: have its own hash and all indexes follow it."""
    file = out / "manifest.json"
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))
    if follow:
        published = manifest(out)
        write_files(out, published.model_copy(update={"sha256": dataset_sha256(published.shards)}))


def in_shard(**new: Any) -> Callable[[dict[str, Any]], object]:
    return lambda value: value["shards"][0].update(new)


@pytest.mark.parametrize("change", [in_shard(sha256="0" * 64), in_shard(md5sum="0" * 32), in_shard(filesize=10240)])
def test_a_shard_with_another_hash_or_size_than_stated_is_refused(out: Path, change: Any) -> None:
    edit_manifest(out, change, follow=True)
    rules = [(file, rule) for file, _, rule in check(out) if rule != "manifest_total"]
    assert rules == [(SHARD, "manifest_hash")]


@pytest.mark.parametrize(
    "change",
    [
        in_shard(nsamples=2),
        in_shard(nimages=2),
        in_shard(nwords=2),
        in_shard(seconds=2.0),
        in_shard(languages={"de": 5}),
    ],
)
def test_a_shard_with_other_counts_than_stated_is_refused(out: Path, change: Any) -> None:
    edit_manifest(out, change, follow=True)
    rules = [(file, rule) for file, _, rule in check(out) if rule != "manifest_total"]
    assert rules == [(SHARD, "manifest_count")]


def test_the_sums_of_a_split_are_checked(out: Path) -> None:
    edit_manifest(out, lambda value: value["splits"]["train"].update(nwords=1), follow=True)
    assert check(out) == [("manifest.json", "", "manifest_total")]


def test_a_funnel_that_does_not_add_up_is_refused(out: Path) -> None:
    edit_manifest(out, lambda value: value["provenance"]["funnel"][0].update(found=99), follow=True)
    assert check(out) == [("manifest.json", "", "manifest_funnel")]


def test_the_hash_of_the_dataset_is_checked(out: Path) -> None:
    published = manifest(out)
    write_files(out, published.model_copy(update={"sha256": "0" * 64}))
    assert check(out) == [("manifest.json", "", "dataset_hash")]


def test_the_order_of_the_shards_is_checked(out: Path) -> None:
    edit_manifest(out, lambda value: value["shards"].reverse(), follow=True)
    assert check(out) == [("manifest.json", "", "manifest_shards")]


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("max_images"),
        in_shard(sha256="x"),
        in_shard(nsamples="2"),
        in_shard(nimages=2.0),
        in_shard(seconds="40.0"),
        lambda v: v.update(schema="storyloom/9"),
        lambda v: v.update(max_images="4"),
        lambda v: v["splits"]["train"].update(nshards=True),
    ],
)
def test_a_manifest_of_another_form_is_refused(out: Path, change: Any) -> None:
    edit_manifest(out, change)
    assert check(out) == [("manifest.json", "", "manifest")]


@pytest.mark.parametrize(
    ("rule", "file", "change"),
    [
        ("sizes", "data/train/sizes.json", lambda v: v.update({"shard-000000.tar": 99})),
        ("wids", "wids-train.json", lambda v: v["shardlist"][0].update(md5sum="0" * 32)),
        ("wids", "wids-train.json", lambda v: v["shardlist"].pop()),
        ("wids", "wids-train.json", lambda v: v.update(__kind__="other")),
        ("energon_info", ".nv-meta/.info.json", lambda v: v["shard_counts"].popitem()),
        ("energon_split", ".nv-meta/split.yaml", lambda v: v["split_parts"]["val"].append("x")),
        ("energon_split", ".nv-meta/split.yaml", lambda v: v.pop("exclude")),
        ("energon_sample", ".nv-meta/dataset.yaml", lambda v: v["sample_type"].update(__class__="Other")),
        ("energon_sample", ".nv-meta/similarity.yaml", lambda v: v.pop("part_filter")),
        ("energon_sample", ".nv-meta/crude.yaml", lambda v: v.pop("subflavors")),
        ("croissant", "croissant.json", lambda v: v.update(conformsTo="http://mlcommons.org/croissant/0.9")),
        ("croissant", "croissant.json", lambda v: v["distribution"][1].update(sha256="0" * 64)),
        ("croissant", "croissant.json", lambda v: v["distribution"].pop(0)),
        ("croissant", "croissant.json", lambda v: v.update(distribution=7)),
        ("croissant", "croissant.json", lambda v: v["distribution"].insert(0, dict(v["distribution"][0]))),
        ("croissant", "croissant.json", lambda v: v["distribution"].append({"@type": "FileObject"})),
        ("croissant", "croissant.json", lambda v: v["distribution"][-1].update(includes="*.exe")),
        ("croissant", "croissant.json", lambda v: v["recordSet"].pop()),
        ("croissant", "croissant.json", lambda v: v["@context"].update(cr="https://example.org/")),
    ],
)
def test_an_index_that_does_not_agree_with_the_manifest_is_refused(
    out: Path, rule: str, file: str, change: Callable[[Any], object]
) -> None:
    value = yaml.safe_load((out / file).read_text())  # JSON is YAML
    change(value)
    (out / file).write_text(json.dumps(value))
    assert set(check(out)) == {(file, "", rule)}


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (".nv-meta/.info.json", lambda v: v.update(energon_version="8.0.0")),
        (".nv-meta/split.yaml", lambda v: v["split_parts"].pop("test")),
        ("croissant.json", lambda v: v.update(description="Mine.", license="CC-BY-4.0")),
    ],
)
def test_what_an_owner_may_change_in_an_index_is_fine(out: Path, file: str, change: Callable[[Any], object]) -> None:
    value = yaml.safe_load((out / file).read_text())
    change(value)
    (out / file).write_text(json.dumps(value))
    assert check(out) == []


def test_a_sample_loader_without_a_function_is_refused(out: Path) -> None:
    loader = out / ".nv-meta/sample_loader.py"
    loader.write_text(loader.read_text().replace("def similarity", "def other"))
    assert check(out) == [(".nv-meta/sample_loader.py", "", "energon_loader")]


def test_a_sample_loader_is_read_but_not_run(out: Path, tmp_path: Path) -> None:
    loader, proof = out / ".nv-meta/sample_loader.py", tmp_path / "ran"
    loader.write_text(f"open({str(proof)!r}, 'w')\n" + loader.read_text())
    assert check(out) == [(".nv-meta/sample_loader.py", "", "energon_loader")]
    assert not proof.exists()


def edit_card(out: Path, change: Callable[[Any], object]) -> None:
    _, front, text = (out / "README.md").read_text().split("---\n", 2)
    value = yaml.safe_load(front)
    change(value)
    (out / "README.md").write_text(f"---\n{yaml.safe_dump(value)}---\n{text}")


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("card_data_files", lambda v: v["configs"][0]["data_files"][0].update(path="data/train")),
        ("card_data_files", lambda v: v["configs"][0]["data_files"].pop()),
        ("card_data_files", lambda v: v.pop("configs")),
        ("card_features", lambda v: v["dataset_info"]["features"].pop()),
        ("card_features", lambda v: v["dataset_info"]["features"].pop(1)),
        ("card_features", lambda v: v["dataset_info"]["features"].append({"name": "004.jpg", "dtype": "image"})),
        (
            "card_features",
            lambda v: v["dataset_info"]["features"][2]["struct"][0].update(dtype="int64", name="doc_end"),
        ),
        ("card_features", lambda v: v["dataset_info"].update(features=[1])),
        ("card_features", lambda v: v.pop("dataset_info")),
    ],
)
def test_a_card_that_would_load_something_else_is_refused(
    out: Path, rule: str, change: Callable[[Any], object]
) -> None:
    edit_card(out, change)
    assert {(file, r) for file, _, r in check(out)} == {("README.md", rule)}


def test_what_an_owner_may_change_in_a_card_is_fine(out: Path) -> None:
    edit_card(out, lambda v: v.update(license="cc-by-4.0", pretty_name="Mine"))
    assert check(out) == []
