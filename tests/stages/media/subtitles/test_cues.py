from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.media.subtitles.cues import Cue, cues, split_words
from tests.stages.real_media import shared

ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.600 --> 00:00:02.500 align:start position:0%
\x20
the<00:00:00.900><c> woman</c><00:00:01.300><c> in</c><00:00:01.500><c> an</c>

00:00:02.500 --> 00:00:02.510 align:start position:0%
the woman in an
\x20

00:00:02.510 --> 00:00:04.600 align:start position:0%
the woman in an
orange<00:00:03.000><c> space</c><00:00:03.400><c> suit</c>

00:00:04.600 --> 00:00:04.610 align:start position:0%
orange space suit
\x20
"""


def said(cue: Cue) -> str:
    return "".join(word.text for word in cue).strip()


def texts(content: str | bytes) -> list[str]:
    return [said(cue) for cue in cues(content.encode() if isinstance(content, str) else content)]


def starts(content: str) -> list[float]:
    return [round(word.start, 3) for cue in cues(content.encode()) for word in cue]


def test_a_cue_without_word_times_is_spread_evenly() -> None:
    (cue,) = cues(b"WEBVTT\n\n00:01.000 --> 00:03.000\nA brown\ncat sits")
    assert [(word.start, word.end, word.text) for word in cue] == [
        (1.0, 1.5, " A"),
        (1.5, 2.0, " brown"),
        (2.0, 2.5, " cat"),
        (2.5, 3.0, " sits"),
    ]


def test_word_times_are_used_and_words_without_one_share_what_is_left() -> None:
    content = "WEBVTT\n\n00:01.000 --> 00:03.000\nA <00:01.400>brown <00:02.000>cat sits"
    assert starts(content) == [1.0, 1.4, 2.0, 2.5]
    assert texts(content) == ["A brown cat sits"]


def test_word_times_outside_their_cue_are_held_inside_it() -> None:
    content = "WEBVTT\n\n00:01.000 --> 00:03.000\nA<00:09.000> brown<00:02.000> cat"
    assert starts(content) == [1.0, 3.0, 3.0]


def test_rolling_captions_say_every_word_once_at_its_time() -> None:
    assert " ".join(texts(ROLLING)) == "the woman in an orange space suit"
    assert starts(ROLLING) == [0.6, 0.9, 1.3, 1.5, 2.51, 3.0, 3.4]


def test_rolling_captions_without_word_times_say_every_word_once() -> None:
    rolled = "1\n00:00:01,000 --> 00:00:02,000\na young\n\n2\n00:00:02,000 --> 00:00:03,000\na young\nbrown cat\n\n"
    rolled += "3\n00:00:03,000 --> 00:00:04,000\nbrown cat\nwith green eyes\n"
    assert texts(rolled) == ["a young", "brown cat", "with green eyes"]


def test_a_cue_that_cannot_be_read_costs_its_neighbours_nothing() -> None:
    for bad in ("99:99:99.999 --> 99:99:99.999", "soon --> later", "00:02.000 -->"):
        blocks = ["00:00:01.000 --> 00:00:02.000\nA cup", f"{bad}\nlost", "00:00:03.000 --> 00:00:04.000\nof coffee"]
        assert texts("\n\n".join(["WEBVTT", *blocks])) == ["A cup", "of coffee"]
        assert texts("\n\n".join(f"{number}\n{block}" for number, block in enumerate(blocks))) == ["A cup", "of coffee"]


def test_what_is_said_twice_stays_in_a_track_that_does_not_roll() -> None:
    track = "WEBVTT\n\n00:01.000 --> 00:02.000\nNo.\n\n00:02.000 --> 00:03.000\nNo.\n\n"
    track += "00:03.000 --> 00:04.000\nA cat.\n\n00:04.000 --> 00:05.000\nWith green eyes.\n"
    assert texts(track) == ["No.", "No.", "A cat.", "With green eyes."]


def repeated(*starts_and_ends: tuple[float, float], text: str) -> str:
    cues_ = [f"00:{start:06.3f} --> 00:{end:06.3f}\n{text}" for start, end in starts_and_ends]
    return "\n\n".join(["WEBVTT", *cues_])


@pytest.mark.parametrize("pause", [0.0, 1.0])
def test_a_sentence_that_is_said_eight_times_is_read_eight_times(pause: float) -> None:
    times = [(number * 3.0, number * 3.0 + 3.0 - pause) for number in range(8)]
    assert texts(repeated(*times, text="Press the button.")) == ["Press the button."] * 8


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("[Music]", ""),
        ("(applause)", "(applause)"),
        ("(audience\nlaughing)", "(audience laughing)"),
        ("*laughs* A red cup", "A red cup"),
        ("# A red cup #", "A red cup"),
        ("JOHN (V.O.): A red cup", "A red cup"),
        ("♪ la la ♪", "la la"),
        ("[NARRATOR]: A red cup", "A red cup"),
        ("NAR: A red cup", "A red cup"),
        ("&gt;&gt; A red cup", "A red cup"),
        (">> DR. WHO: A red cup", "A red cup"),
        ("- A red cup?\n- Yes.", "A red cup? Yes."),
        ("- A red cup? - Yes.", "A red cup? Yes."),
        ("-40 degrees", "-40 degrees"),
        ("It (the cup) is red at 10: 30", "It (the cup) is red at 10: 30"),
        ("<v Roger Bingham>A <i>red</i> <c.yellow.bg_blue>cup</c>", "A red cup"),
        ("{\\an8}A red cup", "A red cup"),
        ("<ruby>漢<rt>かん</rt></ruby>字", "漢字"),
        ("salt &amp; pepper &lt;b&gt; caf&eacute;&nbsp;noir", "salt & pepper <b> café noir"),
        ("a < b and c > d", "a < b and c > d"),
        ("It was in\n1984", "It was in 1984"),
        ("\u200eA red\u200b cup", "A red cup"),
        ("A \u202bred\u202c cup\u200f.", "A red cup."),
        ("\u2068A red\u2069 c\u00adup&rlm;!&shy;", "A red cup!"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # spelling
    ],
)
def test_only_what_is_said_is_read(written: str, read: str) -> None:
    found = texts(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{written}\n\n00:02.000 --> 00:03.000\nThe end\n")
    assert found == [*([read] if read else []), "The end"]


@pytest.mark.parametrize(
    ("opening", "closing", "left"), [("[", "]", []), ("(", ")", ["(upbeat music)", "(from the show)"])]
)
def test_a_description_over_two_cues_is_one_in_each(opening: str, closing: str, left: list[str]) -> None:
    track = f"WEBVTT\n\n00:01.000 --> 00:02.000\nA red cup {opening}upbeat music\n\n"
    track += f"00:02.000 --> 00:03.000\nfrom the show{closing} of coffee\n\n"
    places = [
        said(list(group)) for cue in cues(track.encode()) for _, group in groupby(cue, key=lambda word: word.line)
    ]
    assert places == ["A red cup", *left, "of coffee"]


def test_a_bracket_that_nothing_closes_hides_nothing() -> None:
    track = "WEBVTT\n\n00:01.000 --> 00:02.000\nA red [cup\n\n00:02.000 --> 00:03.000\nof coffee\n"
    assert texts(track) == ["A red [cup", "of coffee"]


def test_notes_styles_and_names_of_cues_are_not_read() -> None:
    track = "WEBVTT - a title\n\nSTYLE\n::cue { color: red }\n\nNOTE\nnot this\n\n"
    track += "c4/5-0\n00:01.000 --> 00:02.000\nA cup\n\nNOTE or this\n\n"
    track += "c4/6-0\n00:02.000 --> 00:03.000 line:0\nof coffee"
    assert texts(track) == ["A cup", "of coffee"]


@pytest.mark.parametrize(
    "stamps",
    [
        "00:00:01,500 --> 00:00:03,000",
        "0:00:01.500 --> 0:00:03.000",
        "00:01.5 --> 00:03",
        "00:00:01,500-->00:00:03,000",
    ],
)
def test_times_are_read_in_every_writing(stamps: str) -> None:
    for head in ("1\n", "WEBVTT\n\n", ""):
        (cue,) = cues(f"{head}{stamps}\ncup".encode())
        assert (cue[0].start, cue[0].end) == (1.5, 3.0)


def test_cues_come_in_time_order() -> None:
    track = "WEBVTT\n\n00:05.000 --> 00:06.000\nlate\n\n00:01.000 --> 00:02.000\nearly\n"
    assert texts(track) == ["early", "late"]


@pytest.mark.parametrize("end", ["00:04.000", "00:03.000"])
def test_a_cue_that_ends_when_it_starts_or_before_is_read_at_its_start(end: str) -> None:
    (cue,) = cues(f"WEBVTT\n\n00:04.000 --> {end}\nA red cup\n".encode())
    assert (cue[0].start, round(cue[-1].end, 3)) == (4.0, 4.9)


@pytest.mark.parametrize("stamp", ["-00:00:01,500", "00:00:-01,500", "-0:01.5"])
def test_a_negative_time_is_one(stamp: str) -> None:
    track = f"1\n{stamp} --> 00:00:03,000\nA cup\n\n2\n00:00:04,000 --> 00:00:05,000\nof tea\n"
    assert texts(track) == ["A cup", "of tea"]
    assert starts(track)[0] == -1.5


def test_layers_of_one_text_are_read_once_with_the_times_that_one_has() -> None:
    track = "WEBVTT\n\n00:01.000 --> 00:03.000\nA red cup\n\n00:01.100 --> 00:03.000\n"
    track += "A <00:01.500>red <00:02.500>cup\n"
    assert texts(track) == ["A red cup"]
    assert starts(track) == [1.1, 1.5, 2.5]


def lines(written: str) -> list[str]:
    """The lines of a cue, as places are made of them."""
    (cue,) = cues(f"WEBVTT\n\n00:01.000 --> 00:09.000\n{written}\n".encode())
    return [said(list(group)) for _, group in groupby(cue, key=lambda word: word.line)]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("A red cup.\nUna taza roja.", ["A red cup.", "Una taza roja."]),
        ("A red cup. Una taza roja.", ["A red cup.", "Una taza roja."]),
        ("A red cup / Una taza roja", ["A red cup", "Una taza roja"]),
        ("A red (and old) cup", ["A red", "(and old)", "cup"]),
        ("Dr. Smith: A red cup", ["Dr. Smith:", "A red cup"]),
        ("Mr. Smith has 3.5 cups", ["Mr. Smith has 3.5 cups"]),
        ("word(s) and/or cups", ["word(s) and/or cups"]),
        ("（拍手）猫だ。犬だ。", ["（拍手）", "猫だ。", "犬だ。"]),
    ],
)
def test_what_may_be_said_apart_from_the_rest_is_a_line_of_its_own(written: str, found: list[str]) -> None:
    assert lines(written) == found


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01\x02\xff", b"WEBVTT", b"<html><body>404</body></html>", b"1\n2\n3\n", b"a --> b\nc"]
)
def test_what_is_no_track_has_no_cues(content: bytes) -> None:
    assert cues(content) == []


def test_words_are_characters_where_no_spaces_are_written() -> None:
    assert split_words("左に、見える。") == ["左", "に、", "見", "え", "る。"]
    assert split_words(" A cat – no") == [" A", " cat –", " no"]


FRAGMENTS = [
    "WEBVTT\n\n",
    "1\n",
    "\n\n",
    "00:01.000 --> 00:02.000\n",
    "00:00:03,5 --> 00:00:04\n",
    "<00:01.500>",
    "<c>",
]
FRAGMENTS += [
    " cup",
    "cup\n",
    "[",
    "]",
    "&gt;&gt; ",
    "&#0;",
    "猫",
    "-->",
    "NOTE",
    "99:99:99.999 --> 99:99:99.999\n",
    "\x00",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
@example("00:01.000 --> 00:02.000\n<00:01.500>1\n1\nWEBVTT\n\n")  # thirds of half a second
def test_whatever_is_in_a_track_words_keep_inside_their_cue_and_in_order(content: str) -> None:
    for cue in cues(content.encode()):
        assert cue
        times = [time for word in cue for time in (word.start, word.end)]
        assert times == sorted(times)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_reading_fail(content: bytes) -> None:
    cues(content)
    cues(b"WEBVTT\n\n00:01.000 --> 00:02.000\n" + content)


def test_youtube_captions_say_the_same_with_and_without_word_times() -> None:
    timed = cues(shared("videos/manifesto.vtt").read_bytes())
    plain = cues(shared("videos/manifesto.srt").read_bytes())
    assert " ".join(map(said, timed)) == " ".join(map(said, plain))
    assert said(timed[0]) == "this audiobook is in the public domain"
    assert [word.start for word in timed[0]] == [1.599, 1.92, 2.48, 2.56, 2.72, 2.8, 3.12]


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("accented.srt", 17, "J'ai passé près de deux décennies"),
        ("captions_with_bom.vtt", 4, "Caption text #1"),
        ("cue_tags.vtt", 3, "When the moon hits your eye"),
        ("elephantsdream.en.vtt", 78, "At the left we can see..."),
        ("elephantsdream.ja.vtt", 77, "左に見えるのは…"),
        ("empty.vtt", 0, ""),
        ("invalid_timeframe.srt", 5, "Caption text #1"),
        (
            "mediaelement_malformed_times.srt",
            15,
            "HTML5 <video> and <audio> was supposed to be awesome, powerful, and fun.",
        ),
        ("panda_long_1ApFKwvjE.vtt", 40, "A man is playing with two lions in a zoo."),
        ("youtube_dl.vtt", 3, "yeah"),
    ],
)
def test_real_tracks_are_read(name: str, count: int, first: str) -> None:
    found = texts(shared(f"subtitles/{name}").read_bytes())
    assert len(found) == count
    assert "".join(found[:1]) == first


def test_real_word_times_are_those_of_the_file() -> None:
    (_, pizza, amore) = cues(shared("subtitles/cue_tags.vtt").read_bytes())
    assert [word.start for word in pizza][2:] == [19.0, 19.5, 20.0]
    assert amore[1].start == 21.0
