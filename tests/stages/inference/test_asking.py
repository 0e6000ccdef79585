"""A stage asks about several videos at a time, keeps what was answered, and asks nothing twice."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.base import RunEnds, ServiceDown, Video
from stages.inference.asking import USELESS, Ask
from stages.inference.question import Answer
from tests.chat_server import ALWAYS, ROOT, ChatServer, Fault
from tests.stages.asking import SAID, SHOWN, captioned, video
from tests.stages.inference.asked import Said, Stage, config, question, texts, videos

pytestmark = pytest.mark.usefixtures("impatient")


def test_rows_come_in_the_order_of_the_videos_whatever_is_answered_first(chat: ChatServer, tmp_path: Path) -> None:
    chat.faults = [Fault("slow", seconds=0.5, times=2, within="video 0,"), Fault("500", times=3, within="video 2,")]
    of = videos(20)
    rows = list(Stage(config(chat, concurrency=2, retries=4), tmp_path).rows(of))
    assert [row.video for row in rows] == [one.key for one in of]
    assert [row.texts for row in rows] == [texts(one) for one in of]


def test_many_videos_are_in_hand_but_not_all(chat: ChatServer, tmp_path: Path) -> None:
    drawn: list[Video] = []

    def drawing() -> Iterator[Video]:
        for one in videos(100):
            drawn.append(one)
            yield one

    stage = Stage(config(chat, concurrency=2), tmp_path)
    found = stage.asking.rows(drawing(), lambda _: 2, stage._row)
    next(found)
    assert 2 < len(drawn) < 20
    assert len(list(found)) == 99


def test_a_second_run_asks_nothing(chat: ChatServer, tmp_path: Path) -> None:
    first = list(Stage(config(chat), tmp_path).rows(videos(9)))
    assert len(chat.asked) == 18
    assert list(Stage(config(chat), tmp_path).rows(videos(9))) == first
    assert len(chat.asked) == 18


def test_failures_are_not_remembered(chat: ChatServer, tmp_path: Path) -> None:
    chat.faults = [Fault("length", within="video 3, question 1"), Fault("400", within="video 4, question 0")]
    first = list(Stage(config(chat), tmp_path).rows(videos(9)))
    assert [row.texts for row in first][3:5] == [
        ["video 3, question 0.", "cut_answer"],
        ["bad_request", "video 4, question 1."],
    ]
    second = list(Stage(config(chat), tmp_path).rows(videos(9)))
    assert [row.texts for row in second] == [texts(one) for one in videos(9)]
    asked = sorted(data["text"] for data in chat.questions[18:])
    assert asked == ["video 3, question 1.", "video 4, question 0."]


def test_another_model_or_seed_is_asked_anew(chat: ChatServer, tmp_path: Path) -> None:
    chat.models = ("eyes", "other")
    for settings, seed in (({}, 0), ({"model": "other"}, 0), ({"revision": "2"}, 0), ({}, 1)):
        list(Stage(config(chat, **settings), tmp_path, seed=seed).rows(videos(2)))
    assert len(chat.asked) == 16


def test_a_question_that_comes_twice_in_a_video_is_asked_once(chat: ChatServer, tmp_path: Path) -> None:
    """Such as two frames of one still picture."""
    stage = Stage(config(chat), tmp_path)

    async def work(one: Video, ask: Ask) -> Said:
        answers = await ask([question(text) for text in ("a", "b", "a")])
        return Said(video=one.key, texts=[answer.text for answer in answers if isinstance(answer, Answer)])

    (found,) = stage.asking.rows(videos(1), lambda _: 3, work)
    assert found.texts == ["a", "b", "a"]
    assert len(chat.asked) == 2


def test_a_video_whose_work_breaks_does_not_cost_the_answers_of_others(chat: ChatServer, tmp_path: Path) -> None:
    stage = Stage(config(chat), tmp_path)

    async def broken(one: Video, ask: Ask) -> Said:
        row = await stage._row(one, ask)
        if row.video == videos(5)[4].key:
            raise ZeroDivisionError
        return row

    with pytest.raises(ZeroDivisionError):
        list(stage.asking.rows(videos(5), lambda _: 2, broken))
    assert len(chat.asked) == 10
    assert len(list(Stage(config(chat), tmp_path).rows(videos(5)))) == 5
    assert len(chat.asked) == 10


def test_a_server_that_goes_for_good_keeps_what_it_answered(chat: ChatServer, tmp_path: Path) -> None:
    chat.faults = [Fault("die", after=11)]
    with pytest.raises(ServiceDown):
        list(Stage(config(chat, concurrency=1, chunk=2, patience=0.5), tmp_path).rows(videos(9)))
    chat.start()
    rows = list(Stage(config(chat), tmp_path).rows(videos(9)))
    assert [row.texts for row in rows] == [texts(one) for one in videos(9)]
    assert len(chat.asked) == 19


def test_the_end_of_the_run_leaves_no_question_hanging(chat: ChatServer, tmp_path: Path) -> None:
    """One is refused for the key while others wait for a server that is busy."""
    chat.faults = [Fault("401", within="video 7,", seconds=0.5), Fault("429", times=ALWAYS, within="video [89],")]
    with pytest.raises(RunEnds, match="refuses the key"):
        list(Stage(config(chat, concurrency=32), tmp_path).rows(videos(10)))
    chat.faults = []
    list(Stage(config(chat), tmp_path).rows(videos(10)))
    answered = [one.data["text"] for one in chat.asked if one.answered]
    assert sorted(answered) == sorted(text for one in videos(10) for text in texts(one))


def test_a_killed_process_asks_no_more_than_a_chunk_again(chat: ChatServer, tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        from pathlib import Path
        from stages.inference.settings import ModelConfig
        from tests.stages.inference.asked import Stage, videos
        settings = ModelConfig(enabled=True, model="eyes", url={chat.url!r}, concurrency=4, chunk=12)
        list(Stage(settings, Path({str(tmp_path)!r})).rows(videos(100)))
    """)
    chat.latency = 0.02
    for kills in (50, 120):
        process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
        chat.wait_for(lambda one, least=kills: len(one.asked) >= least)  # type: ignore[misc]
        process.kill()
        process.wait()
    chat.latency = 0.0
    rows = list(Stage(config(chat, concurrency=4, chunk=12), tmp_path).rows(videos(100)))
    assert [row.texts for row in rows] == [texts(one) for one in videos(100)]
    asked = [data["text"] for data in chat.questions]
    assert len(set(asked)) == 200
    assert len(asked) - 200 <= 2 * 12


def test_who_needs_no_more_rows_leaves_no_question_under_way(chat: ChatServer, tmp_path: Path) -> None:
    stage = Stage(config(chat, concurrency=1, chunk=2), tmp_path)
    chat.faults = [Fault("stall", times=2, within="video 2,")]
    rows = stage.rows(videos(3))
    assert next(rows).texts == texts(videos(3)[0])
    rows.close()  # type: ignore[attr-defined]
    assert [row.texts for row in stage.rows(videos(2))] == [texts(one) for one in videos(2)]


def test_a_process_that_has_asked_ends_without_a_word(chat: ChatServer, tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        from pathlib import Path
        from stages.inference.settings import ModelConfig
        from tests.stages.inference.asked import Stage, videos
        settings = ModelConfig(enabled=True, model="eyes", url={chat.url!r}, concurrency=2, chunk=4)
        rows = Stage(settings, Path({str(tmp_path)!r})).rows(videos(9))
        print(next(rows).texts)
    """)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{texts(videos(1)[0])}\n"


def test_nothing_is_asked_of_a_part_without_videos(chat: ChatServer, tmp_path: Path) -> None:
    assert list(Stage(config(chat), tmp_path).rows([])) == []
    assert not chat.asked


def test_the_answers_of_parts_lie_apart(chat: ChatServer, tmp_path: Path) -> None:
    list(Stage(config(chat), tmp_path).rows(videos(2)))
    assert {path.name for path in (tmp_path / "answers" / "caption").iterdir()} == {"part"}


def useless(number: int) -> Video:
    """A video of so many frames."""
    return video("a", said=SAID[:1] * number, shown=SHOWN[:1] * number)


def test_a_model_that_never_answers_in_form_ends_the_run(chat: ChatServer, tmp_path: Path) -> None:
    chat.faults = [Fault("prose", times=ALWAYS)]
    with pytest.raises(RunEnds, match=r"no usable answer .* bad_answer"):
        captioned(chat, tmp_path, useless(USELESS), concurrency=1)


def test_nothing_more_is_asked_once_a_model_is_known_to_be_useless(chat: ChatServer, tmp_path: Path) -> None:
    chat.faults = [Fault("length", times=ALWAYS)]
    with pytest.raises(RunEnds, match=r"no usable answer .* cut_answer"):
        captioned(chat, tmp_path, useless(10 * USELESS), concurrency=1, chunk=2)
    assert len(chat.asked) <= USELESS + 2


def test_a_model_that_answered_before_is_asked_on(chat: ChatServer, tmp_path: Path) -> None:
    captioned(chat, tmp_path, useless(1))
    chat.faults = [Fault("length", times=ALWAYS)]
    (row,) = captioned(chat, tmp_path, useless(USELESS + 1))
    statuses = [one.status for one in row.captions]
    assert statuses == ["captioned", *["failed:cut_answer"] * USELESS]
