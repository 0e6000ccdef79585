"""The finished folder: numbers, indexes, card, manifest, and what happens when it is published again."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.publish.publish import NothingToPublish, OutputNotOurs
from stages.write.stage import WriteConfig, write_group
from storyloom.errors import UsageError
from storyloom.format.layout import MARKER
from storyloom.format.manifest import Provenance, Published, read_manifest
from storyloom.format.sample import FormatError
from storyloom.format.shard import SPLITS, Shard
from storyloom.format.stored import BadShard
from tests.documents import PROVENANCE, dataset, document, made_of, read_documents, read_shard, tree, video, videos
from tests.documents import published as publish_here

CONFIG = WriteConfig(name="tiny", shard_bytes=20_000, max_images=4, val_share=0.3)


@pytest.fixture
def published(tmp_path: Path) -> Published:
    return dataset(tmp_path, [videos(5), [video(f"other-{n}", document()) for n in range(6)]], CONFIG)


def again(tmp_path: Path, provenance: Provenance | None = None, config: WriteConfig = CONFIG) -> Published:
    """Publish what lies in the work folder once more."""
    folders = sorted((tmp_path / "work").glob("group-*"))
    groups = [videos(5), [video(f"other-{n}", document()) for n in range(6)]][: len(folders)]
    shards = [write_group(group, folder, CONFIG, 7) for group, folder in zip(groups, folders, strict=True)]
    made = provenance or made_of(groups)
    return publish_here(shards, folders, tmp_path / "work/rests", tmp_path / "out", config, made)


def load(path: Path) -> Any:
    return json.loads(path.read_bytes())


def test_the_folder_holds_what_the_format_lists_and_nothing_else(published: Published, tmp_path: Path) -> None:
    expected = {"README.md", "manifest.json", "croissant.json", "wids-train.json", "wids-val.json"}
    nv_meta = (".info.json", "split.yaml", "dataset.yaml", "similarity.yaml", "crude.yaml", "sample_loader.py")
    expected |= {f".nv-meta/{name}" for name in nv_meta}
    for split, totals in published.splits.items():
        expected |= {f"data/{split}/sizes.json"}
        tars = {f"data/{split}/shard-{number:06d}.tar" for number in range(totals.nshards)}
        expected |= {name for tar in tars for name in (tar, f"{tar}.idx", tar.replace(".tar", ".parquet"))}
    assert set(tree(tmp_path / "out")) == expected
    assert set(published.splits) == {"train", "val"}


def test_whole_shards_are_numbered_in_the_order_of_the_groups_and_the_rests_follow(
    published: Published, tmp_path: Path
) -> None:
    for split in SPLITS:
        groups = (sorted((tmp_path / "work" / group).glob(f"{split}-0*.tar")) for group in ("group-0", "group-1"))
        whole = [hashlib.sha256(tar.read_bytes()).hexdigest() for tars in groups for tar in tars]
        numbered = published.of(split)
        assert [shard.sha256 for shard in numbered][: len(whole)] == whole
        rests = [read_shard(tmp_path / f"work/group-{n}/{split}-rest.tar") for n in (0, 1)]
        merged = [read_shard(tmp_path / "out" / shard.file) for shard in numbered[len(whole) :]]
        assert [item for shard in merged for item in shard.items()] == [i for rest in rests for i in rest.items()]


def test_all_shards_but_each_splits_last_are_within_five_percent_of_the_target(tmp_path: Path) -> None:
    """Eight groups that each leave a rest behind."""
    target = 400_000
    config = WriteConfig(shard_bytes=target, val_share=0.3)
    groups = [[video(f"{group}-{n}", document(frames=3)) for n in range(70)] for group in range(8)]
    published = dataset(tmp_path, groups, config)
    written = list((tmp_path / "work").glob("group-*/*-rest.tar"))
    assert len(written) == 16
    for split in SPLITS:
        *whole, last = published.of(split)
        assert len(whole) >= 2
        assert all(0.95 * target <= shard.filesize <= 1.05 * target + 11_264 for shard in whole)
        assert last.filesize <= 1.05 * target + 11_264
    assert len(read_documents(tmp_path / "out")) == 560


def test_what_a_merged_shard_says_of_itself_is_what_is_in_it(published: Published, tmp_path: Path) -> None:
    for shard in published.shards:
        documents = read_documents(tmp_path / "out" / shard.file).values()
        assert shard.nsamples == len(documents)
        assert shard.nimages == sum(len(each["image_time"]) for each in documents)
        assert shard.seconds == sum(each["doc_end"] - each["doc_start"] for each in documents)
        content = (tmp_path / "out" / shard.file).read_bytes()
        assert shard.sha256 == hashlib.sha256(content).hexdigest()


def test_a_group_that_is_added_leaves_no_merged_shard_behind(published: Published, tmp_path: Path) -> None:
    before = set((tmp_path / "work/rests").iterdir())
    write_group(videos(3), tmp_path / "work/group-2", CONFIG, 7)
    folders = [tmp_path / f"work/group-{n}" for n in range(3)]
    more = [videos(5), [video(f"other-{n}", document()) for n in range(6)], [video("more", document())]]
    shards = [write_group(group, folder, CONFIG, 7) for group, folder in zip(more, folders, strict=True)]
    grown = publish_here(shards, folders, tmp_path / "work/rests", tmp_path / "out", CONFIG, PROVENANCE)
    after = set((tmp_path / "work/rests").iterdir())
    assert after != before
    tars = {path.read_bytes() for path in after if path.suffix == ".tar"}
    published_files = [(tmp_path / "out" / shard.file).read_bytes() for shard in grown.shards]
    assert tars <= set(published_files)


def test_no_video_changes_its_split_when_the_manifest_grows(tmp_path: Path) -> None:
    few, many = dataset(tmp_path / "few", [videos(12)], CONFIG), dataset(tmp_path / "many", [videos(40)], CONFIG)
    assert set(few.splits) == set(many.splits) == {"train", "val"}
    found = {
        name: {split: videos_of(tmp_path / name / "out/data" / split) for split in SPLITS} for name in ("few", "many")
    }
    assert len(found["many"]["train"] | found["many"]["val"]) == 40
    for split in SPLITS:
        assert found["few"][split] <= found["many"][split]
    assert not found["many"]["train"] & found["many"]["val"]


def test_the_documents_of_one_video_are_spread_over_the_shards_of_its_group(tmp_path: Path) -> None:
    config = WriteConfig(shard_bytes=60_000)
    published = dataset(tmp_path, [videos(12, documents=6)], config)
    assert len(published.shards) >= 4
    shards = [videos_of(tmp_path / "out" / shard.file) for shard in published.shards]
    # Six documents thrown at five shards or so: that one video's meet in a single shard is next to impossible.
    assert all(sum(each in shard for shard in shards) >= 2 for each in set.union(*shards))


def videos_of(place: Path) -> set[str]:
    return {key.rsplit("-", 1)[0] for key in read_documents(place)}


def test_no_document_is_lost(published: Published, tmp_path: Path) -> None:
    documents = read_documents(tmp_path / "out")
    assert len(documents) == sum(totals.nsamples for totals in published.splits.values()) == 16
    assert sum(len(each["image_time"]) for each in documents.values()) == 32


def test_shards_are_hard_links(published: Published, tmp_path: Path) -> None:
    last = tmp_path / "out" / published.of("val")[-1].file
    assert any(last.samefile(merged) for merged in (tmp_path / "work/rests").glob("val-*.tar"))
    source = tmp_path / "work/group-0/train-000000.tar"
    assert (tmp_path / "out" / published.shards[0].file).samefile(source)


def test_the_manifest_describes_every_shard(published: Published, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = load(out / "manifest.json")
    for shard in manifest["shards"]:
        content = (out / shard["file"]).read_bytes()
        assert shard["filesize"] == len(content)
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
        assert shard["md5sum"] == hashlib.md5(content).hexdigest()
    assert manifest["provenance"]["tools"] == {"ffmpeg": "5.1"}
    assert read_manifest(out) == published


def test_the_datasets_hash_is_what_sha256sum_prints(published: Published, tmp_path: Path) -> None:
    command = "sha256sum data/*/*.tar | sha256sum"
    ran = subprocess.run(["bash", "-c", command], cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    assert ran.stdout.split()[0] == published.sha256


def test_wids_and_energon_indexes_name_every_shard_with_its_count(published: Published, tmp_path: Path) -> None:
    out = tmp_path / "out"
    counts = {shard.file: shard.nsamples for shard in published.shards}
    assert load(out / ".nv-meta/.info.json") == {"energon_version": "7.4.1", "shard_counts": counts}
    parts = yaml.safe_load((out / ".nv-meta/split.yaml").read_text())["split_parts"]
    for split in ("train", "val"):
        files = [shard.file for shard in published.of(split)]
        wids = load(out / f"wids-{split}.json")
        assert (wids["__kind__"], wids["wids_version"]) == ("wids-shard-index-v1", 1)
        assert [shard["url"] for shard in wids["shardlist"]] == files == parts[split]
        assert load(out / f"data/{split}/sizes.json") == {Path(file).name: counts[file] for file in files}


def test_the_card_declares_every_key_and_every_image(published: Published, tmp_path: Path) -> None:
    front = yaml.safe_load((tmp_path / "out/README.md").read_text().split("---\n")[1])
    (config,) = front["configs"]
    assert config["data_files"] == [
        {"split": "train", "path": "data/train/shard-*.tar"},
        {"split": "validation", "path": "data/val/shard-*.tar"},
    ]
    features = {feature["name"]: feature for feature in front["dataset_info"]["features"]}
    assert list(features) == ["__key__", "__url__", "json", "000.jpg", "001.jpg", "002.jpg", "003.jpg"]
    struct = {column["name"]: column for column in features["json"]["struct"]}
    assert set(struct) == set(next(iter(read_documents(tmp_path / "out").values())))
    assert struct["image_time"]["sequence"] == "float64"
    assert struct["image_width"]["sequence"] == "int64"
    assert struct["texts"]["sequence"] == "string"
    assert struct["doc_end"]["dtype"] == "float64"


def test_croissant_lists_every_shard_with_its_hash(published: Published, tmp_path: Path) -> None:
    croissant = load(tmp_path / "out/croissant.json")
    assert croissant["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    files = [entry for entry in croissant["distribution"] if entry["@type"] == "cr:FileObject"]
    assert [(file["contentUrl"], file["sha256"]) for file in files] == [(s.file, s.sha256) for s in published.shards]


def test_nothing_in_the_folder_depends_on_where_it_was_made(published: Published, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    dataset(elsewhere, [videos(5), [video(f"other-{n}", document()) for n in range(6)]], CONFIG)
    contents = {name: content for name, (content, _) in tree(tmp_path / "out").items()}
    assert {name: content for name, (content, _) in tree(elsewhere / "out").items()} == contents
    assert not [name for name, content in contents.items() if str(tmp_path).encode() in content]


def test_publishing_the_same_again_touches_nothing(published: Published, tmp_path: Path) -> None:
    before = tree(tmp_path / "out")
    assert again(tmp_path) == published
    assert tree(tmp_path / "out") == before


def test_new_provenance_leaves_the_shards_alone(published: Published, tmp_path: Path) -> None:
    before = tree(tmp_path / "out")
    again(tmp_path, PROVENANCE.model_copy(update={"tools": {"ffmpeg": "6.0"}}))
    after = tree(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {"README.md", "manifest.json"}


def test_a_smaller_dataset_leaves_nothing_of_the_larger_one(published: Published, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".nv-meta/index.sqlite").write_bytes(b"positions in shards that are about to change")
    (out / "notes.txt").write_text("kept")
    folder = tmp_path / "work/group-2"
    shards = write_group([video("one", document())], folder, WriteConfig(), 0)
    smaller = publish_here(
        [shards], [folder], tmp_path / "work/rests", out, CONFIG.model_copy(update={"val_share": 0.0}), PROVENANCE
    )
    assert set(smaller.splits) == {"train"}
    assert len(read_documents(out)) == 1
    names = set(tree(out))
    assert "data/train/shard-000001.tar" not in names
    assert not {name for name in names if "val" in name or name.endswith(".sqlite")}
    assert "notes.txt" in names
    assert not (out / "data/val").exists()


def test_a_groups_whole_shards_keep_their_files_when_another_group_is_added(tmp_path: Path) -> None:
    dataset(tmp_path, [videos(12)], CONFIG)
    before = tree(tmp_path / "out")
    whole = [path.name for path in (tmp_path / "work/group-0").glob("train-0*.tar")]
    assert len(whole) >= 2
    dataset(tmp_path, [videos(12), [video(f"other-{n}", document()) for n in range(6)]], CONFIG)
    after = tree(tmp_path / "out")
    for name in whole:
        file = f"data/train/{name.replace('train', 'shard')}"
        assert (after[file][0], after[f"{file}.idx"]) == (before[file][0], before[f"{file}.idx"])


def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "data/train").mkdir(parents=True)
    (out / "data/train/shard-000000.tar").write_text("precious")
    (out / "manifest.json").write_text('{"name": "a web app"}')
    before = tree(out)
    with pytest.raises(OutputNotOurs, match="Choose another `output`"):
        dataset(tmp_path, [videos(2)], CONFIG)
    assert tree(out) == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    with pytest.raises(UsageError, match="is no folder"):
        dataset(tmp_path, [videos(2)], CONFIG)
    assert (tmp_path / "out").read_text() == "precious"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert dataset(tmp_path, [videos(2)], CONFIG).shards


def test_a_run_that_was_killed_while_publishing_is_taken_up_again(published: Published, tmp_path: Path) -> None:
    out = tmp_path / "out"
    complete = {name: content for name, (content, _) in tree(out).items()}
    (out / MARKER).write_text("")
    (out / "manifest.json").unlink()
    (out / "data/train/shard-000000.tar.idx").unlink()
    (out / ".shard-000001.tar.0123456789abcdef.storyloom-tmp").write_text("half")
    again(tmp_path)
    assert {name: content for name, (content, _) in tree(out).items()} == complete


def test_the_manifest_is_missing_as_long_as_the_dataset_is_not_complete(published: Published, tmp_path: Path) -> None:
    """A folder where the validation shards go cannot be written, so that publishing fails half way."""
    out = tmp_path / "out"
    (out / "data/val/shard-000000.tar").unlink()
    (out / "data/val/shard-000000.tar").mkdir()
    with pytest.raises(OSError, match="directory"):
        again(tmp_path)
    assert not (out / "manifest.json").exists()
    assert (out / MARKER).exists()
    assert not list(out.rglob("*.storyloom-tmp"))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_shards_are_copied_to_another_file_system_and_not_copied_twice(tmp_path: Path) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        out = Path(memory) / "out"
        if Path(memory).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("the temporary folder lies in /dev/shm, too")
        shards = write_group(videos(5), tmp_path, CONFIG, 7)
        publish_here([shards], [tmp_path], tmp_path / "rests", out, CONFIG, PROVENANCE)
        before = tree(out)
        assert read_documents(out) == read_documents(tmp_path)
        publish_here([shards], [tmp_path], tmp_path / "rests", out, CONFIG, PROVENANCE)
        assert tree(out) == before


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_a_shard_that_was_damaged_is_not_copied(tmp_path: Path) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        shards = write_group(videos(5), tmp_path, WriteConfig(), 7)
        content = (tmp_path / shards[0].file).read_bytes()
        (tmp_path / shards[0].file).write_bytes(content[:-1] + b"x")
        with pytest.raises(BadShard, match="damaged"):
            publish_here([shards], [tmp_path], tmp_path / "rests", Path(memory) / "out", CONFIG, PROVENANCE)
        assert not list(Path(memory).rglob("*.tar*"))


def test_nothing_to_publish_leaves_the_output_alone(published: Published, tmp_path: Path) -> None:
    before = tree(tmp_path / "out")
    with pytest.raises(NothingToPublish, match="funnel"):
        publish_here([[], []], [tmp_path, tmp_path], tmp_path / "rests", tmp_path / "out", CONFIG, PROVENANCE)
    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("name", ["train-rest.tar", "train-rest.tar.idx", "train-rest.parquet"])
def test_a_shard_that_is_gone_is_named_before_anything_is_touched(tmp_path: Path, name: str) -> None:
    shards = write_group(videos(2), tmp_path, WriteConfig(), 0)
    (tmp_path / name).unlink()
    with pytest.raises(
        BadShard, match=r"train-rest\.tar: (is gone|has no index|has no table of items).* `--only write --force"
    ):
        publish_here([shards], [tmp_path], tmp_path / "rests", tmp_path / "out", CONFIG, PROVENANCE)
    assert not (tmp_path / "out").exists()


def test_a_group_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    shards: list[Shard] = write_group(videos(2), tmp_path, WriteConfig(), 0)
    with pytest.raises(FormatError, match="duplicate_key"):
        publish_here([shards, shards], [tmp_path, tmp_path], tmp_path / "rests", tmp_path / "out", CONFIG, PROVENANCE)


def test_a_table_of_the_card_cannot_be_broken_by_a_value(tmp_path: Path) -> None:
    shards = write_group(videos(2), tmp_path, WriteConfig(), 0)
    provenance = Provenance(revisions={"score": "a|b\n<script>"})
    publish_here([shards], [tmp_path], tmp_path / "rests", tmp_path / "out", CONFIG, provenance)
    assert "| score |  | `a\\|b <script>` |" in (tmp_path / "out/README.md").read_text()


def test_the_loader_that_is_published_needs_nothing_but_python(published: Published, tmp_path: Path) -> None:
    tree_of_code = ast.parse((tmp_path / "out/.nv-meta/sample_loader.py").read_text())
    imported = [node for node in ast.walk(tree_of_code) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [node.module for node in imported if isinstance(node, ast.ImportFrom)] == ["typing"]
    assert not [node for node in imported if isinstance(node, ast.Import)]
