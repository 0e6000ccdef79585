"""What optional stages add to documents: captions, fused texts, and nothing where they are off."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from schemas.row import RowError
from schemas.rows import AlignedRow, CaptionsRow, FrameCaption, FrameFusion, FusedRow, Sentence, SoundsRow
from stages.write.additions import Additions
from stages.write.stage import VideoDocuments, WriteConfig, write_group
from storyloom.format.codes import read_codes
from storyloom.format.sample import FormatError
from storyloom.format.tar import member
from tests.documents import complete, document, picture_codes, read_documents, read_shard, tone, video, with_codes

KEY = "ca978112ca1bbdcafac2-0000"

FORMER = {
    "channel": "",
    "chapter_start": [],
    "chapters": [],
    "doc_end": 4.0,
    "doc_start": 0.0,
    "extra": "{}",
    "image_clip_score": [0.25, 0.25],
    "image_height": [48, 48],
    "image_shift": [0.0, 0.0],
    "image_text_index": [0, 1],
    "image_time": [0.5, 2.5],
    "image_width": [64, 64],
    "images": [f"{KEY}.000.jpg", None, f"{KEY}.001.jpg", None],
    "lag": 0.0,
    "lag_confidence": 0.0,
    "language": "en",
    "license": "",
    "sample_id": KEY,
    "schema": "storyloom/2",
    "text_end": [1.5, 3.5],
    "text_source": ["asr", "asr"],
    "text_start": [0.0, 2.0],
    "texts": [None, "so here we 0 0", None, "so here we 0 1"],
    "title": "a",
    "upload_date": "",
    "video_id": "a",
    "video_start": 0.0,
    "video_url": "https://example.org/a.mp4",
}
"""A document as it was written before captions, fused texts, word times and sound were known."""

FORMER_IMAGES = "7bc584db5d004327dc27fe9315782be499471b628d14b10a9dd4bb56d116c45d"
"""SHA-256 of the members that followed it."""

EMPTY = {
    "image_caption": ["", ""],
    "image_fuse_status": ["off", "off"],
    "image_fused": ["", ""],
    "text_words": [0, 0],
    "word_end": [],
    "word_start": [],
    "words": [],
}


def written(one: VideoDocuments, folder: Path, **settings: Any) -> dict[str, Any]:
    write_group([one], folder, WriteConfig(**settings), 0)
    (found,) = read_documents(folder).values()
    return dict(found)


def captions(one: VideoDocuments, *frames: int) -> CaptionsRow:
    shown = [FrameCaption(frame=n, caption=f"a cup {n}", status="captioned") for n in frames]
    return CaptionsRow(video=one.row.video, captions=shown)


def fusions(one: VideoDocuments, *statuses: str, replace: bool = False) -> FusedRow:
    frames = [
        FrameFusion(frame=n, fused=f"here is a cup {n}" if status == "fused" else "", status=status)
        for n, status in enumerate(statuses)
    ]
    return FusedRow(video=one.row.video, replace=replace, frames=frames)


def test_a_document_without_additions_has_the_bytes_of_before_and_empty_values_of_the_new_keys(tmp_path: Path) -> None:
    write_group([video("a", document())], tmp_path, WriteConfig(), 0)
    content = json.dumps(FORMER | EMPTY, sort_keys=True, separators=(",", ":")).encode()
    shard = (tmp_path / "train-rest.tar").read_bytes()
    document_end = len(member(f"{KEY}.json", content))
    assert shard[:document_end] == member(f"{KEY}.json", content)
    assert sha256(shard[document_end : document_end + 4096]).hexdigest() == FORMER_IMAGES
    assert not shard[document_end + 4096 :].strip(b"\0")


def test_captions_are_joined_by_the_frames_numbers(tmp_path: Path) -> None:
    one = video("a", document())
    found = written(one._replace(additions=Additions(captions(one, 1, 0))), tmp_path)
    assert found == FORMER | EMPTY | {"image_caption": ["a cup 0", "a cup 1"]}


def test_fused_texts_stand_beside_what_was_said(tmp_path: Path) -> None:
    one = video("a", document())
    found = written(one._replace(additions=Additions(fusions=fusions(one, "fused", "kept:unsure"))), tmp_path)
    fused = {"image_fused": ["here is a cup 0", ""], "image_fuse_status": ["fused", "kept:unsure"]}
    assert found == FORMER | EMPTY | fused


def test_a_fused_text_takes_the_place_of_what_was_said_where_that_is_wanted(tmp_path: Path) -> None:
    one = video("a", document(frames=3, texts=2))
    frames = [frame.model_copy(update={"text": 1}) for frame in one.row.documents[0].frames]
    row = one.row.model_copy(update={"documents": [one.row.documents[0].model_copy(update={"frames": frames})]})
    fused = fusions(one, "failed:no_answer", "fused", "fused", replace=True)
    found = written(one._replace(row=row, additions=Additions(fusions=fused)), tmp_path)
    assert [text for text in found["texts"] if text] == ["so here we 0 0", "here is a cup 1"]
    assert found["text_source"] == ["asr", "fused"]


@pytest.mark.parametrize("stage", ["caption", "fuse"])
def test_a_frame_without_its_row_is_refused(stage: str, tmp_path: Path) -> None:
    one = video("a", document())
    short = Additions(captions(one, 0)) if stage == "caption" else Additions(fusions=fusions(one, "fused"))
    with pytest.raises(FormatError, match=f"`{stage}` has nothing of frame 1") as refused:
        written(one._replace(additions=short), tmp_path)
    assert refused.value.rule == "frame_without_row"


def test_no_document_is_lost_with_a_video_over_which_captions_or_fusions_failed(tmp_path: Path) -> None:
    one = video("a", document())
    error = RowError(stage="caption", code="internal", message="broken")
    failed = Additions(CaptionsRow(video=one.row.video, error=error), FusedRow(video=one.row.video, error=error))
    found = written(one._replace(additions=failed), tmp_path)
    assert found["image_caption"] == found["image_fused"] == ["", ""]
    assert found["image_fuse_status"] == ["failed:internal"] * 2
    assert found["texts"] == FORMER["texts"]


def aligned(one: VideoDocuments) -> tuple[VideoDocuments, AlignedRow]:
    """The video, and its sentences of five words each; before them one that is in no document."""
    drafts = one.row.documents[0].texts
    said = [text.model_copy(update={"sentence": number}) for number, text in enumerate(drafts, 1)]
    early = Sentence(start=0.0, end=0.0, text="hm", words=1)
    row = AlignedRow(
        video=one.row.video,
        sentences=[early, *(Sentence(start=t.start, end=t.end, text=t.text, words=5) for t in drafts)],
        sentence_words=[1, 5, 5],
        words=["hm", *(word for text in drafts for word in text.text.split())],
        word_start=[0.0, *(text.start + 0.25 * n for text in drafts for n in range(5))],
        word_end=[0.0, *(text.start + 0.25 * n + 0.25 for text in drafts for n in range(5))],
    )
    document = one.row.documents[0].model_copy(update={"texts": said})
    return one._replace(row=one.row.model_copy(update={"documents": [document]})), row


def test_words_are_those_of_the_texts_sentences(tmp_path: Path) -> None:
    one, row = aligned(video("a", document()))
    found = written(one._replace(additions=Additions(aligned=row)), tmp_path)
    assert found["words"] == ["so", "here", "we", "0", "0", "so", "here", "we", "0", "1"]
    assert found["word_start"] == [0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 2.25, 2.5, 2.75, 3.0]
    assert found["word_end"] == [0.25, 0.5, 0.75, 1.0, 1.25, 2.25, 2.5, 2.75, 3.0, 3.25]
    assert found["text_words"] == [5, 5]


def test_a_fused_text_in_the_place_of_what_was_said_has_no_words(tmp_path: Path) -> None:
    one, row = aligned(video("a", document()))
    more = Additions(fusions=fusions(one, "kept:unsure", "fused", replace=True), aligned=row)
    found = written(one._replace(additions=more), tmp_path)
    assert (found["words"], found["text_words"]) == (["so", "here", "we", "0", "0"], [5, 0])


def test_a_text_that_is_not_the_sentence_that_it_says_is_refused(tmp_path: Path) -> None:
    one, row = aligned(video("a", document()))
    changed = row.model_copy(update={"sentences": row.sentences[1:]})
    with pytest.raises(FormatError, match="is not the video's sentence 1") as refused:
        written(one._replace(additions=Additions(aligned=changed)), tmp_path)
    assert refused.value.rule == "sentence_index"


def test_sounds_follow_the_images_in_the_order_of_the_texts(tmp_path: Path) -> None:
    one = complete(video("a", document(frames=1, texts=2)))
    (shard,) = write_group([one], tmp_path, WriteConfig(), 0)
    members = read_shard(tmp_path / "train-rest.tar")
    assert list(members) == [f"{KEY}.json", f"{KEY}.000.jpg", f"{KEY}.t000.opus", f"{KEY}.t001.opus"]
    assert list(members.values())[2:] == [tone(0, 1.5), tone(1, 1.5)]
    assert shard.most_sounds == 2


def test_a_text_without_its_sound_is_refused(tmp_path: Path) -> None:
    one = complete(video("a", document()))
    later = one.row.documents[0].texts[1].model_copy(update={"end": 3.4})
    drafts = [one.row.documents[0].model_copy(update={"texts": [one.row.documents[0].texts[0], later]})]
    changed = one._replace(
        row=one.row.model_copy(update={"documents": drafts}), additions=replace(one.additions, aligned=None)
    )
    with pytest.raises(FormatError, match=r"`sound` has nothing of text 1 from 2\.0 to 3\.4 s") as refused:
        written(changed, tmp_path)
    assert refused.value.rule == "text_without_sound"


def test_a_video_without_sound_is_not_written_where_others_have_it(tmp_path: Path) -> None:
    one, failed = complete(video("a", document())), complete(video("b", document()))
    error = RowError(stage="sound", code="decode_timeout", message="too long", retryable=True)
    ended = replace(failed.additions, sounds=lambda: SoundsRow(video=failed.row.video, error=error))
    write_group([one, failed._replace(additions=ended)], tmp_path, WriteConfig(), 0)
    assert list(read_documents(tmp_path)) == [KEY]


def test_codes_follow_the_images_and_come_before_the_sounds(tmp_path: Path) -> None:
    one = with_codes(complete(video("a", document(frames=2, texts=1))))
    (shard,) = write_group([one], tmp_path, WriteConfig(), 0)
    members = read_shard(tmp_path / "train-rest.tar")
    parts = ["json", "000.jpg", "001.jpg", "000.codes.npy", "001.codes.npy", "t000.opus"]
    assert list(members) == [f"{KEY}.{part}" for part in parts]
    for number in range(2):
        assert read_codes(members[f"{KEY}.00{number}.codes.npy"]).tolist() == picture_codes(number).tolist()
    assert shard.ncodes == 24
    (row,) = pq.read_table(tmp_path / "train-rest.parquet").to_pylist()
    assert (row["code_rows"], row["code_columns"]) == ([3, 3], [4, 4])


def test_a_frame_without_codes_is_refused(tmp_path: Path) -> None:
    one = with_codes(video("a", document()))
    assert one.additions.codes is not None
    row = one.additions.codes()
    later = row.frames[1].model_copy(update={"time": 2.6})
    moved = row.model_copy(update={"frames": [row.frames[0], later]})
    with pytest.raises(FormatError, match=r"`tokenize` has nothing of frame 1 at 2\.5 s") as refused:
        written(one._replace(additions=Additions(codes=lambda: moved)), tmp_path)
    assert refused.value.rule == "frame_without_codes"


def test_more_texts_than_names_of_sounds_can_count_are_refused(tmp_path: Path) -> None:
    one = complete(video("a", document(frames=1, texts=1001)))
    with pytest.raises(FormatError, match="1001 texts, but with sound a document has at most 1000") as refused:
        written(one, tmp_path)
    assert refused.value.rule == "too_many_texts"
