"""A transcript made of what was heard and a track, place by place."""

from __future__ import annotations

import re
from itertools import accumulate, pairwise, permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rows import Segment, Word
from stages.media.subtitles.cues import Cue, CueWord, cues
from stages.transcribe.merging import SURE, Merged, merged
from tests.stages.real_media import shared
from tests.stages.transcribe.spoken import SENTENCES, Line, as_lines, evenly, heard, read_aloud, track

DURATION = 60.0
ALL = [(0.0, DURATION)]
"""Speech everywhere."""

SPANISH = [
    "Una familia jugando en un tractor.",
    "Una niña de la mano con su instructora.",
    "Un niño mira a muchos botes.",
    "A un hombre con traje de neopreno no le gusta.",
]


def merge(lines: list[Cue], segments: list[Segment], speech: list[tuple[float, float]] | None = None) -> Merged:
    return merged(lines, segments, [] if speech is None else speech, DURATION, 0.6)


def words(found: Merged) -> list[Word]:
    return [word for segment in found.segments for word in segment.words]


def text(found: Merged, source: str = "") -> str:
    kept = (segment for segment in found.segments if source in ("", segment.source))
    return "".join(word.text for segment in kept for word in segment.words).strip()


def truth(start: int = 0, end: int | None = None) -> str:
    return " ".join(sentence["text"] for sentence in SENTENCES[start:end])


def test_a_track_of_what_was_said_gives_the_text_at_the_times_at_which_it_was_heard() -> None:
    said = read_aloud()
    found = merge(track(*as_lines()), said)
    assert (found.agreement, found.left_out, found.words) == (1.0, 0, len(truth().split()))
    assert text(found, "subtitles") == truth()
    times = [(word.start, word.end) for segment in said for word in segment.words]
    assert [(word.start, word.end) for word in words(found)] == times


def test_what_the_track_lacks_stays_as_it_was_heard() -> None:
    lines = as_lines()
    found = merge(track(*lines[:2], *lines[4:]), read_aloud())
    assert text(found) == truth()
    assert text(found, "asr") == truth(2, 4)
    assert found.left_out == 0


def test_a_track_that_ends_within_a_sentence_loses_nothing() -> None:
    start, end, sentence = as_lines()[0]
    half = sentence.split()[:4]
    found = merge(track((start, (start + end) / 2, " ".join(half))), read_aloud())
    assert text(found) == truth()
    assert text(found, "subtitles") == " ".join(half)


def test_what_nobody_heard_is_left_out_and_counted() -> None:
    lines = as_lines()
    more = [lines[0], (5.0, 5.2, "Hey, what are you doing over there?"), *lines[1:]]
    found = merge(track(*more), read_aloud())
    assert text(found) == truth()
    assert found.left_out == 7


def test_cues_beyond_the_end_are_left_out() -> None:
    found = merge(track(*as_lines(), (61, 65, "This is not in the video.")), read_aloud())
    assert text(found) == truth()
    assert found.left_out == 6


@pytest.mark.parametrize("form", ["{0}\n{1}", "{1}\n{0}", "{0} {1}", "{0} / {1}", "{0}/{1}", "{1}/{0}", "{0}\t{1}"])
def test_of_a_bilingual_track_the_spoken_language_is_taken(form: str) -> None:
    lines: list[Line] = [(s, e, form.format(t, o)) for (s, e, t), o in zip(as_lines(), SPANISH, strict=False)]
    found = merge(track(*lines), read_aloud(SENTENCES[:4]), ALL)
    assert text(found, "subtitles") == truth(0, 4)
    assert found.left_out == sum(len(line.split()) for line in SPANISH)


def test_a_slash_parts_two_languages_without_punctuation_and_no_words_that_were_heard() -> None:
    said = evenly(1, 5, "Take a boat and or a train to the coast")
    shown = "Take a boat and/or a train to the coast"
    assert text(merge(track((1, 5, f"{shown}/Tome un barco y/o un tren")), said), "subtitles") == shown


def test_two_languages_in_cues_of_their_own_are_told_apart() -> None:
    both = [line for (s, e, t), o in zip(as_lines(), SPANISH, strict=False) for line in ((s, e, o), (s, e, t))]
    assert text(merge(track(*both), read_aloud(SENTENCES[:4]), ALL), "subtitles") == truth(0, 4)


def test_a_translation_gives_nothing_even_where_the_recognizer_was_unsure() -> None:
    lines: list[Line] = [(s, e, o) for (s, e, _), o in zip(as_lines(), SPANISH, strict=False)]
    said = [segment for s, e, t in as_lines()[:4] for segment in evenly(s, e, t, probability=0.2)]
    found = merge(track(*lines), said, ALL)
    assert found.segments == said
    assert found.left_out == found.words


def test_free_wording_does_not_replace_what_was_said() -> None:
    said = evenly(14, 18, "A boy dressed in soccer attire and holding his shoes getting out of a car.")
    found = merge(track((14, 18, "A boy dressed for soccer leaves a car.")), said)
    assert text(found).endswith("attire and holding his shoes getting out of a car.")


@pytest.mark.parametrize(
    "line",
    [
        "(ENGINE REVVING) {}",
        "{} (laughs)",
        "[door slams] {}",
        "JOHN: {}",
        "John: {}",
        "Dr. Smith: {}",
        "- {}",
        ">> {}",
        "♪ {} ♪",
        "# {} #",
        "*sighs* {}",
        "Narrator #2: {}",
        "Applause {}",
        "（拍手）{}",
    ],
)
def test_sounds_and_speakers_are_no_text(line: str) -> None:
    lines: list[Line] = [(start, end, line.format(said)) for start, end, said in as_lines()]
    assert text(merge(track(*lines), read_aloud(), ALL), "subtitles") == truth()


def test_sounds_amid_a_sentence_are_no_text() -> None:
    start, end, said = as_lines()[0]
    first, second = said.split(" ", 1)
    found = merge(track((start, end, f"{first} (LAUGHING) {second}")), read_aloud(SENTENCES[:1]), ALL)
    assert text(found, "subtitles") == said


def test_an_aside_in_brackets_that_was_heard_stays() -> None:
    said = evenly(1, 5, "We took the train which was late to the coast.")
    found = merge(track((1, 5, "We took the train (which was late) to the coast.")), said)
    assert text(found, "subtitles") == "We took the train (which was late) to the coast."


def test_doubled_cues_say_their_text_once() -> None:
    doubled = [line for line in as_lines() for _ in range(2)]
    halves = [half for s, e, said in as_lines() for half in ((s, (s + e) / 2, said), ((s + e) / 2, e, said))]
    for lines in (doubled, halves):
        assert text(merge(track(*lines), read_aloud(), ALL)) == truth()


@pytest.mark.parametrize(("shift", "stretch"), [(2.0, 1.0), (-2.0, 1.0), (30.0, 1.0), (-30.0, 1.0), (3.0, 25 / 24)])
def test_a_moved_or_stretched_track_gives_the_same_words_at_the_same_times(shift: float, stretch: float) -> None:
    found = merge(track(*as_lines(shift, stretch)), read_aloud())
    assert found.segments == merge(track(*as_lines()), read_aloud()).segments
    assert found.left_out == 0
    if stretch == 1.0:
        assert found.clock.lag == pytest.approx(shift, abs=0.7)


def test_another_writing_has_the_times_of_the_words_that_it_stands_for() -> None:
    said = heard((1, 1.2, " an"), (1.2, 2, " orange"), (2, 2.4, " space"), (2.4, 3, " suit"), (3.2, 3.4, " by"))
    said += heard((4, 4.4, " John"), (4.4, 5, " Pole"), probability=0.6)
    said += heard((7, 7.2, " is"), (7.2, 8, " here"))
    found = merge(track((0, 9, "An orange spacesuit by Jean-Paul is here")), said)
    times = {word.text.strip(): (word.start, word.end) for word in words(found)}
    assert times["spacesuit"] == (2.0, 3.0)
    assert times["Jean-Paul"] == (4.0, 5.0)


def test_a_number_stands_for_its_words_and_words_for_their_number() -> None:
    for said, shown in permutations(("It was in nineteen eighty four that he came.", "It was in 1984 that he came.")):
        assert text(merge(track((1, 6, shown)), evenly(1, 6, said)), "subtitles") == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("What exactly is artificial intelligence for us?", "The is artificial intelligence for us?"),
        ("We can never do this without help, my friend.", "We can always do this with help, my friend."),
        ("The train leaves from platform nine at seven.", "The train leaves from platform four at one."),
        ("They sold about 1984 cars in that year.", "They sold about 1985 cars in that year."),
        ("Please welcome Maria Gonzalez to our little show.", "Please welcome Peter Johnson to our little show."),
    ],
)
def test_words_that_were_surely_heard_are_not_replaced_by_others(said: str, shown: str) -> None:
    assert text(merge(track((1, 5, shown)), evenly(1, 5, said))).casefold() == said.casefold()
    guessed = merge(track((1, 5, shown)), evenly(1, 5, said, probability=0.3))
    assert text(guessed, "subtitles") == shown


def test_a_word_of_which_the_recognizer_was_unsure_stays_where_the_track_lacks_it() -> None:
    said = [*evenly(1, 2, "We did"), *evenly(2, 2.4, "not", probability=0.2), *evenly(2.4, 5, "want to go to Bergen.")]
    assert text(merge(track((1, 5, "We did want to go to Bergen.")), said)) == "We did not want to go to Bergen."


def one_after_another(texts: list[str]) -> list[Line]:
    """The texts with times, 0.4 seconds a word and 0.4 between them."""
    ends = list(accumulate(0.4 * (len(text.split()) + 1) for text in texts))
    return [(end - 0.4 * len(text.split()), end, text) for end, text in zip(ends, texts, strict=True)]


def said_aloud(lines: list[Line]) -> list[Segment]:
    return [segment for line in lines for segment in evenly(*line)]


@pytest.mark.parametrize(
    ("sentences", "shown"),
    [
        (["You know the thing is.", "The thing is very heavy indeed."], 1),
        (["We bought bread and milk and", "And then we went home."], 1),
        (["She smiles next to a flag.", "A young cat is there."], 1),
        (["A spoon is on the table.", "The rocket is white."], 1),
        (["Then we went to the market.", "We saw them at the market"], 0),
        (["We want to go.", "We want to go.", "We want to go."], 1),
    ],
)
def test_a_sentence_is_matched_where_it_was_said_and_nowhere_else(sentences: list[str], shown: int) -> None:
    lines = one_after_another(sentences)
    found = merge(track(lines[shown]), said_aloud(lines))
    assert text(found) == " ".join(sentences)
    assert text(found, "subtitles") == sentences[shown]


def test_of_equal_words_the_one_beside_other_common_words_is_matched() -> None:
    said = evenly(1, 6, "There are two tools, image to data set, to download the pairs.")
    found = merge(track((1, 6, "There are two tools: img2dataset, to download the pairs.")), said)
    assert text(found) == "There are two tools: img2dataset, to download the pairs."


def test_a_sentence_that_goes_on_unheard_in_the_track_ends_as_it_was_heard() -> None:
    said = [*evenly(1, 5, "We wanted to see the old town of Bergen."), *evenly(6, 8, "It was late.")]
    found = merge(
        track((1, 5, "We wanted to see the Old Town of Bergen - Queríamos ver la ciudad."), (6, 8, "It was late.")),
        said,
    )
    assert text(found) == "We wanted to see the Old Town of Bergen. It was late."


def test_a_small_word_that_the_recognizer_slipped_over_is_kept_with_its_sentence() -> None:
    said = evenly(1, 5, "a family playing on tractor on a beautiful")
    found = merge(track((1, 5, "A family is playing on a tractor on a beautiful day.")), said)
    assert text(found, "subtitles") == "A family is playing on a tractor on a beautiful day."


def test_words_of_the_speaker_that_the_track_leaves_out_stay() -> None:
    said = evenly(1, 6, "So you know basically a family playing on a tractor you know, on a beautiful day.")
    found = merge(track((1, 6, "A family playing on a tractor on a beautiful day.")), said)
    assert text(found) == "So you know basically A family playing on a tractor you know, on a beautiful day."


def guess(probability: float) -> list[Segment]:
    """Two sentences that were heard well, and between them something in the recognizer's words."""
    return [
        *evenly(0, 4, "A family playing on a tractor on a beautiful day."),
        *evenly(5, 7, "Hi Lidl curls on sands", probability=probability),
        *evenly(8, 12, "A boy in a green shirt is looking down at many inflatable boats."),
    ]


LISTENED: list[Line] = [
    (0, 4, "A family playing on a tractor on a beautiful day."),
    (5, 7, "My little girl holds hands."),
    (8, 12, "A boy in a green shirt is looking down at many inflatable boats."),
]


def test_where_the_recognizer_was_unsure_the_track_is_believed() -> None:
    assert "My little girl holds hands." in text(merge(track(*LISTENED), guess(0.3), ALL), "subtitles")
    sure = merge(track(*LISTENED), guess(0.95), ALL)
    assert "Hi Lidl curls on sands" in text(sure, "asr")
    assert sure.left_out == 5


def test_speech_without_recognized_words_has_the_words_of_the_track() -> None:
    said = [segment for segment in guess(0.9) if segment.start != 5.0]
    found = merge(track(*LISTENED), said, [(0, 4), (5, 7), (8, 12)])
    assert "My little girl holds hands." in text(found, "subtitles")
    assert all(5.0 <= word.start <= word.end <= 7.0 for word in words(found) if word.text.strip() in ("My", "hands."))
    assert "My little girl" not in text(merge(track(*LISTENED), said, [(0, 4), (8, 12)]))


def test_sounds_are_never_believed() -> None:
    lines = [LISTENED[0], (5.0, 7.0, "(my little girl holds hands)"), LISTENED[2]]
    assert "little" not in text(merge(track(*lines), guess(0.3), ALL))


def test_words_with_a_broken_byte_are_written_as_they_were_heard() -> None:
    said = evenly(1, 4, "A family in the café on a day.")
    assert text(merge(track((1, 4, "A family in the caf\ufffd on a day.")), said)) == "A family in the café on a day."
    apart = evenly(1, 4, "A baby in a wet suit up into the air.")
    found = text(merge(track((1, 4, "A baby in a wetsuit\ufffdup into the air.")), apart))
    assert found == "A baby in a wet suit up into the air."


def test_sentence_ends_are_counted_in_what_is_replaced_alone() -> None:
    found = merge(track((0, 4, as_lines()[0][2].rstrip("."))), read_aloud())
    assert (found.ends_heard, found.ends_shown) == (1, 0)


def test_a_track_of_far_more_words_than_were_heard_agrees_in_none() -> None:
    flood = [[CueWord(1.0, 1.0, " the", 0.0)] * 5000]
    found = merge(flood, read_aloud())
    assert (found.agreement, found.segments) == (0.0, read_aloud())


def test_a_track_in_another_language_does_not_agree() -> None:
    french = cues(shared("subtitles/accented.srt").read_bytes())
    found = merge(french, read_aloud())
    assert found.agreement < 0.1
    assert found.shared < 0.1


vocabulary = st.sampled_from(["the", "cat", "sat", "猫", "on", "(on", "day.", "tractor"])
spans = st.lists(
    st.tuples(st.integers(0, 58), vocabulary, st.integers(0, 2)), max_size=30, unique_by=lambda span: span[0]
).map(sorted)


@settings(deadline=None, max_examples=200)
@given(spans, spans, st.sampled_from([ALL, []]))
def test_words_keep_in_order_and_every_word_of_both_has_its_place(
    written: list[tuple[int, str, int]], said: list[tuple[int, str, int]], speech: list[tuple[float, float]]
) -> None:
    shown = [[CueWord(start, start + 1.0, f" {word}", 0.0, line)] for start, word, line in written]
    segments = [
        segment
        for start, word, sure in said
        for segment in heard((start, start + 0.5, f" {word}"), probability=sure / 2)
    ]
    found = merge(shown, segments, speech)
    out = words(found)
    edges = [time for word in out for time in (word.start, word.end)]
    assert edges == sorted(edges)
    assert all(0 <= time <= DURATION for time in edges)
    taken = sum(len(segment.words) for segment in found.segments if segment.source == "subtitles")
    assert taken + found.left_out == found.words
    assert 0.0 <= found.agreement <= 1.0
    if not taken:
        assert found.segments == segments
    assert all(one.start <= one.end <= two.start for one, two in pairwise(found.segments))


words_said = st.lists(st.sampled_from(["the", "cat", "a", "sat", "on", "and", "tractor", "is"]), min_size=1, max_size=7)
sentences_said = st.lists(words_said.map(lambda words: f"{' '.join(words).capitalize()}."), min_size=1, max_size=7)


@settings(deadline=None, max_examples=200)
@given(sentences_said, st.data())
def test_a_track_of_some_sentences_of_what_was_said_changes_no_text(sentences: list[str], data: st.DataObject) -> None:
    lines = one_after_another(sentences)
    kept = data.draw(st.lists(st.sampled_from(lines), unique=True).map(sorted))
    found = merge(track(*kept), said_aloud(lines))
    assert text(found) == " ".join(sentences)
    assert found.left_out == 0


def test_misheard_words_of_a_track_of_some_sentences_move_no_text() -> None:
    for seed in range(100):
        chance = Random(seed)
        lines = [(s["speech_start"], s["speech_end"], s["text"]) for s in SENTENCES]
        heard_lines = [
            (s, e, " ".join(re.sub(r"\w+", "um", word) if chance.random() < 0.12 else word for word in t.split()))
            for s, e, t in lines
        ]
        kept = [line for line in lines if chance.random() < 0.6]
        assert text(merge(track(*kept), said_aloud(heard_lines))) == " ".join(t for _, _, t in heard_lines)


@settings(deadline=None, max_examples=200)
@given(words_said, words_said, st.lists(st.sampled_from([0.2, 0.6, 0.9]), min_size=7, max_size=7))
def test_nothing_that_was_surely_heard_vanishes(said: list[str], shown: list[str], sure: list[float]) -> None:
    lines = one_after_another(said)
    segments = [segment for line, p in zip(lines, sure, strict=False) for segment in evenly(*line, probability=p)]
    written = text(merge(track((0.4, lines[-1][1], " ".join(shown))), segments, ALL)).split()
    certain = [word for word, p in zip(said, sure, strict=False) if p >= SURE]
    rest = iter(written)
    assert all(word in rest for word in certain)
    if len(written) < len(said):
        assert min(sure[: len(said)]) < SURE
