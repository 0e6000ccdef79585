"""filter: which frame goes with which sentence, what is dropped and why, where documents end."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.calibration import ENOUGH, Calibration, StatedThreshold
from schemas.media import Chapter, MediaRow, SitePage
from schemas.rows import AlignedRow, DocumentsRow
from stages.base import Context, Video
from stages.filter.stage import Filter, FilterConfig
from tests.stages.rows import CONTEXT, KEY, MANIFEST, aligned, frames_row, scored

TEN = "one two three four five six seven eight nine ten"


def decide(
    row: AlignedRow,
    similarity: float | Sequence[float] = 0.5,
    black: Sequence[float] = (),
    sharpness: Sequence[float] = (),
    starts: Sequence[float] = (),
    **config: object,
) -> DocumentsRow:
    options = FilterConfig.model_validate(
        {"mode": "time", "threshold": 0.2, "min_words": 1, "min_scored_share": 0.0} | config
    )
    frames = frames_row(row.frame_times, black, sharpness, starts)
    return Filter(options, CONTEXT).one(Video(MANIFEST, [row, scored(row, similarity), frames]))


def spans(count: int, every: float = 10.0) -> list[tuple[float, float, str]]:
    return [(every * i, every * i + 4.0, f"This is sentence number {i} here.") for i in range(count)]


def reasons(row: DocumentsRow, kind: str) -> list[tuple[int, str]]:
    return [(item.index, item.reason) for item in row.dropped_items if item.kind == kind]


def test_a_frame_goes_with_the_sentence_that_holds_its_time() -> None:
    (document,) = decide(aligned(spans(3), [2.0, 12.0, 22.0])).documents
    assert [(frame.time, document.texts[frame.text].text) for frame in document.frames] == [
        (2.0, "This is sentence number 0 here."),
        (12.0, "This is sentence number 1 here."),
        (22.0, "This is sentence number 2 here."),
    ]


def test_a_frame_in_a_pause_stays_without_a_sentence() -> None:
    (document,) = decide(aligned(spans(2), [2.0, 7.0])).documents
    assert [(frame.time, frame.text, frame.similarity) for frame in document.frames] == [(2.0, 0, 0.5), (7.0, -1, -1.0)]


def test_a_dropped_frame_does_not_drop_its_text() -> None:
    row = aligned(spans(2, every=20.0), [2.0, 22.0])
    result = decide(row, [0.5, 0.1])
    (document,) = result.documents
    assert [text.text for text in document.texts] == [
        "This is sentence number 0 here.",
        "This is sentence number 1 here.",
    ]
    assert [frame.time for frame in document.frames] == [2.0]
    assert reasons(result, "frame") == [(1, "low_similarity")]


def test_a_text_names_its_sentence_among_those_of_the_video() -> None:
    row = aligned([(0.0, 4.0, "Thank you for watching"), *spans(3)[1:]], [12.0])
    (document,) = decide(row).documents
    assert [row.sentences[text.sentence].text for text in document.texts] == [text.text for text in document.texts]
    assert [text.sentence for text in document.texts] == [1, 2]


def test_black_and_blurred_frames_are_dropped_with_their_reason() -> None:
    result = decide(
        aligned(spans(1), [1.0, 2.0, 3.0]), black=[1.0, 0, 0], sharpness=[0, 99.0, 100.0], min_sharpness=100.0
    )
    assert reasons(result, "frame") == [(0, "black"), (1, "blurred")]


def test_a_flagged_sentence_is_dropped_and_its_frame_stays_without_text() -> None:
    said = [(0.0, 4.0, "This is a proper sentence."), (5.0, 7.0, "Thanks for watching!")]
    result = decide(aligned(said, [2.0, 6.0]))
    assert reasons(result, "sentence") == [(1, "boilerplate")]
    assert [(frame.time, frame.text) for frame in result.documents[0].frames] == [(2.0, 0), (6.0, -1)]


def test_a_long_silence_ends_a_document() -> None:
    said = [(0.0, 4.0, TEN), (40.0, 44.0, TEN)]
    first, second = decide(aligned(said, [2.0, 42.0])).documents
    assert (first.number, first.start, first.end) == (0, 0.0, 4.0)
    assert (second.number, second.start, second.end) == (1, 40.0, 44.0)


def test_a_frame_in_a_long_silence_goes_with_the_nearer_speech() -> None:
    said = [(0.0, 4.0, TEN), (100.0, 104.0, TEN)]
    first, second = decide(aligned(said, [2.0, 10.0, 90.0, 102.0])).documents
    assert [frame.time for frame in first.frames] == [2.0, 10.0]
    assert [frame.time for frame in second.frames] == [90.0, 102.0]


def test_a_document_ends_before_it_has_too_many_images() -> None:
    row = aligned(spans(5), [10.0 * i + 2.0 for i in range(5)])
    documents = decide(row, max_images=2).documents
    assert [[frame.time for frame in document.frames] for document in documents] == [[2.0, 12.0], [22.0, 32.0], [42.0]]


def test_a_document_ends_before_it_has_too_many_words() -> None:
    documents = decide(aligned(spans(4), [2.0, 12.0, 22.0, 32.0]), max_words=12).documents
    assert [len(document.texts) for document in documents] == [2, 2]


def test_images_beyond_the_limit_under_one_sentence_are_dropped_with_their_reason() -> None:
    result = decide(aligned(spans(1), [0.5, 1.0, 2.0, 3.0]), max_images=3)
    assert [frame.time for frame in result.documents[0].frames] == [0.5, 1.0, 2.0]
    assert reasons(result, "frame") == [(3, "too_many_images")]


def test_a_document_of_too_few_words_is_dropped_with_all_it_holds() -> None:
    result = decide(aligned(spans(1), [2.0]), min_words=10)
    assert result.documents == []
    assert result.dropped is not None
    assert (result.dropped.stage, result.dropped.reason, result.dropped.detail) == (
        "filter",
        "no_document",
        "too_few_words",
    )
    assert [(item.kind, item.reason) for item in result.dropped_items] == [
        ("document", "too_few_words"),
        ("sentence", "document_too_few_words"),
        ("frame", "document_too_few_words"),
    ]


def test_a_video_with_speech_and_no_good_frame_says_so() -> None:
    result = decide(aligned(spans(3), [2.0, 12.0]), similarity=0.0)
    assert result.dropped is not None
    assert result.dropped.detail == "no_image"


def test_the_calibrated_threshold_is_the_stated_quantile_of_the_null() -> None:
    calibration = Calibration.pool(np.linspace(0.0, 1.0, 10_001))
    stage = Filter(FilterConfig(false_accept_rate=0.05), Context(0, CONTEXT.media, {"calibrate": calibration}))
    assert stage.threshold == pytest.approx(0.95, abs=1e-3)


def test_the_null_distribution_is_read_only_where_the_threshold_rests_on_it() -> None:
    assert "calibrate" in {one.stage for one in Filter.inputs(FilterConfig())}
    assert "calibrate" not in {one.stage for one in Filter.inputs(FilterConfig(threshold=0.2))}


def test_clip_mode_pairs_narration_that_comes_late_and_says_by_how_much() -> None:
    told = [(start + 4.0, end + 4.0, text) for start, end, text in spans(20, every=5.0)]
    row = aligned(told, [5.0 * i + 2.0 for i in range(20)])
    similarity = [0.4 if pair.frame == pair.sentence else 0.0 for pair in row.pairs]
    cuts = [5.0 * i for i in range(20)]
    late, on_time = (decide(row, similarity, starts=cuts, mode=mode) for mode in ("clip", "time"))
    (document,) = late.documents
    assert [(frame.text, frame.similarity, frame.shift) for frame in document.frames] == [
        (i, 0.4, -2.0) for i in range(20)
    ]
    assert late.lag == pytest.approx(4.0, abs=0.5)
    assert on_time.lag == 0.0
    assert reasons(on_time, "frame") == [(i, "low_similarity") for i in range(1, 20)]


def test_in_clip_mode_a_frame_unlike_the_sentence_of_its_moment_is_dropped() -> None:
    result = decide(aligned(spans(2), [2.0, 12.0]), [0.5, 0.0, 0.0, 0.1], mode="clip")
    assert [(frame.time, frame.text) for frame in result.documents[0].frames] == [(2.0, 0)]
    assert reasons(result, "frame") == [(1, "low_similarity")]


def test_in_clip_mode_a_frame_goes_into_the_document_of_its_sentence() -> None:
    row = aligned(spans(3), [2.0, 9.0, 13.5, 22.0])
    similarity = [0.5 if (pair.frame, pair.sentence) in {(0, 0), (1, 1), (2, 2), (3, 2)} else 0.0 for pair in row.pairs]
    documents = decide(row, similarity, mode="clip", max_words=6, threshold=0.1, shift_cost=0.1).documents
    assert [[(frame.time, frame.text) for frame in document.frames] for document in documents] == [
        [(2.0, 0)],
        [(9.0, 0)],
        [(13.5, 0), (22.0, 0)],
    ]


def test_a_frame_without_a_sentence_does_not_overtake_one_that_was_moved() -> None:
    row = aligned(spans(2), [2.0, 3.0, 4.5, 12.0])
    similarity = [0.5 if (pair.frame, pair.sentence) in {(0, 0), (1, 1), (3, 1)} else -0.5 for pair in row.pairs]
    documents = decide(row, similarity, mode="clip", max_words=6, threshold=0.1, shift_cost=0.1).documents
    assert [[(frame.time, frame.text) for frame in document.frames] for document in documents] == [
        [(2.0, 0)],
        [(3.0, 0), (4.5, -1), (12.0, 0)],
    ]


@settings(deadline=None)
@given(
    mode=st.sampled_from(["time", "clip"]),
    gaps=st.lists(st.floats(0.1, 50), min_size=0, max_size=12),
    times=st.lists(st.floats(0, 400), max_size=40, unique_by=lambda t: round(t, 3)),
    low=st.floats(0, 1),
    max_images=st.integers(1, 6),
    max_words=st.integers(6, 40),
)
def test_everything_that_comes_in_goes_out_or_has_a_reason(
    mode: str, gaps: list[float], times: list[float], low: float, max_images: int, max_words: int
) -> None:
    said, clock = [], 0.0
    for i, gap in enumerate(gaps):
        said.append((round(clock, 3), round(clock + 2.0, 3), f"This is sentence number {i} here."))
        clock += 2.0 + gap
    row = aligned(said, sorted(round(time, 3) for time in times))
    similarity = [((7 * i) % 10) / 10 for i in range(len(row.pairs))]
    result = decide(row, similarity, mode=mode, threshold=low, max_images=max_images, max_words=max_words, min_words=4)

    kept_frames = [frame.frame for document in result.documents for frame in document.frames]
    assert sorted(kept_frames + [i for i, _ in reasons(result, "frame")]) == list(range(len(row.frame_times)))
    kept_texts = [text.text for document in result.documents for text in document.texts]
    dropped_texts = [row.sentences[i].text for i, _ in reasons(result, "sentence")]
    assert sorted(kept_texts + dropped_texts) == sorted(s.text for s in row.sentences)
    assert kept_frames == sorted(kept_frames)
    for document in result.documents:
        assert 1 <= len(document.frames) <= max_images
        for frame in document.frames:
            if frame.text == -1:
                assert frame.shift == 0.0
                continue
            text = document.texts[frame.text]
            assert text.start + frame.shift - 1e-9 <= frame.time <= text.end + frame.shift + 1e-9
            assert abs(frame.shift) <= (10.0 if mode == "clip" else 0.0)


@pytest.mark.parametrize(("chapters", "documents"), [(True, 2), (False, 1)])
def test_chapters_of_the_site_end_documents_unless_they_are_off(*, chapters: bool, documents: int) -> None:
    row = aligned(spans(4), [2.0, 12.0, 22.0, 32.0])
    stated = [Chapter(start=0.0, end=20.0, title="Red"), Chapter(start=20.0, end=40.0, title="Blue")]
    media = MediaRow(video=KEY, duration=40.0, site=SitePage(site="Talk", id="1", chapters=stated))
    config = FilterConfig(mode="time", threshold=0.2, min_words=1, chapters=chapters)
    rows = [row, scored(row, 0.5), frames_row(row.frame_times), media]
    found = Filter(config, CONTEXT).one(Video(MANIFEST, rows)).documents
    assert [len(document.texts) for document in found] == [4 // documents] * documents


def with_calibration(calibration: Calibration, **config: object) -> Filter:
    options = FilterConfig.model_validate({"mode": "time", "min_words": 1} | config)
    return Filter(options, Context(0, CONTEXT.media, {"calibrate": calibration}))


STATED = StatedThreshold(source="a paper", rates=[0.05, 0.25], thresholds=[0.4, 0.2], per_nat=0.05)


@pytest.mark.parametrize("mode", ["time", "clip"])
def test_with_too_few_null_scores_the_models_stated_threshold_counts_and_is_told(mode: str) -> None:
    row = aligned(spans(2, every=20.0), [2.0, 22.0])
    few = Calibration.pool(np.full(ENOUGH - 1, 0.9), "small", STATED)
    stage = with_calibration(few, mode=mode, false_accept_rate=0.25)
    result = stage.one(Video(MANIFEST, [row, scored(row, [0.3, 0.1]), frames_row(row.frame_times)]))
    assert reasons(result, "frame") == [(1, "low_similarity")]
    assert (result.threshold, result.threshold_from) == (0.2, "model")
    assert "threshold_of_model" in result.warnings


def test_without_null_scores_or_a_stated_threshold_everything_is_kept_and_told() -> None:
    row = aligned(spans(2, every=20.0), [2.0, 22.0])
    stage = with_calibration(Calibration.pool(np.full(3, 0.9), "unheard-of"), mode="clip")
    result = stage.one(Video(MANIFEST, [row, scored(row, [0.3, -0.5]), frames_row(row.frame_times)]))
    assert [frame.text for document in result.documents for frame in document.frames] == [0, 1]
    assert (result.threshold, result.threshold_from) == (-1.0, "none")
    assert "no_threshold" in result.warnings


def test_with_enough_null_scores_no_stated_threshold_counts() -> None:
    stage = with_calibration(Calibration.pool(np.linspace(0.0, 1.0, ENOUGH), "small", STATED), false_accept_rate=0.5)
    assert stage.threshold == pytest.approx(0.5, abs=0.01)


def test_a_document_of_frames_without_sentences_is_dropped_by_the_least_share() -> None:
    row = aligned(spans(1), [2.0, 5.0, 6.0, 7.0])
    assert len(decide(row, min_scored_share=0.25).documents) == 1
    result = decide(row, min_scored_share=0.26)
    assert reasons(result, "document") == [(0, "few_scored_frames")]
    assert reasons(result, "frame") == [(n, "document_few_scored_frames") for n in range(4)]
    assert result.dropped is not None
    assert result.dropped.detail == "few_scored_frames"


def test_the_share_counts_frames_that_stay_in_the_document() -> None:
    row = aligned(spans(1), [1.0, 2.0, 5.0, 6.0, 7.0])
    result = decide(row, similarity=[0.5, 0.0, 0.5, 0.5, 0.5], min_scored_share=0.25)
    assert [frame.time for frame in result.documents[0].frames] == [1.0, 5.0, 6.0, 7.0]


def test_documents_whose_frames_have_no_sentence_at_all_are_dropped_by_default() -> None:
    result = decide(aligned(spans(1), [6.0, 7.0]), min_scored_share=FilterConfig().min_scored_share)
    assert reasons(result, "document") == [(0, "few_scored_frames")]
