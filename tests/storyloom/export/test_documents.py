"""How one document looks in each format."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from storyloom.export.bounded import bounded
from storyloom.export.mmc4 import placed_before, similarity_matrix
from storyloom.export.one_text import one_text
from storyloom.export.turns import conversation
from storyloom.format.sample import Sample, added, frames_first, image_name

KEY = "0a-0000"


def sample(image_times: list[float], texts: list[tuple[float, float]], pairs: list[int]) -> Sample:
    images = iter(range(len(image_times)))
    words = iter(range(len(texts)))
    order = frames_first(image_times, texts)
    return Sample(
        schema="storyloom/2",
        sample_id=KEY,
        texts=[None if is_image else f"text {next(words)}" for is_image in order],
        images=[image_name(KEY, next(images)) if is_image else None for is_image in order],
        image_time=image_times,
        image_width=[64] * len(image_times),
        image_height=[48] * len(image_times),
        image_text_index=pairs,
        image_clip_score=[0.25 if pair >= 0 else -1.0 for pair in pairs],
        image_shift=[0.0] * len(image_times),
        text_start=[start for start, _ in texts],
        text_end=[end for _, end in texts],
        text_source=["asr"] * len(texts),
        video_id="",
        video_url="",
        title="",
        doc_start=0.0,
        doc_end=100.0,
        language="",
        license="",
        **added(len(image_times), len(texts)),
    )


TEXT_FIRST = sample([2.5, 2.6, 9.0], [(0.0, 1.0), (2.0, 3.0), (4.0, 5.0)], [1, -1, -1])


def test_frames_are_asked_and_texts_are_answered() -> None:
    assert conversation(TEXT_FIRST) == [
        {"from": "human", "value": ""},
        {"from": "gpt", "value": "text 0"},
        {"from": "human", "value": "<image><image>"},
        {"from": "gpt", "value": "text 1 text 2"},
        {"from": "human", "value": "<image>"},
    ]


def test_a_closed_conversation_ends_with_an_answer() -> None:
    assert conversation(TEXT_FIRST, closed=True)[-1] == {"from": "gpt", "value": ""}
    ended = sample([0.5], [(0.0, 1.0)], [0])
    assert conversation(ended, closed=True) == conversation(ended)


def test_a_text_document_keeps_its_order_and_separates_texts_by_a_space() -> None:
    assert one_text(TEXT_FIRST, ["<image>"] * 3) == "text 0<image><image>text 1 text 2<image>"


def test_a_frame_without_a_text_stands_before_the_text_that_follows_or_the_last() -> None:
    assert placed_before(TEXT_FIRST) == [1, 1, 2]


def test_unknown_similarities_are_lower_than_any_known_one() -> None:
    assert similarity_matrix(TEXT_FIRST) == [[-1.0, 0.25, -1.0], [-1.0, -1.0, -1.0], [-1.0, -1.0, -1.0]]


@given(st.lists(st.integers(1, 50)), st.integers(1, 60), st.integers(0, 20))
def test_files_hold_everything_in_order_and_only_a_single_item_exceeds_the_limit(
    sizes: list[int], limit: int, overhead: int
) -> None:
    files = [(number, list(group)) for number, group in bounded(sizes, int, limit, overhead)]
    assert [number for number, _ in files] == list(range(len(files)))
    assert [size for _, group in files for size in group] == sizes
    assert all(len(group) == 1 or overhead + sum(group) <= limit for _, group in files)
    for (_, group), (_, following) in pairwise(files):
        assert overhead + sum(group) + following[0] > limit
