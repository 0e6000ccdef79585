"""score: which pairs are compared, and what is encoded how often."""

from collections.abc import Sequence

import pytest

from schemas.rows import AlignedRow, FramesRow, Pair, ScoresRow
from stages.base import StageSetupError, Video
from stages.models.demo import photo_sentence_revision
from stages.score.image_text import ImageTextModel
from stages.score.stage import Score, ScoreConfig
from stages.score.towers import Embeddings
from tests.stages.photos import CAT, COFFEE, jpeg, photo
from tests.stages.rows import CONTEXT, KEY, MANIFEST, frames_row, sentence


@pytest.fixture(scope="module")
def stage() -> Score:
    stage = Score(ScoreConfig(), CONTEXT)
    stage.setup()
    return stage


def video(number: int, photos: Sequence[str], texts: Sequence[str], foreign: Sequence[str] = ()) -> Video:
    """A video that shows photos, each beside one of the texts; each photo is also paired with each foreign text."""
    key = f"{number:020x}"
    places = range(len(photos))
    times = [float(4 * place) for place in places]
    jpegs = [name.encode() if name == "broken" else jpeg(photo(name)) for name in photos]
    frames = frames_row(times).model_copy(update={"video": key, "jpegs": jpegs})
    aligned = AlignedRow(
        video=key,
        sentences=[sentence(time, time + 4, text) for time, text in zip(times, texts, strict=True)],
        frame_times=times,
        pairs=[Pair(frame=place, sentence=place) for place in places],
        null_texts=list(foreign),
        null_text_pairs=[Pair(frame=place, sentence=text) for place in places for text in range(len(foreign))],
    )
    return Video(MANIFEST.model_copy(update={"video": key}), [aligned, frames])


PART = (
    video(1, ["chelsea", "coffee"], [CAT, COFFEE], ["A dog."]),
    video(2, [], []),
    video(3, ["coffee"], [COFFEE], ["A dog.", CAT]),
)


def test_videos_of_a_part_score_together_as_they_do_alone(stage: Score) -> None:
    together = [row for row in stage.process(PART) if isinstance(row, ScoresRow)]
    alone = [stage.one(one) for one in PART]
    assert [row.video for row in together] == [row.video for row in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.similarity == pytest.approx(other.similarity, abs=2e-4)
        assert one.null_similarity == pytest.approx(other.null_similarity, abs=2e-4)
    assert together[0].similarity[1] > together[0].null_similarity[1]


class Counting(ImageTextModel):
    """Notes what it is asked for."""

    def __init__(self, model: ImageTextModel) -> None:
        self.__dict__ = {**model.__dict__, "pictures": [], "texts": []}

    def encode(self, jpegs: Sequence[bytes], texts: Sequence[str]) -> tuple[Embeddings, Embeddings]:
        self.__dict__["pictures"].append(len(jpegs))
        self.__dict__["texts"].extend(texts)
        return super().encode(jpegs, texts)


def test_each_text_of_a_part_is_encoded_once_and_short_videos_share_a_batch(stage: Score) -> None:
    counted = Score(stage.config, CONTEXT)
    assert stage._model is not None
    counted._model = counting = Counting(stage._model)
    list(counted.process(PART))
    assert sorted(counting.__dict__["texts"]) == sorted(["A dog.", CAT, COFFEE])
    assert counting.__dict__["pictures"] == [3]


def test_a_frame_that_cannot_be_decoded_is_no_fault_of_a_video_and_fails_the_attempt(stage: Score) -> None:
    with pytest.raises(ValueError, match="a frame cannot be decoded"):
        list(stage.process([PART[0], video(4, ["broken"], [COFFEE]), PART[2]]))


def test_the_time_of_the_model_is_measured(stage: Score) -> None:
    stage.timings.take()
    list(stage.process(PART))
    assert stage.timings.take()["model"] > 0


def test_the_pairs_that_align_names_are_compared_in_their_order(stage: Score) -> None:
    frames = frames_row([1.0, 5.0]).model_copy(update={"jpegs": [jpeg(photo("chelsea")), jpeg(photo("coffee"))]})
    aligned = AlignedRow(
        video=KEY,
        sentences=[sentence(0, 4, CAT), sentence(4, 8, COFFEE), sentence(8, 12, COFFEE)],
        frame_times=[1.0, 5.0],
        pairs=[Pair(frame=0, sentence=0), Pair(frame=1, sentence=1), Pair(frame=1, sentence=2)],
        null_pairs=[Pair(frame=1, sentence=0)],
    )
    row = stage.one(Video(MANIFEST, [aligned, frames]))
    assert isinstance(row, ScoresRow)
    assert row.similarity[1] == row.similarity[2] > row.null_similarity[0]
    assert (row.model, row.revision) == ("demo", photo_sentence_revision())
    assert len(row.similarity) == 3


def test_a_video_without_frames_has_no_scores(stage: Score) -> None:
    aligned = AlignedRow(video=KEY, sentences=[sentence(0, 4)])
    row = stage.one(Video(MANIFEST, [aligned, FramesRow(video=KEY)]))
    assert (row.similarity, row.null_similarity) == ([], [])


def test_a_model_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(StageSetupError, match=r"score\.model 'ViT-nothing' cannot be loaded"):
        Score(ScoreConfig(model="ViT-nothing"), CONTEXT).setup()
