"""The formats of subtitle tracks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.media.subtitles.cues import cues
from stages.media.subtitles.formats import MARK, seconds_of, shown

Found = list[tuple[float, float, str]]


def read(text: str) -> Found:
    return [(round(cue.start, 3), round(cue.end, 3), MARK.sub("", cue.text).strip()) for cue in shown(text)]


def starts(text: str) -> list[float]:
    return [round(word.start, 3) for cue in cues(text.encode()) for word in cue]


CUP: Found = [(1.0, 3.0, "A red cup"), (3.5, 5.25, "of coffee.")]


def test_subrip_is_read_with_and_without_numbers_and_blank_lines() -> None:
    times = ["00:00:01,000 --> 00:00:03,000", "00:00:03,500 --> 00:00:05,250"]
    for text in (
        f"1\n{times[0]}\nA red cup\n\n2\n{times[1]}\nof coffee.\n",
        f"1\n{times[0]}\nA red cup\n2\n{times[1]}\nof coffee.",
        f"{times[0]}\nA red cup\n\n{times[1]}\nof coffee.\n",
        f"{times[0]}\nA red cup\n{times[1]} X1:10 X2:20\nof coffee.\n\n",
        f"A title\n\none\n{times[0]}\nA red cup\n\ntwo\n{times[1]}\nof coffee.\n",
    ):
        assert read(text) == CUP, text


def test_a_blank_line_within_a_cue_of_subrip_ends_nothing() -> None:
    text = "1\n00:00:01,000 --> 00:00:03,000\nA red\n\ncup\n\n2\n00:00:03,500 --> 00:00:05,250\nof coffee.\n"
    assert [(start, end, " ".join(said.split())) for start, end, said in read(text)] == CUP


def test_a_number_that_is_said_is_no_number_of_a_cue() -> None:
    text = "1\n00:00:01,000 --> 00:00:03,000\nIt was in\n1984\n\n2\n00:00:03,500 --> 00:00:05,250\nof coffee.\n"
    assert read(text)[0][2] == "It was in\n1984"


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("00:00:01,500", 1.5),
        ("1:02:03.25", 3723.25),
        ("01:02", 62.0),
        ("00:00:01, 500", 1.5),
        ("-00:00:01,500", -1.5),
        ("00:00:-01,500", -1.5),
        ("00:61:00,000", None),
        ("soon", None),
        ("", None),
    ],
)
def test_times_are_read_in_every_writing(stamp: str, seconds: float | None) -> None:
    assert seconds_of(stamp) == seconds


@pytest.mark.parametrize("arrow", ["-->", " -> ", " –> ", " → ", " ---> "])
def test_arrows_are_read_in_every_writing(arrow: str) -> None:
    assert read(f"1\n00:00:01,000{arrow}00:00:03,000\nA red cup\n") == CUP[:1]


def test_sbv_is_read() -> None:
    assert read("0:00:01.000,0:00:03.000\nA red cup\n\n0:00:03.500,0:00:05.250\nof coffee.\n") == CUP


ASS = """[Script Info]
; made by hand
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def events(*texts: str, kind: str = "Dialogue", times: str = "0:00:01.00,0:00:03.00") -> str:
    return ASS + "\n".join(f"{kind}: 0,{times},Default,ANNA,0,0,0,,{text}" for text in texts)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A red cup, of coffee", "A red cup, of coffee"),
        ("A red\\Ncup", "A red\ncup"),
        ("A\\hred {\\i1}cup{\\i0}", "A red cup"),
        ("{a note}A red cup", "A red cup"),
        ("{\\an7\\p1}m 0 0 l 100 0{\\p0}", ""),
        ("{\\p2}m 0 0 l 100 0{\\p0}A red cup", "A red cup"),
        ("{\\pos(1,2)}A red cup", "A red cup"),
        ("{\\p1}m 0 0 l 100 0", ""),
    ],
)
def test_what_an_event_of_substation_says_is_read(text: str, found: str) -> None:
    assert [said for _, _, said in read(events(text))] == ([found] if found else [])


def test_comments_and_events_without_times_cost_themselves_alone() -> None:
    bad = events("lost", times="0:00:0x.00,0:00:03.00") + "\nDialogue: bad\n"
    more = "Comment: 0,0:00:01.00,0:00:03.00,Default,,0,0,0,,a note\n"
    assert read(bad + more + "Dialogue: 0,0:00:01.00,0:00:03.00,Default,,0,0,0,,A red cup\n") == CUP[:1]


def test_the_fields_of_an_event_are_those_of_its_format() -> None:
    old = (
        "[Script Info]\n[Events]\nFormat: Marked, Start, End, Text\nDialogue: Marked=0,0:00:01.00,0:00:03.00,A red cup"
    )
    assert read(old) == CUP[:1]


def test_karaoke_has_the_times_of_its_words_but_not_of_syllables() -> None:
    assert starts(events("{\\k50}A {\\k40}red {\\kf110}cup")) == [1.0, 1.5, 1.9]
    (cue,) = cues(events("{\\k50}A {\\k40}beau{\\k40}ti{\\k40}ful {\\k30}cup").encode())
    assert [word.text for word in cue] == [" A", " beautiful", " cup"]
    assert [round(word.start, 3) for word in cue] == [1.0, 1.5, 2.7]


TTML = '<?xml version="1.0" encoding="UTF-8"?><tt xmlns="http://www.w3.org/ns/ttml" {}><head/><body>{}</body></tt>'
PARAMETERS = 'xmlns:ttp="http://www.w3.org/ns/ttml#parameter"'


@pytest.mark.parametrize(
    ("parameters", "first", "second"),
    [
        ("", 'begin="00:00:01.000" end="00:00:03.000"', 'begin="3.5s" dur="1750ms"'),
        ('ttp:frameRate="4"', 'begin="00:00:01:00" end="00:00:03:00"', 'begin="14f" end="21f"'),
        ('ttp:tickRate="1000"', 'begin="1000t" dur="2000t"', 'begin="3500t" end="5250t"'),
        (
            'ttp:frameRate="24" ttp:frameRateMultiplier="1000 1001"',
            'begin="1s" end="3s"',
            'begin="00:00:03.5" end="00:00:05.25"',
        ),
    ],
)
def test_ttml_is_read_with_every_kind_of_time(parameters: str, first: str, second: str) -> None:
    body = f"<div><p {first}>A red<br/><span>cup</span></p><p {second}>of\n   coffee.</p></div>"
    found = [(s, e, " ".join(text.split())) for s, e, text in read(TTML.format(f"{PARAMETERS} {parameters}", body))]
    assert found == CUP


def test_times_of_ttml_count_from_what_is_around_and_words_have_theirs() -> None:
    body = '<div begin="10s"><p begin="1s" end="3s"><span begin="0s">A</span> <span begin="0.5s">cup</span></p></div>'
    assert read(TTML.format("", body)) == [(11.0, 13.0, "A cup")]
    assert starts(TTML.format("", body)) == [11.0, 11.5]


def test_frames_of_ttml_follow_the_multiplier() -> None:
    parameters = f'{PARAMETERS} ttp:frameRate="30" ttp:frameRateMultiplier="1000 1001"'
    (cue,) = read(TTML.format(parameters, '<div><p begin="30f" end="300f">A cup</p></div>'))
    assert cue[:2] == (1.001, 10.01)


BOMB = '<?xml version="1.0"?><!DOCTYPE tt [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + TTML.partition("?>")[2]


@pytest.mark.parametrize(
    "text",
    [
        BOMB.format("", "<div><p begin='1s' end='2s'>&b;</p></div>"),
        '<!DOCTYPE tt [<!ENTITY x SYSTEM "file:///etc/passwd">]><tt><body><p begin="1s" end="2s">&x;</p></body></tt>',
        "<tt>" + "<div>" * 50_000,
        "<tt><body>" + "<div>" * 5_000 + "<p begin='1s' end='2s'>A cup</p>" + "</div>" * 5_000 + "</body></tt>",
        "<html><body><p>404</p></body></html>",
        '{"events":' + "[" * 100_000,
        '{"events": {"a": 1}}',
        '{"title": "metadata"}',
    ],
)
def test_hostile_and_other_files_have_no_cues(text: str) -> None:
    assert read(text) == []


def test_json3_is_read_with_the_times_of_words() -> None:
    told = {
        "wireMagic": "pb3",
        "events": [
            {"tStartMs": 0, "dDurationMs": 9000, "id": 1},
            {
                "tStartMs": 1000,
                "dDurationMs": 2000,
                "segs": [{"utf8": "A"}, {"utf8": " red", "tOffsetMs": 300}, {"utf8": " cup", "tOffsetMs": 900}],
            },
            {"tStartMs": 3000, "aAppend": 1, "segs": [{"utf8": "\n"}]},
            {"tStartMs": "soon", "segs": [{"utf8": "lost"}]},
            {"tStartMs": 3500, "dDurationMs": 1750, "segs": [{"utf8": "of\u0002 coffee."}]},
        ],
    }
    assert read(json.dumps(told)) == CUP
    assert starts(json.dumps(told))[:3] == [1.0, 1.3, 1.9]


def test_srv_of_every_version_is_read() -> None:
    third = '<timedtext format="3"><head><ws id="0"/></head><body><w t="0" id="1"/>'
    third += '<p t="1000" d="2000" w="1"><s ac="0">A</s><s t="300"> red</s><s t="900"> cup</s></p>'
    third += '<p t="3000" d="500" w="1" a="1">\n</p><p t="3500" d="1750">of coffee.</p></body></timedtext>'
    second = '<timedtext><text t="1000" d="2000">A red cup</text>'
    second += '<text t="3500" d="1750">of coffee.</text></timedtext>'
    first = '<transcript><text start="1" dur="2">A red cup</text>'
    first += '<text start="3.5" dur="1.75">of coffee.</text></transcript>'
    for text in (third, second, first):
        assert read('<?xml version="1.0" encoding="utf-8" ?>' + text) == CUP
    assert starts(third)[:3] == [1.0, 1.3, 1.9]


def test_srv1_escapes_twice() -> None:
    assert read('<transcript><text start="1" dur="2">it&amp;#39;s &amp;quot;red&amp;quot;</text></transcript>') == [
        (1.0, 3.0, 'it\'s "red"')
    ]


PARTS = [
    "[Script Info]\n",
    "Dialogue: ",
    "0,0:00:01.00,0:00:02.00,",
    "{\\p1}",
    "{\\k9}",
    "<tt>",
    "<p begin='1s'",
    ">",
    "</p>",
]
PARTS += [
    '{"events":[',
    '{"tStartMs":1,"segs":[{"utf8":"x"}]}',
    "]}",
    "WEBVTT\n\n",
    "0:00:01.0,0:00:02.0\n",
    "-->",
    "\n",
    "é",
    "\x02",
]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(PARTS), max_size=20).map("".join))
def test_no_mixture_of_formats_makes_reading_fail(text: str) -> None:
    for cue in shown(text):
        assert cue.end > cue.start
    cues(text.encode())
