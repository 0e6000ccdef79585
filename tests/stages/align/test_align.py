"""align: which frame and sentence may belong together."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import AlignedRow
from stages.align.stage import Align, AlignConfig, window_bounds
from stages.base import Video
from tests.stages.rows import CONTEXT, MANIFEST, aligned, frames_row, sentence, transcript

SPANS = [
    (0.0, 4.0, "The first sentence is here."),
    (5.0, 9.0, "The second one follows."),
    (40.0, 44.0, "The last is late."),
]


def test_a_frame_is_paired_with_every_sentence_inside_the_window_and_no_other() -> None:
    row = aligned(SPANS, [2.0, 30.0, 42.0])
    assert [(pair.frame, pair.sentence) for pair in row.pairs] == [(0, 0), (0, 1), (1, 2), (2, 2)]


def test_null_pairs_lie_outside_the_window() -> None:
    row = aligned(SPANS, [2.0, 42.0])
    assert {(pair.frame, pair.sentence) for pair in row.null_pairs} == {(0, 2), (1, 0), (1, 1)}


def processed(*videos: Sequence[tuple[float, float, str]]) -> list[AlignedRow]:
    """The rows of a part of videos with these sentences and frames at 2 s and 7 s."""
    part = []
    for number, spans in enumerate(videos):
        key = f"{number:020x}"
        rows = [transcript(spans), frames_row([2.0, 7.0])]
        part.append(
            Video(MANIFEST.model_copy(update={"video": key}), [row.model_copy(update={"video": key}) for row in rows])
        )
    found = list(Align(AlignConfig(), CONTEXT).process(part))
    assert all(isinstance(row, AlignedRow) for row in found)
    return [row for row in found if isinstance(row, AlignedRow)]


def test_a_short_video_takes_its_null_texts_from_the_other_videos_of_its_part() -> None:
    short, long = processed(SPANS[:1], [(40.0 * i, 40.0 * i + 4.0, f"Sentence number {i} of many.") for i in range(3)])
    assert sorted(short.null_texts) == [f"Sentence number {i} of many." for i in range(3)]
    assert [(pair.frame, pair.sentence) for pair in short.null_text_pairs] == [(f, s) for f in (0, 1) for s in range(3)]
    assert long.null_pairs
    assert long.null_texts == []


def test_a_short_video_alone_in_its_part_takes_those_of_its_own_that_do_not_overlap() -> None:
    (row,) = processed(SPANS[:2])
    assert {(pair.frame, pair.sentence) for pair in row.null_pairs} == {(0, 1), (1, 0)}


def test_a_single_sentence_gives_no_null_pair() -> None:
    assert aligned(SPANS[:1], [2.0]).null_pairs == []


def test_null_pairs_are_the_same_on_every_run() -> None:
    spans = [(10.0 * i, 10.0 * i + 4.0, f"Sentence number {i} of many.") for i in range(30)]
    times = [4.0 * i for i in range(70)]
    assert aligned(spans, times).null_pairs == aligned(spans, times).null_pairs


def test_a_video_without_frames_keeps_its_sentences() -> None:
    row = aligned(SPANS, [])
    assert [s.text for s in row.sentences] == [text for _, _, text in SPANS]
    assert row.pairs == []


@given(
    lengths=st.lists(st.tuples(st.floats(0.01, 20), st.floats(0, 20)), min_size=1, max_size=30),
    times=st.lists(st.floats(0, 500), max_size=30),
    window=st.floats(0, 30),
)
def test_the_window_holds_exactly_the_sentences_at_most_that_far_away(
    lengths: list[tuple[float, float]], times: list[float], window: float
) -> None:
    found, clock = [], 0.0
    for length, gap in lengths:
        found.append(sentence(clock, clock + length))
        clock += length + gap
    first, last = window_bounds(np.array(sorted(times)), found, window)
    for time, low, high in zip(sorted(times), first, last, strict=True):
        near = [i for i, s in enumerate(found) if s.start <= time + window and s.end > time - window]
        assert near == list(range(low, high))


def test_config_names_no_option_twice() -> None:
    assert set(AlignConfig().identity()) == set(AlignConfig.model_fields) - {"enabled", "resources"}
