"""Frames among words: modes `sentence`, `word` and `stream`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyloom.errors import UsageError
from storyloom.format.interleave import (
    SILENCE,
    Interleaving,
    Part,
    Said,
    check_interleaving,
    interleaved,
    part_numbers,
)
from storyloom.format.sample import TimedWord, frames_first

WORD = Interleaving("word")
MODES = [Interleaving(), WORD, Interleaving("stream", 1.0), Interleaving("stream", 2.0)]


class Document(NamedTuple):
    """A document as plain lists."""

    is_image: list[bool]
    times: list[float]
    said: list[Said]
    span: tuple[float, float]

    def arranged(self, how: Interleaving) -> list[int | Part]:
        return interleaved(how, *self)


def of(times: Sequence[float], said: Sequence[Said], span: tuple[float, float] | None = None) -> Document:
    """A document with these frames and texts, in the format's order."""
    order = frames_first(times, [(one.start, one.end) for one in said])
    inside = [*times, *(one.start for one in said), *(one.end for one in said)]
    return Document(order, list(times), list(said), span or (min(inside), max(inside)))


def sentence(text: str, *words: tuple[str, float, float]) -> Said:
    return Said(text, words[0][1], max(end for *_, end in words), [TimedWord(*word) for word in words])


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Documents as the pipeline writes them: sentences that do not overlap, words in order within theirs, times in
    whole milliseconds; some texts without words; texts with spaces between words, or none."""
    clock = draw(st.integers(0, 5_000))
    begin = clock
    said: list[Said] = []
    for _ in range(draw(st.integers(1, 4))):
        between = draw(st.sampled_from([" ", ""]))
        words = []
        for _ in range(draw(st.integers(1, 5))):
            start = clock + draw(st.sampled_from([0, 0, 120, 700, 1_500]))
            clock = start + draw(st.integers(0, 900))
            words.append(
                TimedWord(draw(st.sampled_from(["so", "a,", "here.", "面", "(well)"])), start / 1e3, clock / 1e3)
            )
        text = between.join(word.text for word in words)
        timed = draw(st.booleans()) or not said
        said.append(Said(text, words[0].start, words[-1].end, words if timed else ()))
    times = sorted(draw(st.lists(st.integers(begin, clock + 3_000), min_size=1, max_size=6)))
    span = begin / 1e3, max(clock, times[-1]) / 1e3
    return of([time / 1e3 for time in times], said, span)


def words_of(items: Sequence[int | Part]) -> list[TimedWord]:
    return [word for item in items if isinstance(item, Part) for word in item.words]


def units(part: Part) -> list[tuple[float, float]]:
    """Start and end of the words of a part, or of a text without word times."""
    return [(word.start, word.end) for word in part.words] or [(part.start, part.end)]


def around(items: Sequence[int | Part], image: int) -> tuple[list[tuple[float, float]], list[Part]]:
    """The words that stand before an image, and the parts that follow it."""
    place = items.index(image)
    passed = [unit for item in items[:place] if isinstance(item, Part) and item.number >= 0 for unit in units(item)]
    return passed, [item for item in items[place:] if isinstance(item, Part)]


@given(documents())
def test_words_and_frames_keep_their_order_in_all_modes(document: Document) -> None:
    said = [word for one in document.said for word in one.words]
    for how in MODES:
        items = document.arranged(how)
        assert words_of(items) == said
        assert [item for item in items if not isinstance(item, Part)] == list(range(len(document.times)))


@given(documents())
def test_parts_joined_give_their_sentence(document: Document) -> None:
    for how in MODES:
        items = document.arranged(how)
        for number, one in enumerate(document.said):
            parts = [item.text for item in items if isinstance(item, Part) and item.number == number]
            assert re.fullmatch(r"\s*".join(map(re.escape, parts)), one.text)
            assert all(part == part.strip() != "" for part in parts)


@given(documents())
def test_a_part_spells_its_words_and_has_their_times(document: Document) -> None:
    for how in MODES:
        for part in document.arranged(how):
            if isinstance(part, Part) and part.words:
                assert "".join(part.text.split()) == "".join(word.text for word in part.words)
                assert (part.start, part.end) == (part.words[0].start, max(word.end for word in part.words))


@given(documents())
def test_a_frame_stands_within_the_word_during_which_it_appears(document: Document) -> None:
    """So it is moved by less than that word: within half a frame interval, where no word is longer than that."""
    items = document.arranged(WORD)
    for image, time in enumerate(document.times):
        passed, parts = around(items, image)
        following = [unit for part in parts for unit in units(part)]
        assert all(end <= time for _, end in passed)
        assert all(start >= time for start, _ in following[1:])
        assert not following or following[0][1] > time or following[0][0] >= time


FRAME_INTERVAL = 4.0
"""Seconds, `sample.interval`; the words of these documents last 0.9 s at most."""


@given(documents())
def test_a_frame_stands_within_half_a_frame_interval_of_its_words(document: Document) -> None:
    """It stands in the gap between the word before it and the one behind it, and appears in that gap or near it."""
    items = document.arranged(WORD)
    timed = [one for one in document.said if one.words]
    for image, time in enumerate(document.times):
        if any(one.start <= time < one.end for one in timed):
            passed, parts = around(items, image)
            begin = max((end for _, end in passed), default=document.span[0])
            end = units(parts[0])[0][0]
            assert max(begin - time, time - end, 0.0) < FRAME_INTERVAL / 2


@given(documents(), st.sampled_from([1.0, 2.0]))
def test_a_frame_and_the_words_after_it_lie_in_one_interval(document: Document, fps: float) -> None:
    """Both lie at most half an interval from its middle, and no word stands before it whose interval is not over."""
    items = document.arranged(Interleaving("stream", fps))
    step, start = round(1000 / fps), round(document.span[0] * 1000)
    for image, time in enumerate(document.times):
        begin = start + (round(time * 1000) - start) // step * step
        passed, parts = around(items, image)
        assert all(round(end * 1000) <= max(begin, start) for _, end in passed)
        assert parts  # what is said in its interval, or a silence
        following = [unit for part in parts if part.number >= 0 for unit in units(part)]
        assert all(round(end * 1000) > begin or begin == start for _, end in following)
        ends_here = [end for _, end in following if round(end * 1000) <= begin + step]
        assert (parts[0].text == SILENCE) == (not ends_here)
        assert ends_here[:1] == [units(parts[0])[0][1]] * bool(ends_here)


def test_a_sentence_is_split_at_the_word_during_which_a_frame_appears() -> None:
    one = sentence("Now, we stir it.", ("Now,", 0.0, 0.5), ("we", 0.6, 0.9), ("stir", 1.0, 1.6), ("it.", 1.7, 2.0))
    items = of([0.7], [one]).arranged(WORD)
    assert items == [
        Part(0, "Now,", 0.0, 0.5, one.words[:1], whole=False),
        0,
        Part(0, "we stir it.", 0.6, 2.0, one.words[1:], whole=False),
    ]


@pytest.mark.parametrize(("time", "first"), [(0.5, "a b"), (0.9, "a b"), (1.0, "a b"), (1.2, "a b"), (1.3, "a b c")])
def test_a_frame_between_two_words_stands_before_the_next_one(time: float, first: str) -> None:
    one = sentence("a b c d", ("a", 0.0, 0.2), ("b", 0.2, 0.5), ("c", 1.0, 1.3), ("d", 1.3, 1.6))
    part = of([time], [one]).arranged(WORD)[0]
    assert isinstance(part, Part)
    assert part.text == first


@pytest.mark.parametrize(("time", "place"), [(0.0, 0), (0.1, 0), (1.9, 1), (2.0, 1), (9.0, 2)])
def test_a_frame_at_a_sentence_s_first_word_or_outside_all_of_them_splits_none(time: float, place: int) -> None:
    said = [sentence("a.", ("a.", 0.0, 0.5)), sentence("b.", ("b.", 2.0, 2.2))]
    items = of([time], said).arranged(WORD)
    assert items.index(0) == place
    assert all(item.whole for item in items if isinstance(item, Part))


def test_the_frames_of_an_interval_stand_before_the_words_that_end_in_it() -> None:
    one = sentence("a b c", ("a", 0.0, 0.4), ("b", 0.5, 1.0), ("c", 1.0, 1.2))
    items = of([0.0, 0.9, 1.0, 5.0], [one]).arranged(Interleaving("stream", 1.0))
    assert [item if isinstance(item, int) else item.text for item in items] == [0, 1, "a b", 2, "c", 3, SILENCE]
    assert items[-1] == Part(-1, SILENCE, 5.0, 5.0, (), whole=True)


def test_two_intervals_a_second_put_a_frame_before_later_words_alone() -> None:
    one = sentence("a b c", ("a", 0.0, 0.4), ("b", 0.5, 1.0), ("c", 1.0, 1.2))
    items = of([0.0, 0.9, 1.0, 5.0], [one]).arranged(Interleaving("stream", 2.0))
    assert [item if isinstance(item, int) else item.text for item in items] == [0, "a", 1, "b", 2, "c", 3, SILENCE]


def test_intervals_are_counted_from_the_document_s_start() -> None:
    one = sentence("a b", ("a", 10.4, 10.9), ("b", 10.9, 11.3))
    items = of([10.4, 11.2], [one]).arranged(Interleaving("stream", 1.0))
    assert [item if isinstance(item, int) else item.text for item in items] == [0, 1, "a b"]


def test_a_text_without_words_stays_whole_and_keeps_its_place() -> None:
    said = [sentence("a b", ("a", 0.0, 0.5), ("b", 0.5, 1.0)), Said("no times", 1.0, 3.0)]
    for how in MODES:
        texts = [item.text for item in of([0.6, 2.0], said).arranged(how) if isinstance(item, Part)]
        assert texts[-1] == "no times"


def split_of(text: str, spelt: Sequence[str], word: int) -> list[str]:
    """The parts of a text whose words last a second each, and in which a frame appears during one of them."""
    one = Said(text, 0.0, float(len(spelt)), [TimedWord(spelling, n, n + 1.0) for n, spelling in enumerate(spelt)])
    return [item.text for item in of([word + 0.5], [one]).arranged(WORD) if isinstance(item, Part)]


@pytest.mark.parametrize(
    ("text", "spelt", "word", "parts"),
    [
        ("Wait, what?", ["Wait", "what"], 1, ["Wait,", "what?"]),
        ("the cup (a red one)", ["the", "cup", "a", "red", "one"], 2, ["the cup", "(a red one)"]),
        ("他说，你好。", ["他", "说", "你好"], 2, ["他说，", "你好。"]),
        ("do do do it", ["do", "do", "do", "it"], 2, ["do do", "do it"]),
        ("turn image on", ["turn", "<image>", "on"], 1, ["turn image on"]),
        ("turn image on", ["turn", "<image>", "on"], 2, ["turn image", "on"]),
        ("a b c d e", ["a", "b", "X", "Y", "e"], 3, ["a b c d", "e"]),
        ("a b c d e", ["a", "b", "X", "Y", "e"], 2, ["a", "b c d e"]),
        ("", [" "], 0, [""]),
    ],
)
def test_a_text_that_is_not_its_words_loses_nothing(text: str, spelt: list[str], word: int, parts: list[str]) -> None:
    assert split_of(text, spelt, word) == parts


@given(st.text("ab ,(面", max_size=30), st.lists(st.text("ab,(面", min_size=1, max_size=3), min_size=1, max_size=9))
def test_a_text_that_has_little_to_do_with_its_words_loses_nothing(text: str, spelt: list[str]) -> None:
    one = Said(text, 0.0, float(len(spelt)), [TimedWord(spelling, n, n + 1.0) for n, spelling in enumerate(spelt)])
    times = [number + 0.5 for number in range(len(spelt))]
    for how in MODES[1:]:
        items = of(times, [one]).arranged(how)
        parts = [item.text for item in items if isinstance(item, Part) and item.number == 0]
        assert "".join("".join(parts).split()) == "".join(text.split())
        assert words_of(items) == list(one.words)


def test_a_frame_belongs_to_the_part_that_it_stands_before_else_to_the_nearest_of_its_sentence() -> None:
    said = [
        sentence("a b", ("a", 0.0, 1.0), ("b", 1.0, 2.0)),
        sentence("c d", ("c", 2.0, 3.0), ("d", 3.0, 4.0)),
    ]
    document = of([1.5, 3.5], said)
    items = document.arranged(WORD)
    assert [item if isinstance(item, int) else item.text for item in items] == ["a", 0, "b", "c", 1, "d"]
    assert part_numbers(items, document.times, [0, 1]) == [1, 3]
    assert part_numbers(items, document.times, [1, 0]) == [2, 1]  # moved by the aligner
    assert part_numbers(items, document.times, [-1, -1]) == [-1, -1]


@given(documents(), st.data())
def test_a_frame_s_part_is_of_its_text(document: Document, data: st.DataObject) -> None:
    text_of = [data.draw(st.integers(-1, len(document.said) - 1)) for _ in document.times]
    for how in MODES:
        items = document.arranged(how)
        parts = [item for item in items if isinstance(item, Part)]
        numbers = part_numbers(items, document.times, text_of)
        assert [parts[number].number if number >= 0 else -1 for number in numbers] == text_of


class Shard(NamedTuple):
    """The counts of a shard."""

    timed_words: int


@pytest.mark.parametrize(
    ("mode", "fps", "texts", "words", "message"),
    [
        ("words", 1.0, "text", 9, "interleave is 'words', but must be one of sentence, word, stream"),
        ("stream", 3.0, "text", 9, "fps is 3, but must be 1 or 2"),
        ("word", 1.0, "fused", 9, "it needs texts 'text', not 'fused'"),
        ("word", 1.0, "text", 0, "OUT has no word times, .* write.words: true"),
    ],
)
def test_a_mode_that_cannot_be_is_refused(mode: str, fps: float, texts: str, words: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_interleaving(mode, fps, texts, [Shard(0), Shard(words)], "OUT")  # type: ignore[arg-type]
