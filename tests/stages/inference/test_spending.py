"""Budgets: the run ends when they are spent, and what was answered until then is not asked again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stages.base import RunEnds
from stages.inference.server import Server
from tests.chat_server import ALWAYS, ChatServer, Fault
from tests.stages.inference.asked import STAGE, Seen, Stage, ask, config, questions, texts, videos

pytestmark = pytest.mark.usefixtures("impatient")

TOKENS = 28
"""Of a question of a video and its answer: 16 and 12."""


@pytest.mark.parametrize("concurrency", [1, 16])
def test_no_request_is_made_beyond_the_budget(chat: ChatServer, turns: Seen, concurrency: int) -> None:
    settings = config(chat, concurrency=concurrency, budget={"requests": 5})
    with pytest.raises(RunEnds, match=r"caption\.budget\.requests is spent \(\d+ of 5\)"):
        ask(settings, questions(40), turns)
    assert len(chat.asked) == 5


def test_workers_share_a_budget(chat: ChatServer, turns: Seen) -> None:
    async def asked() -> list[Any]:
        servers = [Server(config(chat, budget={"requests": 7}), STAGE, 0, turns) for _ in range(3)]
        each = [server.answers([one]) for server in servers for one in questions(5)]
        return list(await asyncio.gather(*each, return_exceptions=True))

    found = asyncio.run(asked())
    assert len(chat.asked) == 7
    assert sum(isinstance(one, RunEnds) for one in found) == 8


def test_failed_requests_count_too(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("500", times=3)]
    with pytest.raises(RunEnds):
        ask(config(chat, concurrency=1, chunk=2, retries=5, budget={"requests": 4}), questions(3), turns)
    assert [one.fault for one in chat.asked] == ["500", "500", "500", ""]


@pytest.mark.parametrize(
    "budget",
    [
        {"tokens": 3 * TOKENS},
        {"money": 0.003 * TOKENS, "input_price": 1000, "output_price": 1000},
        {"requests": 3},
    ],
)
def test_a_run_ends_with_its_budget_and_the_next_goes_on_from_there(
    chat: ChatServer, tmp_path: Path, budget: dict[str, float]
) -> None:
    of = videos(4)
    wanted = [text for one in of for text in texts(one)]
    (name,) = [name for name in ("tokens", "money", "requests") if name in budget]
    for asked in (3, 6, 8):
        stage = Stage(config(chat, concurrency=1, chunk=2, budget=budget), tmp_path)
        if asked < 8:
            with pytest.raises(RunEnds, match=rf"caption\.budget\.{name} is spent"):
                list(stage.rows(of))
        else:
            rows = list(stage.rows(of))
            assert [text for row in rows for text in row.texts] == wanted
        assert sorted(data["text"] for data in chat.questions) == sorted(wanted)[:asked]


def test_what_is_under_way_when_a_budget_ends_is_waited_for_and_kept(chat: ChatServer, tmp_path: Path) -> None:
    of = videos(8)
    chat.hold()
    stage = Stage(config(chat, concurrency=8, chunk=9, budget={"tokens": 1}), tmp_path)

    async def rows() -> None:
        ended = asyncio.create_task(asyncio.to_thread(lambda: list(stage.rows(of))))
        await asyncio.to_thread(chat.wait_for, lambda one: one.in_hand == 8)
        chat.release()
        with pytest.raises(RunEnds):
            await ended

    asyncio.run(rows())
    assert len(chat.asked) == 8
    rest = list(Stage(config(chat, concurrency=8, chunk=9), tmp_path).rows(of))
    assert [row.texts for row in rest] == [texts(one) for one in of]
    assert len(chat.asked) == 16


def test_answers_that_are_refused_cost_tokens_too(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("prose", times=ALWAYS)]
    with pytest.raises(RunEnds, match=r"budget\.tokens"):
        ask(config(chat, concurrency=1, chunk=2, budget={"tokens": 30}), questions(9), turns)
    assert len(chat.asked) == 2


def test_requests_that_were_not_made_are_not_told_as_spent(chat: ChatServer, turns: Seen) -> None:
    with pytest.raises(RunEnds, match=r"requests is spent \(3 of 3\)"):
        ask(config(chat, budget={"requests": 3}), questions(9), turns)
    assert len(chat.asked) == 3
