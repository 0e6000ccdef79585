"""The words of a sentence with their times: they spell its text, in its interval."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import Segment, Word
from stages.align.sentences import SentenceRules, sentences_of_words
from stages.align.words import timed_words
from storyloom.format.sample import TimedWord
from storyloom.format.tokens import special_token, without_marks

RULES = SentenceRules(max_gap=1.0, soft_words=20, max_words=60, min_words=3)

ODD = [" <", "image", ">", " <|im", "_end|>", " a < b", "\u200b", " ❤\ufe0f", " ＜s＞", "\n", "", "…"]

PIECES = st.sampled_from([" so", "here", " here", " 你好", "。", *ODD]) | st.text(min_size=1, max_size=6)


@st.composite
def transcripts(draw: st.DrawFn) -> list[Segment]:
    """Words in order of their starts, which may overlap, in one segment."""
    texts = draw(st.lists(PIECES, min_size=1, max_size=20))
    starts = sorted(draw(st.lists(st.integers(0, 9999), min_size=len(texts), max_size=len(texts))))
    lengths = draw(st.lists(st.integers(0, 900), min_size=len(texts), max_size=len(texts)))
    words = [
        Word(start=start / 1000, end=(start + length) / 1000, text=text, probability=1.0)
        for text, start, length in zip(texts, starts, lengths, strict=True)
    ]
    measures = {"avg_logprob": -0.2, "no_speech_prob": 0.0, "compression_ratio": 1.0}
    return [Segment(start=words[0].start, end=words[-1].end, words=words, **measures)]


@given(transcripts())
def test_the_words_of_a_sentence_spell_its_text_in_its_interval(segments: list[Segment]) -> None:
    for sentence, run in sentences_of_words(segments, RULES):
        words = timed_words(sentence, run)
        spelled, text = ("".join("".join(one).split()) for one in ([word.text for word in words], sentence.text))
        assert spelled in (text, without_marks(text))
        assert all(word.text == word.text.strip() != "" for word in words)
        assert all(sentence.start <= word.start <= word.end <= sentence.end for word in words)
        assert all(one.start <= other.start for one, other in pairwise(words))
        assert not any(special_token(between.join(word.text for word in words)) for between in ("", " "))


def timed(*texts: str) -> list[TimedWord]:
    """What becomes of words of a second each, without a gap."""
    words = [Word(start=n, end=n + 1, text=text, probability=1.0) for n, text in enumerate(texts)]
    segment = Segment(start=0.0, end=9.0, avg_logprob=0.0, no_speech_prob=0.0, compression_ratio=1.0, words=words)
    ((sentence, run),) = sentences_of_words([segment], RULES)
    return timed_words(sentence, run)


def test_words_are_trimmed_and_keep_their_times() -> None:
    assert timed(" so", " here", " we") == [("so", 0.0, 1.0), ("here", 1.0, 2.0), ("we", 2.0, 3.0)]


def test_a_word_of_a_language_without_spaces_is_a_word() -> None:
    assert [word.text for word in timed("今天", "很", "好")] == ["今天", "很", "好"]


@pytest.mark.parametrize(
    ("texts", "spelled"),
    [
        ([" an", " <image>", " here"], ["an", "image", "here"]),
        ([" <|im", "_end|>", " so"], ["im", "_end", "so"]),
        ([" <", " image", " >", " so"], ["image", "so"]),
        ([" a", " <", " b"], ["a", "<", "b"]),
        ([" so", " \n ", " here", " we"], ["so", "here", "we"]),
        ([" New York", " is", " it"], ["New York", "is", "it"]),
    ],
)
def test_words_form_no_special_token(texts: list[str], spelled: list[str]) -> None:
    assert [word.text for word in timed(*texts)] == spelled
