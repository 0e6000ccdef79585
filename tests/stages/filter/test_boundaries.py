"""Where documents end: at a turn of topic that the picture makes too, never inside a sentence."""

from dataclasses import replace

import numpy as np

from schemas.rows import SampledFrame
from stages.filter.assign import UNPAIRED
from stages.filter.boundaries import DocumentLimits, documents_of, topic_turns, units_of
from tests.stages.rows import sentence

SAID = [sentence(10.0 * i, 10.0 * i + 8.0) for i in range(4)]
LIMITS = DocumentLimits(min_words=10, max_words=1000, max_images=30, max_silence=30.0)


def frames(*scenes: int) -> list[SampledFrame]:
    """A frame in the middle of each sentence, in these scenes."""
    return [
        SampledFrame(time=10.0 * i + 4.0, start=10.0 * i, scene=scene, width=64, height=36, black=0.0, sharpness=0.0)
        for i, scene in enumerate(scenes)
    ]


def grouped(turns: set[int], limits: DocumentLimits = LIMITS) -> list[list[int]]:
    units = units_of(SAID, frames(0, 0, 1, 1), [0, 1, 2, 3], np.array([0, 1, 2, 3]))
    return [[unit.sentence for unit in document] for _, document in documents_of(units, turns, limits)]


def test_a_topic_turns_where_text_and_picture_change_together() -> None:
    assert topic_turns(SAID, frames(0, 0, 1, 1), [0.5, 0.1, 0.5], 0.2) == {2}


def test_a_change_of_text_without_a_cut_is_no_turn() -> None:
    assert topic_turns(SAID, frames(0, 0, 0, 0), [0.5, 0.1, 0.5], 0.2) == set()


def test_a_cut_in_the_middle_of_a_topic_is_no_turn() -> None:
    assert topic_turns(SAID, frames(0, 1, 2, 3), [0.5, 0.5, 0.5], 0.2) == set()


def test_without_frames_or_with_a_single_sentence_nothing_turns() -> None:
    assert topic_turns(SAID, [], [0.1, 0.1, 0.1], 0.2) == set()
    assert topic_turns(SAID[:1], frames(0), [], 0.2) == set()


def test_a_turn_ends_a_document_that_is_long_enough() -> None:
    assert grouped({2}) == [[0, 1], [2, 3]]


def test_a_turn_does_not_end_a_document_that_would_be_too_short_to_keep() -> None:
    assert grouped({1, 2}) == [[0, 1], [2, 3]]


def test_each_document_says_why_it_begins() -> None:
    units = units_of(SAID, frames(0, 0, 1, 1), [0, 1, 2, 3], np.array([0, 1, 2, 3]))

    def reasons(turns: set[int], chapters: list[float], limits: DocumentLimits = LIMITS) -> list[str]:
        return [why for why, _ in documents_of(units, turns, limits, chapters)]

    assert reasons({2}, []) == ["", "topic"]
    assert reasons(set(), [0.0, 23.0]) == ["", "chapter"]
    assert reasons(set(), [], replace(LIMITS, max_images=2)) == ["", "max_images"]
    assert reasons(set(), [], replace(LIMITS, max_words=1)) == ["", "max_words", "max_words", "max_words"]
    assert reasons(set(), [], replace(LIMITS, max_silence=0.5)) == ["", "silence", "silence", "silence"]


def test_without_a_turn_the_document_goes_on() -> None:
    assert grouped(set()) == [[0, 1, 2, 3]]


def chaptered(starts: list[float]) -> list[tuple[list[int], list[int]]]:
    """Sentences and frames of each document; a frame stands 9 s after each sentence began, and has no sentence."""
    shown = frames(0, 0, 0, 0)
    late = [frame.model_copy(update={"time": frame.time + 5.0}) for frame in shown]
    units = units_of(SAID, late, [0, 1, 2, 3], np.array([UNPAIRED] * 4), starts)
    found = documents_of(units, set(), LIMITS, starts)
    return [([u.sentence for u in units], [f for u in units for f in u.frames]) for _, units in found]


def test_a_document_does_not_cross_a_chapter() -> None:
    assert chaptered([0.0, 10.0, 30.0]) == [([0], [0]), ([1, 2], [1, 2]), ([3], [3])]


def test_a_sentence_belongs_to_the_chapter_that_holds_its_middle() -> None:
    assert [said for said, _ in chaptered([0.0, 13.0, 23.0])] == [[0], [1], [2, 3]]


def test_a_frame_stays_in_its_chapter_though_a_sentence_of_another_is_nearer() -> None:
    assert chaptered([0.0, 8.5]) == [([0], []), ([1, 2, 3], [0, 1, 2, 3])]


def test_without_chapters_nothing_changes() -> None:
    assert chaptered([]) == [([0, 1, 2, 3], [0, 1, 2, 3])]
