"""The text of subtitle files in every encoding."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.media.subtitles.encoding import decoded

CUE = "1\n00:00:01,000 --> 00:00:02,000\n{}\n\n2\n00:00:02,000 --> 00:00:03,000\n{}\n"


def utf8(first: str, second: str) -> bytes:
    return CUE.format(first, second).encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["un café “noir”", "A plain cup", "左に見えるのは"])
def test_unicode_is_read_with_and_without_a_mark(encoding: str, text: str) -> None:
    assert decoded(CUE.format(text, "end").encode(encoding)).splitlines() == CUE.format(text, "end").splitlines()


@pytest.mark.parametrize("broken", [b"\xa0", b"\xff", b"\x92", b"\xe2\x80", b"\xc3"])
def test_a_broken_byte_costs_its_own_spot_alone(broken: bytes) -> None:
    track = utf8("a “beautiful” day – really…", "her friend’s").replace(b"her ", b"her" + broken)
    first, second = decoded(track).splitlines()[2], decoded(track).splitlines()[-1]
    assert first == "a “beautiful” day – really…"
    assert second == "her\ufffdfriend’s"


def test_a_file_that_already_has_signs_of_replacement_is_unicode() -> None:
    assert "caf\ufffd noir" in decoded(utf8("caf\ufffd noir", "end"))


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "It’s a “red” cup of café – noir"),
        ("cp1250", "Żółta łódź płynie po jeziorze, ponieważ są mokre"),
        ("cp1251", "Красная чашка кофе стоит на столе рядом с книгой"),
        ("koi8_r", "Красная чашка кофе стоит на столе рядом с книгой"),
        ("cp1253", "Μια γυναίκα με πορτοκαλί στολή χαμογελά δίπλα σε μια σημαία"),
        ("cp1254", "Turuncu uzay giysili kadın gülümsüyor, yeşil gözlü genç bir kedi"),
        ("cp1255", "אישה בחליפת חלל כתומה מחייכת ליד דגל"),
        ("cp1256", "امرأة ترتدي بدلة فضاء برتقالية تبتسم بجانب العلم"),
        ("cp932", "左に見えるのはすべて安全だ。そうですね"),
        ("euc_jp", "左に見えるのはすべて安全だ。そうですね"),
        ("gb18030", "一只年轻的棕色猫绿色的眼睛看着一边"),
        ("big5", "一隻年輕的棕色貓綠色的眼睛看著一邊"),
        ("cp949", "주황색 우주복을 입은 여자가 깃발 옆에서 웃고 있습니다"),
    ],
)
def test_older_encodings_are_told_by_what_was_heard(encoding: str, text: str) -> None:
    heard = frozenset(re.findall(r"\w+", text.casefold())) | frozenset(text)
    assert text in decoded(CUE.format(text, "end").encode(encoding), heard)


def test_one_word_of_an_older_encoding_is_enough() -> None:
    track = CUE.format("un café", "noir").encode("cp1252")
    assert "un café" in decoded(track)
    assert "un café" in decoded(track, frozenset({"café"}))


def test_text_that_was_decoded_wrongly_once_is_repaired() -> None:
    twice = CUE.format("her friend’s “red” cup", "end").encode().decode("cp1252", "replace").encode()
    assert "her friend’s" in decoded(twice)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(content: bytes) -> None:
    decoded(content)
    decoded(content, frozenset({"café"}))
