"""Sentences with times, made from word timestamps, and flags of hallucinated text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from schemas.rows import Segment, Sentence, TextSource, Word
from storyloom.format.model import to_milliseconds
from storyloom.format.tokens import neutralised

TERMINAL = re.compile(r"[.!?…。！？｡؟।][\"'”’»)\]]*$")
"""A word that ends a sentence, in the scripts that Whisper writes punctuation for."""

PAUSE_MARK = re.compile(r"[,;:，、；：][\"'”’»)\]]*$")
"""A word at which an overlong sentence may be cut."""

ABBREVIATION = re.compile(r"^(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|vs|No|Fig|approx|etc|(?:[A-Za-z]\.)+[A-Za-z])\.$")
"""Words whose full stop ends no sentence: initials, titles, ``U.S.``."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

MIN_UNIQUE_RATIO = 0.4
"""Share of distinct words at or below which a sentence is a recognizer's loop (NeMo Curator's WhisperHallucination)."""

MIN_WORDS_FOR_RATIO = 6
"""Words below which a sentence may repeat words legitimately ("no no no"); our choice."""

MAX_WORD_LENGTH = 25
"""Characters from which a Latin word is implausible (NeMo Curator's WhisperHallucination)."""

MAX_CHARACTERS_PER_SECOND = 40.0
"""Faster than human speech (NeMo Curator's WhisperHallucination)."""

MAX_COMPRESSION_RATIO = 2.4
"""Above it Whisper treats a segment as a loop (openai-whisper, `compression_ratio_threshold`)."""

MIN_LOGPROB, MAX_NO_SPEECH = -1.0, 0.6
"""Below the first and above the second, Whisper treats a segment as silence (openai-whisper, `no_speech_threshold`)."""

BOILERPLATE = frozenset(
    {
        "thank you for watching",
        "thanks for watching",
        "please subscribe",
        "please subscribe to my channel",
        "like and subscribe",
        "subtitles by the amara org community",
        "subtitles by the amara.org community",
        "transcribed by otter ai",
        "see you in the next video",
        "ご視聴ありがとうございました",
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "字幕由amara org社区提供",
        "sous titres réalisés par la communauté d'amara org",
    }
)
"""Texts that Whisper hallucinates over silence and music, normalised; our own list, to be extended per language."""


@dataclass(frozen=True)
class SentenceRules:
    """Rules for the ends of sentences.

    Attributes:
        max_gap: Seconds of silence that end a sentence.
        soft_words: Words from which a comma ends it too.
        max_words: Most words.
        min_words: A sentence of fewer words is joined to a neighbour, unless a gap lies between.
    """

    max_gap: float
    soft_words: int
    max_words: int
    min_words: int


def sentences(segments: Sequence[Segment], rules: SentenceRules) -> list[Sentence]:
    """Cut a transcript into sentences: see `sentences_of_words`."""
    return [sentence for sentence, _ in sentences_of_words(segments, rules)]


def sentences_of_words(segments: Sequence[Segment], rules: SentenceRules) -> list[tuple[Sentence, list[Word]]]:
    """Cut a transcript into sentences, in time order and without overlaps, each with its words.

    A sentence that should not be trusted keeps its place and carries its `flag`. Its source is that of most of its
    words; speech recognition's if half of them are.
    """
    doubts = {id(word): doubt for segment in segments if (doubt := segment_flag(segment)) for word in segment.words}
    runs = _joined(_cut([word for segment in segments for word in segment.words], rules), rules)
    shown = {id(word) for segment in segments if segment.source == "subtitles" for word in segment.words}
    runs = [run for run in runs if clean("".join(word.text for word in run))]
    found = _without_overlap([_sentence(run, doubts, shown) for run in runs])
    return list(zip(found, runs, strict=True))


def _cut(words: Sequence[Word], rules: SentenceRules) -> Iterator[list[Word]]:
    run: list[Word] = []
    for word, following in zip_longest(words, words[1:]):
        run.append(word)
        if (
            following is None
            or following.start - word.end > rules.max_gap
            or _ends_sentence(word.text, len(run), rules)
        ):
            yield run
            run = []


def _ends_sentence(text: str, length: int, rules: SentenceRules) -> bool:
    text = text.strip()
    if length >= rules.max_words or (length >= rules.soft_words and PAUSE_MARK.search(text)):
        return True
    return bool(TERMINAL.search(text)) and not ABBREVIATION.match(text)


def _joined(runs: Iterable[list[Word]], rules: SentenceRules) -> list[list[Word]]:
    """Join runs of too few words with a neighbour, unless a gap lies between."""
    joined: list[list[Word]] = []
    for run in runs:
        last = joined[-1] if joined else []
        near = bool(last) and run[0].start - last[-1].end <= rules.max_gap
        if near and min(len(last), len(run)) < rules.min_words and len(last) + len(run) <= rules.max_words:
            joined[-1] = [*last, *run]
        else:
            joined.append(run)
    return joined


def _sentence(run: Sequence[Word], doubts: dict[int, str], shown: set[int]) -> Sentence:
    text = clean("".join(word.text for word in run))
    start, end = to_milliseconds(run[0].start), to_milliseconds(max(word.end for word in run))
    doubt = next((doubts[id(word)] for word in run if id(word) in doubts), "")
    flag = text_flag(text, end - start) or doubt
    source: TextSource = "subtitles" if sum(id(word) in shown for word in run) * 2 > len(run) else "asr"
    return Sentence(start=start, end=end, text=text, words=len(run), source=source, flag=flag)


def _without_overlap(found: Sequence[Sentence]) -> Iterator[Sentence]:
    """End each sentence at the start of the next one at the latest: recognized words overlap by some 0.01 s."""
    for sentence, following in pairwise(found):
        end = max(sentence.start, min(sentence.end, following.start))
        yield sentence if end == sentence.end else sentence.model_copy(update={"end": end})
    yield from found[-1:]


def clean(text: str) -> str:
    """Text as shards hold it: one line, single spaces, no control characters, no special tokens of trainers."""
    return neutralised(" ".join(CONTROL.sub(" ", text).split()))


def segment_flag(segment: Segment) -> str:
    """Why a recognizer's segment should not be trusted; empty when it can."""
    if segment.compression_ratio > MAX_COMPRESSION_RATIO:
        return "repetition"
    if segment.avg_logprob < MIN_LOGPROB and segment.no_speech_prob > MAX_NO_SPEECH:
        return "not_speech"
    return ""


def text_flag(text: str, seconds: float) -> str:
    """Why a sentence of this length in seconds should not be trusted; empty when it can."""
    words = re.findall(r"\w+", text.lower())
    if " ".join(words) in BOILERPLATE or text.lower().strip(" .!") in BOILERPLATE:
        return "boilerplate"
    if len(words) >= MIN_WORDS_FOR_RATIO and len(set(words)) / len(words) <= MIN_UNIQUE_RATIO:
        return "repetition"
    if any(len(word) >= MAX_WORD_LENGTH and word.isascii() for word in words):
        return "no_word"
    if seconds > 0 and len(text) / seconds > MAX_CHARACTERS_PER_SECOND:
        return "too_fast"
    return ""
