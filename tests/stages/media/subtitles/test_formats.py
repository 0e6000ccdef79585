"""The formats of subtitle tracks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

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


def json3(*events: str) -> str:
    return f'{{"events": [{", ".join(events)}]}}'


def test_half_a_character_of_json3_is_lost_alone() -> None:
    half = '{"tStartMs": 1000, "dDurationMs": 2000, "segs": [{"utf8": "A \\ud83dred\\ude00"}, {"utf8": " cup"}]}'
    whole = '{"tStartMs": 3500, "dDurationMs": 1750, "segs": [{"utf8": "of \\ud83d"}, {"utf8": "\\ude00 coffee."}]}'
    assert read(json3(half, whole)) == [CUP[0], (3.5, 5.25, "of 😀 coffee.")]


@pytest.mark.parametrize("wrong", ["Infinity", "NaN", "1e308", "9" * 400, '"soon"', "null", "[]", "{}", "1e15"])
def test_a_time_that_is_none_costs_itself_alone(wrong: str) -> None:
    words = f'[{{"utf8": "A red"}}, {{"utf8": " cup", "tOffsetMs": {wrong}}}]'
    lost = f'{{"tStartMs": {wrong}, "dDurationMs": 5, "segs": [{{"utf8": "lost"}}]}}'
    endless = f'{{"tStartMs": 3500, "dDurationMs": {wrong}, "segs": [{{"utf8": "of coffee."}}]}}'
    first, second = read(json3(lost, f'{{"tStartMs": 1000, "dDurationMs": 2000, "segs": {words}}}', endless))
    assert (first, second) == (CUP[0], (3.5, 4.1, "of coffee."))


@pytest.mark.parametrize("wrong", ["null", "5", '"x"', "[1]", '{"utf8": null}', '{"utf8": {"a": 1}}', "[[]]"])
def test_what_is_no_text_in_json3_is_not_read(wrong: str) -> None:
    cup = '{"tStartMs": 1000, "dDurationMs": 2000, "segs": [{"utf8": "A red cup"}]}'
    bad = f'{{"tStartMs": 3000, "segs": {wrong}}}', f'{{"tStartMs": 3000, "segs": [{wrong}]}}'
    assert read(json3(cup, *bad, wrong)) == CUP[:1]


@pytest.mark.parametrize(
    "wrong",
    [f"{'9' * 6000}:00:00", f"00:00:00:{'9' * 6000}", f"{'9' * 400}s", f"{'9' * 400}h", f"1.{'9' * 6000}t"],
)
def test_a_time_of_ttml_with_too_many_digits_is_none(wrong: str) -> None:
    parameters = f'{PARAMETERS} ttp:frameRateMultiplier="{"9" * 6000} 1001"'
    body = f'<div><p begin="{wrong}" end="1s">lost</p><p begin="1s" end="3s">A red <span begin="{wrong}">cup</span></p>'
    assert CUP[0] in read(TTML.format(parameters, f"{body}</div>"))


def test_a_reference_to_no_character_is_one_sign() -> None:
    assert read(f"1\n00:00:01,000 --> 00:00:03,000\nA red cup&#{'9' * 5000};\n") == [(1.0, 3.0, "A red cup\ufffd")]


def test_times_of_srv1_with_many_decimals_are_read() -> None:
    text = '<transcript><text start="1.0000000000000001" dur="2.00000000000000001">A red cup</text></transcript>'
    assert read(text) == CUP[:1]


@pytest.mark.parametrize("written", ["A red<br>cup", "A red<br/>cup", "A red<BR />cup", "A red\\Ncup", "A red\\ncup"])
@pytest.mark.parametrize("head", ["1\n", "WEBVTT\n\n"])
def test_a_line_break_in_another_writing_is_one(head: str, written: str) -> None:
    assert read(f"{head}00:00:01.000 --> 00:00:03.000\n{written}\n") == [(1.0, 3.0, "A red\ncup")]


def test_a_note_in_curly_brackets_is_not_read() -> None:
    for note in ("{TN: he says hi}", "{TN: he says {\\i1}hi}", "{\\i1}"):
        assert read(f"1\n00:00:01,000 --> 00:00:03,000\n{note}A red cup\n") == CUP[:1]
        assert read(events(f"{note}A red cup")) == CUP[:1]


NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20), st.floats(), st.sampled_from(["9" * 5000, "-1", "1e400", "٣", "00:00:01.5", "1s"])
)
SAID = st.text(st.characters(), max_size=20) | st.sampled_from(["\ud83d", "{", "<br>", "&#" + "9" * 5000, "\x02", "]"])
VALUES = st.recursive(st.none() | st.booleans() | NUMBERS | SAID, lambda one: st.lists(one, max_size=3), max_leaves=5)


Drawn = list[tuple[object, object, object, object]]
"""Start, end or length, text and a word's time of each cue."""


def json3_of(found: Drawn) -> str:
    return json.dumps(
        {"events": [{"tStartMs": a, "dDurationMs": b, "segs": [{"utf8": c, "tOffsetMs": d}]} for a, b, c, d in found]}
    )


def xml_of(found: Drawn, form: str) -> str:
    return form.format(
        "".join(f'<p begin="{a}" t="{a}" end="{b}" d="{b}">{c}<s t="{d}">x</s></p>' for a, b, c, d in found)
    )


FORMS: list[Callable[[Drawn], str]] = [
    json3_of,
    lambda found: xml_of(found, '<tt frameRate="24" tickRate="7"><body>{}</body></tt>'),
    lambda found: xml_of(found, "<timedtext><body>{}</body></timedtext>"),
    lambda found: "".join(f'<text start="{a}" dur="{b}">{c}</text>' for a, b, c, _ in found).join(
        ("<transcript>", "</transcript>")
    ),
    lambda found: "".join(f"{a} --> {b}\n{c}<{d}>\n\n00:01 --> 00:02\n{c}<00:01.5>{d}\n" for a, b, c, d in found),
    lambda found: events(*(f"{c}{{\\k{d}}}x" for _, _, c, d in found)),
    lambda found: "".join(f"0:00:01.0,0:00:02.0\n{c}\n\n" for _, _, c, _ in found),
]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(FORMS), st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), max_size=4))
def test_no_values_in_any_format_make_reading_fail(
    form: Callable[[Drawn], str],
    found: Drawn,
) -> None:
    for cue in cues(form(found).encode(errors="surrogatepass")):
        assert [word.text.encode() for word in cue]
        times = [time for word in cue for time in (word.start, word.end)]
        assert times == sorted(times)
        assert all(map(math.isfinite, times))
