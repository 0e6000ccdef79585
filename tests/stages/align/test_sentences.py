"""Sentences from word timestamps: where they end, what they hold, which are not to be trusted."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import Segment, Word
from stages.align.sentences import SentenceRules, clean, sentences, text_flag

RULES = SentenceRules(max_gap=1.0, soft_words=20, max_words=60, min_words=3)


def spoken(text: str, start: float = 0.0, step: float = 0.3) -> list[Word]:
    """Words that follow each other without a gap."""
    return [
        Word(start=start + i * step, end=start + (i + 1) * step, text=f" {word}", probability=0.9)
        for i, word in enumerate(text.split())
    ]


def segment(words: list[Word], **values: float) -> Segment:
    measured = {"avg_logprob": -0.2, "no_speech_prob": 0.0, "compression_ratio": 1.2} | values
    return Segment(start=words[0].start, end=words[-1].end, words=words, **measured)


def texts(*words: list[Word], rules: SentenceRules = RULES) -> list[str]:
    return [sentence.text for sentence in sentences([segment(run) for run in words], rules)]


def test_terminal_punctuation_ends_a_sentence() -> None:
    assert texts(spoken("The cat sits down. Why is that? It sleeps well.")) == [
        "The cat sits down.",
        "Why is that?",
        "It sleeps well.",
    ]


def test_a_gap_over_a_second_ends_a_sentence_without_punctuation() -> None:
    assert texts(spoken("a dog runs"), spoken("two cats sleep", start=2.0)) == ["a dog runs", "two cats sleep"]


def test_a_gap_of_a_second_does_not_end_a_sentence() -> None:
    assert texts(spoken("a dog runs"), spoken("over the hill", start=1.9)) == ["a dog runs over the hill"]


@pytest.mark.parametrize("word", ["Dr.", "U.S.", "J.", "Mr."])
def test_abbreviations_do_not_end_a_sentence(word: str) -> None:
    assert texts(spoken(f"I met {word} Smith there.")) == [f"I met {word} Smith there."]


def test_numbers_with_a_point_are_not_cut() -> None:
    assert texts(spoken("It costs 3.5 dollars today.")) == ["It costs 3.5 dollars today."]


def test_chinese_full_stops_end_a_sentence() -> None:
    words = [
        Word(start=i, end=i + 1, text=t, probability=1)
        for i, t in enumerate(["今天", "很", "好。", "我们", "走", "吧。"])
    ]
    assert texts(words) == ["今天很好。", "我们走吧。"]


def test_a_short_sentence_joins_the_next_one() -> None:
    assert texts(spoken("Okay. So this is the plan.")) == ["Okay. So this is the plan."]


def test_a_short_end_joins_the_sentence_before_it() -> None:
    assert texts(spoken("We met in Greenbelt town. Maryland.")) == ["We met in Greenbelt town. Maryland."]


def test_a_short_sentence_before_a_pause_stays_alone() -> None:
    assert texts(spoken("Hello."), spoken("This is the plan.", start=5)) == ["Hello.", "This is the plan."]


def test_an_overlong_sentence_is_cut_at_a_comma() -> None:
    long = " ".join(f"word{i}" for i in range(25))
    assert texts(spoken(f"{long}, and then it goes on.")) == [f"{long},", "and then it goes on."]


def test_a_sentence_never_passes_the_cap() -> None:
    long = " ".join(f"word{i}" for i in range(150))
    assert [len(text.split()) for text in texts(spoken(long))] == [60, 60, 30]


def test_sentences_carry_the_times_of_their_first_and_last_word() -> None:
    (one, two) = sentences([segment(spoken("The cat sits. The dog runs.", start=4.0))], RULES)
    assert (one.start, one.end, two.start, two.end) == (4.0, 4.9, 4.9, 5.8)


@given(st.lists(st.tuples(st.sampled_from(["a", "b.", "c,", "Dr."]), st.floats(0, 3), st.floats(0, 1)), max_size=80))
def test_no_word_is_lost_and_sentences_do_not_overlap(drawn: list[tuple[str, float, float]]) -> None:
    words, clock = [], 0.0
    for text, gap, length in drawn:
        words.append(
            Word(start=round(clock + gap, 3), end=round(clock + gap + length, 3), text=f" {text}", probability=1)
        )
        clock += gap + length
    found = sentences([segment(words)], RULES) if words else []
    assert " ".join(sentence.text for sentence in found).split() == [text for text, _, _ in drawn]
    assert sum(sentence.words for sentence in found) == len(words)
    assert all(one.start <= one.end <= two.start for one, two in pairwise(found))


def test_the_source_of_a_sentence_is_that_of_most_of_its_words() -> None:
    said = spoken("The cat sits. A dog runs by here. Two birds fly off.")
    shown = [segment(said[:5]).model_copy(update={"source": "subtitles"}), segment(said[5:])]
    assert [one.source for one in sentences(shown, RULES)] == ["subtitles", "asr", "asr"]
    even = [segment(said[:2]).model_copy(update={"source": "subtitles"}), segment(said[2:4])]
    assert [one.source for one in sentences(even, SentenceRules(1.0, 20, 60, 9))] == ["asr"]


def test_control_characters_and_placeholders_leave_the_text() -> None:
    assert clean("one\x00 <<image>> two\u2028\n<|endofchunk|> three ") == "one image two endofchunk three"


def test_a_loop_is_flagged() -> None:
    assert text_flag("yes yes yes yes yes yes yes yes", 4.0) == "repetition"


def test_boilerplate_is_flagged_whatever_its_punctuation() -> None:
    assert text_flag("Thanks for watching!", 2.0) == "boilerplate"


def test_text_faster_than_anybody_speaks_is_flagged() -> None:
    assert text_flag("this was all said in one tenth of a second they say", 0.1) == "too_fast"


def test_an_ordinary_sentence_is_not_flagged() -> None:
    assert text_flag("The white rocket is standing between two tall metal towers at night.", 4.0) == ""


def test_a_segment_that_whisper_itself_doubts_flags_its_sentences() -> None:
    doubtful = segment(spoken("something was heard here"), avg_logprob=-1.5, no_speech_prob=0.9)
    assert [sentence.flag for sentence in sentences([doubtful], RULES)] == ["not_speech"]
