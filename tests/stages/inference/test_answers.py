"""Answers are paid for once, and remembered for what was asked, of whom and how alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.inference.answers import Answers
from stages.inference.question import Answer, Question, Refused
from stages.inference.settings import ModelConfig
from storyloom.fs.files import files_at
from tests.stages.inference.asked import picture, question, questions

ASKED = ModelConfig(enabled=True, model="eyes").asks(0)

QUESTION = Question("Describe.", {"speech": "Hm."}, picture((9, 9, 9)))


def answers(folder: Path, asked: dict[str, Any] = ASKED, part: str = "caption/part") -> Answers:
    return Answers(files_at(folder), part, asked, at_once=3)


def remembered(folder: Path, number: int) -> list[Path]:
    """The file, or files, of answers to some questions."""
    first = answers(folder)
    for one in questions(number):
        if first.remember(one, Answer(one.data["text"], 5, 7)):
            first.write()
    first.write()
    return sorted((folder / "caption" / "part").iterdir())


def known(folder: Path, number: int) -> list[str]:
    found = answers(folder)
    return [answer.text for answer in map(found.of, questions(number)) if answer is not None]


def test_answers_are_remembered_with_their_tokens(tmp_path: Path) -> None:
    remembered(tmp_path, 2)
    assert answers(tmp_path).of(questions(2)[1]) == Answer("question 1.", 5, 7)
    assert answers(tmp_path).of(question("another")) is None


def test_so_many_are_written_together(tmp_path: Path) -> None:
    assert len(remembered(tmp_path, 8)) == 3
    assert len(known(tmp_path, 8)) == 8


@pytest.mark.parametrize(
    "change",
    [
        {"backend": "transformers"},
        {"model": "other eyes"},
        {"revision": "2026-11-30"},
        {"body": {"top_k": 1}},
        {"max_tokens": 100},
        {"seed": 1},
    ],
)
def test_an_answer_of_another_model_or_sampling_does_not_count(tmp_path: Path, change: dict[str, Any]) -> None:
    settings = {"enabled": True, "model": "eyes"} | {name: change[name] for name in change if name != "seed"}
    asked = ModelConfig.model_validate(settings).asks(change.get("seed", 0))
    first = answers(tmp_path)
    first.remember(QUESTION, Answer("A black square."))
    first.write()
    assert answers(tmp_path, asked).of(QUESTION) is None
    assert answers(tmp_path, part="caption/other").of(QUESTION) is None
    assert answers(tmp_path).of(QUESTION) == Answer("A black square.")


def test_an_answer_by_another_address_or_budget_counts(tmp_path: Path) -> None:
    settings = {"url": "http://elsewhere/v1", "concurrency": 5, "retries": 0, "budget": {"requests": 9}, "timeout": 3}
    first = answers(tmp_path)
    first.remember(QUESTION, Answer("A black square."))
    first.write()
    asked = ModelConfig.model_validate({"enabled": True, "model": "eyes"} | settings).asks(0)
    assert answers(tmp_path, asked).of(QUESTION) == Answer("A black square.")


@pytest.mark.parametrize(
    "other",
    [
        Question("Describe it.", QUESTION.data, QUESTION.picture),
        Question("Describe.", {"speech": "Hm"}, QUESTION.picture),
        Question("Describe.", QUESTION.data, picture((9, 9, 9), max_side=256)),
        Question("Describe.", QUESTION.data, picture((99, 9, 9))),
        Question("Describe.", QUESTION.data),
        Question("Describe.", QUESTION.data, QUESTION.picture, Refused("A square.", "Once more.")),
    ],
)
def test_an_answer_to_another_question_does_not_count(tmp_path: Path, other: Question) -> None:
    first = answers(tmp_path)
    first.remember(QUESTION, Answer("A black square."))
    first.write()
    assert answers(tmp_path).of(other) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content + content,
        lambda content: content.replace(b"question", b"Question"),
        lambda content: bytes(len(content)),
    ],
)
def test_a_damaged_file_is_none_and_the_others_hold(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    files = remembered(tmp_path, 6)
    assert len(files) == 2
    files[0].write_bytes(damage(files[0].read_bytes()))
    assert len(known(tmp_path, 6)) == 3


def test_answers_that_are_asked_for_again_take_the_place_of_the_damaged_file(tmp_path: Path) -> None:
    (file,) = remembered(tmp_path, 3)
    whole = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(whole[:-1])
    assert remembered(tmp_path, 3) == [file]
    assert file.read_bytes() == whole


def test_a_file_of_another_kind_is_none(tmp_path: Path) -> None:
    (file,) = remembered(tmp_path, 3)
    (file.parent / "notes.jsonl").write_bytes(file.read_bytes().replace(b"question", b"Question"))
    assert known(tmp_path, 3) == ["question 0.", "question 1.", "question 2."]


def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    """A disk that is full for a while costs no answer."""
    first = answers(tmp_path / "full")
    first.remember(QUESTION, Answer("A black square."))
    (tmp_path / "full").write_text("a file where a folder belongs")
    with pytest.raises(OSError):
        first.write()
    (tmp_path / "full").unlink()
    first.write()
    assert answers(tmp_path / "full").of(QUESTION) == Answer("A black square.")


@given(
    texts=st.lists(st.text(st.characters(codec="utf-8")) | st.sampled_from(["\r", "\n", "\u2028", '"}']), min_size=1)
)
def test_any_text_is_remembered_as_it_is(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("answers")
    first = answers(folder)
    for place, text in enumerate(texts):
        first.remember(question(str(place)), Answer(text, place, 1))
    first.write()
    again = answers(folder)
    assert [again.of(question(str(place))) for place in range(len(texts))] == [
        Answer(text, place, 1) for place, text in enumerate(texts)
    ]
