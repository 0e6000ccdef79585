"""The stage: which frames are encoded, how rows look, what a config may say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from schemas.rows import CodesRow, DocumentsRow, FramesRow
from stages.base import Video
from stages.tokenize.stage import Tokenize, TokenizeConfig
from stages.tokenize.tokenizer import load_tokenizer
from storyloom.format.codes import read_codes
from tests.documents import document, video
from tests.stages.real_media import context


def tokenize(**settings: Any) -> Tokenize:
    stage = Tokenize(TokenizeConfig(enabled=True, **settings), context())
    stage.setup()
    return stage


def given(name: str, *, frames: int = 3) -> Video:
    """A video with two documents, whose last frame is in none."""
    one = video(name, document(frames=frames), document(1, frames=1))
    sampled = one.frames()
    documents = one.row.documents
    kept = [*documents[:1], documents[1].model_copy(update={"frames": []})]
    return Video(one.manifest, [DocumentsRow(video=one.row.video, documents=kept), sampled])


def rows_of(stage: Tokenize, videos: list[Video]) -> Iterator[CodesRow]:
    for row in stage.process(videos):
        assert isinstance(row, CodesRow)
        yield row


def test_only_frames_of_documents_are_encoded_each_with_its_time() -> None:
    source = given("a")
    (row,) = rows_of(tokenize(), [source])
    assert [(one.frame, one.time, one.rows, one.columns) for one in row.frames] == [
        (0, 0.5, 3, 4),
        (1, 2.5, 3, 4),
        (2, 4.5, 3, 4),
    ]
    assert len(source[FramesRow].jpegs) == 4
    assert (row.documents, row.sentences, row.counts()["codes"]) == (2, 4, 36)


def test_a_frame_s_codes_are_those_of_its_decoded_picture() -> None:
    import io

    from PIL import Image

    source = given("a")
    (row,) = rows_of(tokenize(model="fitted-4"), [source])
    pictures = [np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")) for jpeg in source[FramesRow].jpegs[:3]]
    wanted = load_tokenizer("fitted-4").encode(pictures)
    assert [read_codes(one).tolist() for one in row.npy] == [one.tolist() for one in wanted]


def test_videos_together_have_the_rows_that_they_have_alone() -> None:
    videos = [given("a"), given("b", frames=1), given("c")]
    assert list(rows_of(tokenize(), videos)) == [tokenize().one(one) for one in videos]


def test_the_longer_side_is_bounded() -> None:
    (row,) = rows_of(tokenize(max_side=32), [given("a")])
    assert {(one.rows, one.columns) for one in row.frames} == {(2, 2)}


def test_a_codebook_is_named_by_its_content_and_the_libraries_that_make_pictures() -> None:
    revision = tokenize().revision()
    assert revision.startswith("fitted-16 sha256:")
    assert "pillow" in revision
    assert tokenize(model="fitted-8").revision().partition(";")[0] != revision.partition(";")[0]


@pytest.mark.parametrize("name", ["patches", "Fuyu", "eve"])
def test_raw_patches_are_refused_since_they_have_no_codes(name: str) -> None:
    with pytest.raises(ValidationError, match="raw patches, as Fuyu and EVE read them, have no codes to store"):
        TokenizeConfig(model=name)


def test_a_mistyped_codebook_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="there is no codebook 'fited-16'; did you mean 'fitted-16'"):
        TokenizeConfig(model="fited-16")


def test_a_fitted_codebook_needs_no_gpu_and_no_package_and_is_for_trying() -> None:
    small, large = TokenizeConfig(), TokenizeConfig(model="org/model")
    assert (small.uses_gpu, small.packages, small.for_trying) == (False, (), ("model",))
    assert (large.uses_gpu, large.packages, large.for_trying) == (True, ("torch", "transformers"), ())
