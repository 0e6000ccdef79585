"""Documents into shards: what is written, what is refused, and that the bytes do not depend on the circumstances."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from schemas.row import Dropped, video_key
from schemas.rows import DocumentDraft, DocumentFrame, DocumentsRow, DocumentText, FramesRow
from stages.write.stage import VideoDocuments, WriteConfig, split_of, write_group
from storyloom.format.sample import FormatError, added
from storyloom.format.shard import Shard, shard_numbers
from tests.documents import document, jpeg, read_documents, read_shard, sampled, tree, video, videos

SMALL = WriteConfig(shard_bytes=40_000)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (content, _) in tree(folder).items()}


def test_a_document_becomes_its_json_and_its_images_in_time_order(tmp_path: Path) -> None:
    one = video("a", document(3))
    write_group([one], tmp_path, SMALL, 0)
    key = f"{video_key('a')}-0003"
    members = read_shard(tmp_path / "train-rest.tar")
    assert list(members) == [f"{key}.json", f"{key}.000.jpg", f"{key}.001.jpg"]
    assert [members[f"{key}.000.jpg"], members[f"{key}.001.jpg"]] == one[2]().jpegs[-2:]
    assert json.loads(members[f"{key}.json"]) == {
        "schema": "storyloom/2",
        "sample_id": key,
        "texts": [None, "so here we 3 0", None, "so here we 3 1"],
        "images": [f"{key}.000.jpg", None, f"{key}.001.jpg", None],
        "image_time": [0.5, 2.5],
        "image_width": [64, 64],
        "image_height": [48, 48],
        "image_text_index": [0, 1],
        "image_clip_score": [0.25, 0.25],
        "image_shift": [0.0, 0.0],
        "text_start": [0.0, 2.0],
        "text_end": [1.5, 3.5],
        "text_source": ["asr", "asr"],
        "video_id": "a",
        "video_url": "https://example.org/a.mp4",
        "title": "a",
        "doc_start": 0.0,
        "doc_end": 4.0,
        "language": "en",
        "license": "",
        **added(2, 2),
    }


def test_the_manifests_other_columns_reach_the_document(tmp_path: Path) -> None:
    made = video("a", document())
    extra = '{"channel":"Lab","views":12}'
    one = made._replace(manifest=made.manifest.model_copy(update={"extra": extra}))
    write_group([one], tmp_path, SMALL, 0)
    assert [one["extra"] for one in read_documents(tmp_path).values()] == [extra]


def test_only_the_frames_of_the_document_are_written(tmp_path: Path) -> None:
    frames = [DocumentFrame(frame=n, time=float(n), text=-1, similarity=-1.0, shift=0.0) for n in (1, 3)]
    one = document().model_copy(update={"frames": frames})
    jpegs = [jpeg(n, 16 + 8 * n, 16) for n in range(5)]
    write_group([video("a", one, jpegs=jpegs)], tmp_path, SMALL, 0)
    (written,) = read_documents(tmp_path).values()
    assert written["image_width"] == [24, 40]


def test_a_shard_says_what_is_in_it(tmp_path: Path) -> None:
    french = document(1, frames=3, texts=1, start=50.0).model_copy(update={"language": "fr"})
    (shard,) = write_group([video("a", document(0), french)], tmp_path, SMALL, 0)
    content = (tmp_path / shard.file).read_bytes()
    assert shard == Shard(
        split="train",
        file="train-rest.tar",
        nsamples=2,
        nimages=5,
        nwords=15,
        nchars=42,
        npieces=15,
        seconds=10.0,
        filesize=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        md5sum=hashlib.md5(content).hexdigest(),
        items_sha256=hashlib.sha256((tmp_path / "train-rest.parquet").read_bytes()).hexdigest(),
        languages={"en": 1, "fr": 1},
        licenses={"": 2},
        image_sizes={"64x48": 5},
        images_per_document={"2": 1, "3": 1},
        similarities={"0.25": 3},
        shifts={"0": 3},
    )


def test_a_group_without_documents_gives_no_shard(tmp_path: Path) -> None:
    one = video("a")
    dropped = one.row.model_copy(update={"dropped": Dropped(stage="filter", reason="no_document")})
    assert write_group([video("b"), one._replace(row=dropped)], tmp_path, SMALL, 0) == []
    assert list(tmp_path.iterdir()) == []


def test_the_frames_of_a_video_without_documents_are_not_loaded(tmp_path: Path) -> None:
    def fail() -> FramesRow:
        raise AssertionError("loaded")

    silent = video("b")._replace(frames=fail)
    assert len(write_group([silent, video("a", document())], tmp_path, SMALL, 0)) == 1


def test_shards_are_within_five_percent_of_the_target_but_for_the_rest(tmp_path: Path) -> None:
    config = WriteConfig(shard_bytes=500_000)
    *whole, rest = write_group(videos(60, documents=3), tmp_path, config, 0)
    assert len(whole) >= 2
    # The padding at the end is up to 11 kB, which a real shard's size dwarfs.
    assert all(0.95 * 500_000 <= shard.filesize <= 1.05 * 500_000 + 11_264 for shard in whole)
    assert rest.filesize < 500_000
    assert (rest.file, rest.is_rest) == ("train-rest.tar", True)
    assert [(shard.file, shard.is_rest) for shard in whole] == [
        (f"train-{n:06d}.tar", False) for n in range(len(whole))
    ]
    assert sum(shard.nsamples for shard in [*whole, rest]) == 180


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60))
def test_a_shard_misses_its_target_by_at_most_half_of_its_largest_document(sizes: list[int]) -> None:
    numbers = list(shard_numbers(sizes, 1000))
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(numbers[-1] + 1))
    for number in range(numbers[-1]):
        held = sum(size for size, each in zip(sizes, numbers, strict=True) if each == number)
        assert abs(held - 1000) <= 50


def test_a_document_larger_than_a_shard_gets_one_and_leaves_none_empty(tmp_path: Path) -> None:
    large = video("large", document(frames=1), jpegs=[jpeg(1, 800, 800)])
    config = WriteConfig(shard_bytes=5_000)
    shards = write_group([large, *videos(3, documents=1)], tmp_path, config, 0)
    assert sum(shard.nsamples for shard in shards) == 4
    assert [shard.file for shard in shards[:-1]] == [f"train-{n:06d}.tar" for n in range(len(shards) - 1)]


def test_every_shard_has_an_index_and_nothing_else_is_left(tmp_path: Path) -> None:
    shards = write_group(videos(12), tmp_path, WriteConfig(shard_bytes=40_000, val_share=0.4), 0)
    names = {shard.file for shard in shards}
    assert {path.name for path in tmp_path.iterdir()} == {
        beside for name in names for beside in (name, f"{name}.idx", name.replace(".tar", ".parquet"))
    }


def test_documents_are_shuffled_and_the_seed_decides_how(tmp_path: Path) -> None:
    orders = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        write_group(videos(5), folder, WriteConfig(), seed)
        orders.append([name for name in read_shard(folder / "train-rest.tar") if name.endswith(".json")])
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])


def test_no_video_is_in_two_splits_and_both_get_some(tmp_path: Path) -> None:
    config = WriteConfig(val_share=0.4)
    write_group(videos(20, documents=3), tmp_path, config, 0)
    train, val = (
        {name.split("-")[0] for name in read_shard(tmp_path / f"{split}-rest.tar")} for split in ("train", "val")
    )
    assert not train & val
    assert len(train | val) == 20
    assert len(val) == sum(split_of(video_key(f"video-{n}"), 0.4) == "val" for n in range(20)) > 0


@pytest.mark.parametrize(("share", "split"), [(0.0, "train"), (1.0, "val")])
def test_a_share_of_nothing_or_everything_is_exact(share: float, split: str) -> None:
    assert {split_of(video_key(str(n)), share) for n in range(100)} == {split}


def _large(row: DocumentsRow) -> FramesRow:
    return sampled(row, [jpeg.__wrapped__(n, 400, 400) for n in range(5)])


def test_memory_does_not_grow_with_the_group(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        def some() -> Iterator[VideoDocuments]:
            for number in range(count):
                one = video(f"v{number}", document(frames=5, texts=5))
                yield one._replace(frames=partial(_large, one.row))

        tracemalloc.start()
        write_group(some(), tmp_path / str(count), WriteConfig(), 0)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)  # imports and caches
    assert peak(40) < 2 * peak(4)


def with_text(text: str) -> DocumentDraft:
    return document(texts=1).model_copy(update={"texts": [DocumentText(start=0.0, end=1.0, text=text, source="asr")]})


def progressive() -> bytes:
    return jpeg(1, progressive=True)


def grey() -> bytes:
    file = io.BytesIO()
    Image.new("L", (16, 16)).save(file, "JPEG")
    return file.getvalue()


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("rule", "one"),
    [
        ("placeholder", video("a", with_text("see <image> here"))),
        ("control_character", video("a", with_text("a\x07b"))),
        ("blank_text", video("a", with_text(" "))),
        ("no_text", video("a", document(texts=0))),
        ("no_image", video("a", document(frames=0))),
        ("too_many_images", video("a", document(frames=31))),
        ("duplicate_key", video("a", document(0), document(0))),
        ("frame_index", video("a", document(frames=2), jpegs=[jpeg(0)])),
        ("jpeg", video("a", document(frames=1), jpegs=[b"not a picture"])),
        ("jpeg", video("a", document(frames=1), jpegs=[b""])),
        ("jpeg", video("a", document(frames=1), jpegs=[png()])),
        ("jpeg", video("a", document(frames=1), jpegs=[grey()])),
        ("jpeg", video("a", document(frames=1), jpegs=[progressive()])),
        ("document_span", video("a", document().model_copy(update={"end": 1.0}))),
        ("wrong_row", (video("a")[0], *video("b", document())[1:])),
    ],
)
def test_a_document_that_breaks_the_format_is_refused_by_key_and_rule(
    rule: str, one: VideoDocuments, tmp_path: Path
) -> None:
    with pytest.raises(FormatError) as refused:
        write_group([video("good", document()), one], tmp_path, WriteConfig(), 0)
    assert refused.value.rule == rule
    assert refused.value.key.startswith(video_key("a"))
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="duplicate_key"):
        write_group([video("a", document()), video("a", document())], tmp_path, WriteConfig(), 0)


def test_a_broken_reader_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> FramesRow:
        raise OSError("the part is gone")

    broken = video("b", document())._replace(frames=fail)
    with pytest.raises(OSError, match="the part is gone"):
        write_group([video("a", document()), broken], tmp_path, WriteConfig(), 0)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from stages.write.stage import *; from tests.documents import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))\n"
        "write_group(videos(1, documents=1), Path(sys.argv[1]), WriteConfig(), 0)\n"
    )
    # The document takes less than 9 kB, so that the spool fits; the shard's padding makes it 10,240 bytes.
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), "9000"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "File too large" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_writing_again_into_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_group(videos(4), tmp_path, SMALL, 0)
    before = contents(tmp_path)
    assert write_group(videos(4), tmp_path, SMALL, 0) == first
    assert contents(tmp_path) == before
