"""What holds for shards of any documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.rows import DocumentDraft, DocumentFrame, DocumentText
from stages.write.stage import VideoDocuments, WriteConfig, write_group
from tests.documents import read_documents, read_shard, tree, video, videos


def contents(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (content, _) in tree(folder).items()}


TIMES = st.lists(st.integers(0, 5_000), min_size=1, max_size=6, unique=True).map(sorted)
WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip()) and "<" not in text
)


@st.composite
def documents(draw: st.DrawFn, number: int) -> DocumentDraft:
    frame_times = draw(TIMES)
    starts = draw(TIMES)
    ends = [draw(st.integers(a, b)) for a, b in zip(starts, [*starts[1:], starts[-1] + 900], strict=True)]
    span = [*frame_times, *starts, *ends]
    scores = st.floats(-1.0, 1.0).map(lambda score: round(score, 4))
    return DocumentDraft(
        number=number,
        start=min(span) / 1000,
        end=max(span) / 1000,
        language=draw(st.sampled_from(["en", "de", ""])),
        frames=[
            DocumentFrame(
                frame=6 * number + n,
                time=time / 1000,
                text=draw(st.integers(-1, len(starts) - 1)),
                similarity=draw(scores),
                shift=draw(st.integers(-9999, 9999)) / 1000,
            )
            for n, time in enumerate(frame_times)
        ],
        texts=[
            DocumentText(start=a / 1000, end=b / 1000, text=draw(WORDS), source=draw(st.sampled_from(["asr", "fused"])))
            for a, b in zip(starts, ends, strict=True)
        ],
    )


@st.composite
def groups(draw: st.DrawFn) -> list[VideoDocuments]:
    return [
        video(f"v{v}", *(draw(documents(number)) for number in range(draw(st.integers(0, 3)))))
        for v in range(draw(st.integers(1, 4)))
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups())
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, group: list[VideoDocuments]) -> None:
    folder = tmp_path_factory.mktemp("group")
    shards = write_group(group, folder, WriteConfig(shard_bytes=40_000), 0)
    found = read_documents(folder)
    members = {name: data for path in folder.glob("*.tar") for name, data in read_shard(path).items()}
    given_documents = {
        f"{manifest.video}-{each.number:04d}": (each, load().jpegs)
        for manifest, row, load, *_ in group
        for each in row.documents
    }
    assert sum(shard.nsamples for shard in shards) == len(found)
    assert set(found) == set(given_documents)
    for key, (each, jpegs) in given_documents.items():
        read: dict[str, Any] = found[key]
        assert [text for text in read["texts"] if text is not None] == [text.text for text in each.texts]
        assert read["text_start"] == [text.start for text in each.texts]
        assert read["text_end"] == [text.end for text in each.texts]
        assert read["image_time"] == [frame.time for frame in each.frames]
        assert read["image_text_index"] == [frame.text for frame in each.frames]
        assert read["image_clip_score"] == [frame.similarity for frame in each.frames]
        assert read["image_shift"] == [frame.shift for frame in each.frames]
        names = [name for name in read["images"] if name is not None]
        assert [members[name] for name in names] == [jpegs[frame.frame] for frame in each.frames]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(videos(6)))
def test_the_order_of_the_videos_does_not_change_a_byte(
    tmp_path_factory: pytest.TempPathFactory, some: list[VideoDocuments]
) -> None:
    config = WriteConfig(shard_bytes=10_000, val_share=0.3)
    folder = tmp_path_factory.mktemp("group")
    write_group(videos(6), folder / "sorted", config, 5)
    write_group(some, folder / "permuted", config, 5)
    assert contents(folder / "permuted") == contents(folder / "sorted")
