"""A server that misbehaves in every way: what comes of the question, of the others and of the run."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from stages.base import RunEnds, ServiceDown
from stages.inference.backend import unreachable
from stages.inference.question import Answer, NoAnswer, Question
from stages.inference.server import Server
from tests.chat_server import ALWAYS, MODEL, ChatServer, Fault, caption, chatting
from tests.language_model import MODEL as LANGUAGE_MODEL
from tests.stages.inference.asked import STAGE, Seen, ask, config, picture, question, questions, replies

pytestmark = pytest.mark.usefixtures("impatient")

BAD = "one bad question"


def texts(answers: list[Answer | NoAnswer]) -> list[str]:
    return [answer.text if isinstance(answer, Answer) else answer.reason for answer in answers]


@pytest.mark.parametrize(
    "kind",
    [
        *("429", "500", "502", "503", "504", "408", "409", "reset", "reset_body", "cut_json", "html", "list", "null"),
        *("no_choices", "odd_choices", "null_content", "prose", "no_text", "null_text", "number_id", "no_id"),
        *("extra_field", "other_id", "deep"),
    ],
)
def test_a_failure_that_passes_costs_one_more_request(chat: ChatServer, turns: Seen, kind: str) -> None:
    chat.faults = [Fault(kind, within=BAD)]
    asked = [*questions(3), question(BAD)]
    assert texts(ask(config(chat), asked, turns)) == [one.data["text"] for one in asked]
    assert len(chat.asked) == 5


@pytest.mark.parametrize("kind", ["stall", "stall_body"])
def test_a_request_that_stalls_once_is_sent_again(chat: ChatServer, turns: Seen, kind: str) -> None:
    chat.faults = [Fault(kind)]
    assert texts(ask(config(chat, timeout=2), [question(BAD)], turns)) == [BAD]
    assert len(chat.asked) == 2


@pytest.mark.parametrize(
    ("kind", "reason", "requests"),
    [
        *((kind, "server_error", 3) for kind in ("500", "409", "cut_json", "html", "list", "null", "no_choices")),
        *((kind, "connection_failed", 3) for kind in ("reset", "reset_body", "502", "504")),
        ("408", "timeout", 3),
        *((kind, "bad_answer", 2) for kind in ("prose", "null_content", "no_text", "number_id", "extra_field")),
        ("other_id", "other_answer", 2),
        *((kind, "bad_request", 1) for kind in ("400", "413", "422")),
        ("length", "cut_answer", 1),
        ("content_filter", "content_filter", 1),
    ],
)
def test_one_bad_question_gets_its_reason_and_the_others_their_answers(
    chat: ChatServer, turns: Seen, kind: str, reason: str, requests: int
) -> None:
    chat.faults = [Fault(kind, times=ALWAYS, within=BAD)]
    others = questions(3)
    bad, *good = texts(
        ask(config(chat, patience=2 if reason == "connection_failed" else 600), [question(BAD), *others], turns)
    )
    assert bad == reason
    assert good == [one.data["text"] for one in others]
    asked = [data["text"] for data in chat.questions]
    assert asked.count(BAD) >= requests  # more only while it is not known whether the server answers anybody
    assert all(asked.count(one.data["text"]) == 1 for one in others)


def test_a_question_that_stalls_for_ever_is_given_up(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("stall", times=ALWAYS, within=BAD)]
    bad, good = texts(ask(config(chat, timeout=2, retries=1), [question(BAD), question("good")], turns))
    assert (bad, good) == ("timeout", "good")


@pytest.mark.parametrize("kind", ["reset", "500", "502", "cut_json"])
def test_the_last_question_of_a_part_may_be_the_bad_one(chat: ChatServer, turns: Seen, kind: str) -> None:
    """Nobody else is answered meanwhile: the server itself is asked whether it works."""
    chat.faults = [Fault(kind, times=ALWAYS, within=BAD)]
    (answer,) = ask(config(chat, patience=0.5), [question(BAD)], turns)
    assert isinstance(answer, NoAnswer)
    assert answer.retryable


@pytest.mark.parametrize(
    "kind", ["429", "500", "502", "503", "504", "408", "stall", "reset", "cut_json", "html", "null"]
)
def test_a_server_that_answers_nobody_is_down(chat: ChatServer, turns: Seen, kind: str) -> None:
    chat.faults = [Fault(kind, times=ALWAYS)]
    with pytest.raises(ServiceDown, match=r"127\.0\.0\.1.* answers nothing"):
        ask(config(chat, patience=0.5, timeout=0.5, retries=1), questions(3), turns)


def test_a_server_that_is_gone_is_waited_for_and_then_down(chat: ChatServer, turns: Seen) -> None:
    chat.kill()
    with pytest.raises(ServiceDown, match=r"answers nothing for 0\.5 s"):
        ask(config(chat, patience=0.5), questions(3), turns)


def test_a_server_that_goes_and_comes_back_gives_every_answer(chat: ChatServer, turns: Seen) -> None:
    async def asked() -> list[Answer | NoAnswer]:
        answers = asyncio.create_task(replies(Server(config(chat, concurrency=8), STAGE, 0, turns), questions(40)))
        await asyncio.to_thread(chat.wait_for, lambda server: len(server.asked) >= 20)
        chat.kill()
        before = len(chat.asked)
        await asyncio.sleep(0.2)
        chat.start()
        found = await answers
        assert len(chat.asked) > before
        return found

    chat.latency = 0.02
    assert texts(asyncio.run(asked())) == [one.data["text"] for one in questions(40)]


def test_a_server_that_dies_at_a_question_and_is_started_again(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("die", within=BAD)]

    def start() -> None:
        chat.wait_for(lambda one: one.in_hand == 0)
        chat.start()

    started = threading.Thread(target=start)

    async def asked() -> list[Answer | NoAnswer]:
        answers = asyncio.create_task(replies(Server(config(chat), STAGE, 0, turns), [question(BAD), *questions(9)]))
        await asyncio.to_thread(chat.wait_for, lambda one: any(each.fault == "die" for each in one.asked))
        started.start()
        return await answers

    assert texts(asyncio.run(asked())) == [BAD, *(one.data["text"] for one in questions(9))]
    started.join()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("401"), "refuses the key in \\$OPENAI_API_KEY"),
        (Fault("403"), "refuses the key in \\$OPENAI_API_KEY"),
        (Fault("404"), "knows no model 'eyes'"),
        (Fault("no_money"), "has no money left"),
        (Fault("402"), "has no money left"),
        (Fault("301", location="http://127.0.0.1:1/v1"), "leads elsewhere"),
    ],
)
def test_what_no_other_try_mends_ends_the_run(chat: ChatServer, turns: Seen, fault: Fault, words: str) -> None:
    chat.faults = [fault]
    with pytest.raises(RunEnds, match=words):
        ask(config(chat), [question(BAD)], turns)
    assert len(chat.asked) == 1


def test_a_server_that_takes_no_request_at_all_ends_the_run(chat: ChatServer, turns: Seen) -> None:
    """Such as one that knows no JSON schemas: each question alone would look like a bad one."""
    chat.faults = [Fault("400", times=ALWAYS)]
    with pytest.raises(RunEnds, match=r"takes no request.*status 400"):
        ask(config(chat), questions(1), turns)


def test_a_server_that_takes_no_pictures_ends_the_run_of_a_stage_that_shows_some(chat: ChatServer, turns: Seen) -> None:
    chat.blind = True
    with pytest.raises(RunEnds, match=r"takes no request.*status 400"):
        ask(config(chat), [Question("Describe it.", picture=picture((9, 9, 9)))], turns)
    assert texts(ask(config(chat), [question("Text goes.")], turns)) == ["Text goes."]


def test_the_end_of_the_run_is_not_waited_for_by_those_who_pause(chat: ChatServer, turns: Seen) -> None:
    """A question that was told to come back in five minutes ends with the run."""
    chat.faults = [Fault("401", within=BAD, seconds=1), Fault("429", retry_after=300)]

    async def asked() -> list[object]:
        server = Server(config(chat), STAGE, 0, turns)
        bad = asyncio.create_task(server.answers([question(BAD)]))
        await asyncio.to_thread(chat.wait_for, lambda one: one.in_hand == 1)
        later = asyncio.create_task(server.answers([question("later")]))
        return list(await asyncio.gather(bad, later, return_exceptions=True))

    assert [type(one) for one in asyncio.run(asked())] == [RunEnds, RunEnds]


def test_an_hour_is_not_waited_for_with_a_patience_of_minutes(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("429", retry_after=3000)]
    with pytest.raises(ServiceDown):
        ask(config(chat, patience=60), [question(BAD)], turns)
    assert len(chat.asked) == 1


def test_a_pause_that_outlasts_the_patience_is_told_to_those_who_come_later(chat: ChatServer, turns: Seen) -> None:
    """Such as the next run."""
    chat.faults = [Fault("429", retry_after=3000)]
    for _ in range(2):
        with pytest.raises(ServiceDown, match=r"wants to be left alone for \d+ s"):
            ask(config(chat, patience=60), [question(BAD)], turns)
    assert len(chat.asked) == 1


@pytest.mark.parametrize("dated", [False, True])
def test_the_pause_that_a_server_asks_for_holds_for_other_workers(
    chat: ChatServer, turns: Seen, *, dated: bool
) -> None:
    chat.faults = [Fault("429", within="first", retry_after=2, dated=dated)]
    other = Seen(turns.folder)

    async def asked() -> list[Answer | NoAnswer]:
        first = asyncio.create_task(replies(Server(config(chat), STAGE, 0, turns), [question("first")]))
        await asyncio.to_thread(turns.paused.wait)
        second = await replies(Server(config(chat), STAGE, 0, other), [question("second")])
        return [*await first, *second]

    assert texts(asyncio.run(asked())) == ["first", "second"]
    assert max(left for _, _, left in other.dues) > 0.0
    assert other.dues[-1][2] == 0.0
    assert len(chat.asked) == 3


def test_the_pause_that_a_server_asks_for_holds_for_those_who_waited_for_a_slot(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("429", retry_after=1)]
    ask(config(chat, concurrency=1, chunk=2), questions(5), turns)
    assert [one.fault for one in chat.asked] == ["429", "", "", "", "", ""]
    assert max(left for _, _, left in turns.dues) > 0.0


def test_busy_is_no_reason_to_give_a_question_up_while_others_are_answered(chat: ChatServer, turns: Seen) -> None:
    """A rate limit hits whom it hits; many more times than `retries`."""
    chat.faults = [Fault("429", times=20, within=BAD)]
    chat.latency = 0.02
    asked = [question(BAD), *questions(30)]
    assert texts(ask(config(chat, concurrency=2, retries=1), asked, turns)) == [one.data["text"] for one in asked]


def test_a_question_that_alone_is_told_to_come_later_is_given_up_in_the_end(chat: ChatServer, turns: Seen) -> None:
    """OpenAI says so of a question that is larger than a minute's tokens."""
    chat.faults = [Fault("429", times=ALWAYS, within=BAD)]
    asked = [question(BAD), *questions(30)]
    found = texts(ask(config(chat, patience=1), asked, turns))
    assert found == ["connection_failed", *(one.data["text"] for one in questions(30))]


def test_the_concurrency_is_reached_and_never_exceeded(chat: ChatServer, turns: Seen) -> None:
    chat.hold()

    async def asked() -> list[Answer | NoAnswer]:
        answers = asyncio.create_task(replies(Server(config(chat, concurrency=6), STAGE, 0, turns), questions(30)))
        await asyncio.to_thread(chat.wait_for, lambda one: one.in_hand == 6)
        chat.release()
        return await answers

    chat.faults = [Fault("500", times=8), Fault("reset", times=4), Fault("prose", times=1)]
    assert len(asyncio.run(asked())) == 30
    assert chat.most == 6


def test_asking_whether_a_server_works_keeps_to_the_concurrency(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("500", times=ALWAYS, within="question")]
    chat.latency = 0.02
    found = texts(ask(config(chat, concurrency=2, retries=0), questions(8), turns))
    assert found == ["server_error"] * 8
    assert chat.most <= 2


@pytest.mark.slow
def test_more_connections_than_the_library_thinks_of(turns: Seen) -> None:
    """Its own pool has a thousand."""
    with chatting() as chat:
        chat.hold()

        async def asked() -> list[Answer | NoAnswer]:
            settings = config(chat, concurrency=1100, chunk=2000)
            answers = asyncio.create_task(replies(Server(settings, STAGE, 0, turns), questions(1100)))
            await asyncio.to_thread(chat.wait_for, lambda one: one.in_hand == 1100)
            chat.release()
            return await answers

        assert len(asyncio.run(asked())) == 1100


def test_workers_share_the_requests_of_a_minute(chat: ChatServer, turns: Seen) -> None:
    settings = config(chat, requests_per_minute=1200)

    async def asked() -> None:
        servers = [Server(settings, STAGE, 0, turns) for _ in range(2)]
        await asyncio.gather(*(replies(server, questions(5)) for server in servers))

    asyncio.run(asked())
    admitted = [interval for host, interval, left in turns.dues if left == 0.0]
    assert admitted == [0.05] * 10
    assert len(chat.asked) == 10
    assert any(left > 0.0 for _, _, left in turns.dues)


def test_tokens_of_a_minute_are_kept_on_average(chat: ChatServer, turns: Seen) -> None:
    """What a request takes is learnt from the answers."""
    settings = config(chat, tokens_per_minute=60_000_000, max_tokens=1000, concurrency=1, chunk=2)
    ask(settings, questions(40), turns)
    intervals = [interval for host, interval, left in turns.dues if host.endswith(" tokens") and left == 0.0]
    assert intervals[0] == pytest.approx(0.001)
    assert 20e-6 < intervals[-1] < 60e-6  # a request takes 28 tokens
    assert intervals == sorted(intervals, reverse=True)


def test_the_request_says_all_that_an_answer_depends_on(chat: ChatServer, turns: Seen) -> None:
    settings = config(chat, max_tokens=99, body={"top_k": 1})
    shown = picture((200, 30, 40))
    asyncio.run(replies(Server(settings, STAGE, 7, turns), [Question("Look.", {"speech": "Hm."}, shown)]))
    (asked,) = chat.asked
    wanted = asked.body.pop("response_format")
    assert asked.body == {"model": MODEL, "temperature": 0, "seed": 7, "max_tokens": 99, "top_k": 1}
    assert wanted["json_schema"]["schema"]["required"] == ["id", "text"]
    assert wanted["json_schema"]["strict"] is True
    assert (asked.instruction, asked.data, asked.size) == ("Look.", {"speech": "Hm."}, (64, 36))


def test_a_picture_arrives_as_it_is(chat: ChatServer, turns: Seen) -> None:
    shown = picture((200, 30, 40))
    assert texts(ask(config(chat), [Question("Look.", picture=shown)], turns)) == [caption(shown.jpeg)]


def test_tokens_of_an_answer_are_those_that_the_server_counts(chat: ChatServer, turns: Seen) -> None:
    (answer,) = ask(config(chat), [question("Four.")], turns)
    assert isinstance(answer, Answer)
    assert (answer.tokens_in, answer.tokens_out) == (13, 9)


@pytest.mark.parametrize("kind", ["no_usage", "odd_usage"])
def test_counts_of_tokens_that_are_missing_or_no_numbers_cost_no_answer(
    chat: ChatServer, turns: Seen, kind: str
) -> None:
    chat.faults = [Fault(kind)]
    assert ask(config(chat), [question("Four.")], turns) == [Answer("Four.", 0, 0)]


def test_a_number_of_tokens_beyond_all_bounds_costs_no_answer(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("huge_usage")]
    assert texts(ask(config(chat, budget={"requests": 5, "tokens": 10**12}), questions(2), turns)) == [
        "question 0.",
        "question 1.",
    ]


def test_a_fence_around_an_answer_is_taken_off(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("fenced")]
    assert texts(ask(config(chat), [question("Plain.")], turns)) == ["Plain."]
    assert len(chat.asked) == 1


def test_an_answer_has_no_special_tokens_and_no_control_characters(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("dirty")]
    assert texts(ask(config(chat), [question("Clean.")], turns)) == ["Dirty image words, im_end and lines INST."]


def test_a_body_without_end_is_cut_off(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("huge", size=40_000_000, within=BAD), Fault("huge_400", size=40_000_000, within=BAD)]
    assert texts(ask(config(chat), [question(BAD), question("good")], turns)) == [BAD, "good"]
    assert [one.answered for one in chat.asked if one.fault.startswith("huge")] == [False, False]


def test_no_other_host_is_told_the_key_or_the_question(
    chat: ChatServer, turns: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with chatting() as other:
        for path in ("/v1/chat/completions", "/elsewhere"):
            chat.faults = [Fault("redirect", location=f"http://127.0.0.1:{other.port}{path}")]
            with pytest.raises(RunEnds, match="leads elsewhere"):
                ask(config(chat), [question(BAD)], turns)
        assert other.connections == 0
    assert {one.key for one in chat.asked} == {"sk-secret"}


@pytest.mark.parametrize("key", ["sk-secret\n", " sk-secret ", "sk-secret\r\n"])
def test_a_key_with_the_line_break_of_its_file_is_taken(
    chat: ChatServer, turns: Seen, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    chat.key = "sk-secret"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert texts(ask(config(chat), [question("Open.")], turns)) == ["Open."]


@pytest.mark.parametrize("key", ["sk-secr\net", "sk-sécret", "sk-sec ret\x00"])
def test_a_key_that_cannot_be_one_is_named_by_its_variable_alone(
    chat: ChatServer, turns: Seen, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key.replace("\x00", "\t"))
    with pytest.raises(RunEnds, match="OPENAI_API_KEY") as told:
        ask(config(chat, patience=0), [question(BAD)], turns)
    assert "sk-s" not in repr(told.value)
    assert not chat.asked


def test_a_key_is_in_no_message_and_no_log(
    chat: ChatServer, turns: Seen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Servers like to quote the key that they refuse."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    messages = []
    for kind in ("401", "400", "500", "reset", "cut_json", "429", "no_money", "404", "redirect"):
        chat.faults = [Fault(kind, times=ALWAYS, quotes_key=True, location="http://127.0.0.1:1/")]
        with pytest.raises((RunEnds, ServiceDown)) as told:
            ask(config(chat, patience=0, retries=0), [question(BAD)], turns)
        messages.append(str(told.value))
    assert "sk-secret" not in "\n".join([*messages, caplog.text])


def test_a_proxy_that_cannot_be_one_is_named(chat: ChatServer, turns: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense://user:secret@127.0.0.1")
    with pytest.raises(RunEnds, match="HTTP_PROXY") as told:
        ask(config(chat), [question(BAD)], turns)
    assert "secret" not in str(told.value)


def test_a_proxy_that_cannot_be_one_is_named_before_the_first_video(
    chat: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense://user:secret@127.0.0.1")
    (told,) = unreachable(STAGE, config(chat))
    assert "HTTP_PROXY" in told
    assert "secret" not in told


def test_who_is_cancelled_gives_the_slot_back(chat: ChatServer, turns: Seen) -> None:
    async def asked() -> list[Answer | NoAnswer]:
        server = Server(config(chat, concurrency=1, chunk=2), STAGE, 0, turns)
        chat.faults = [Fault("stall")]
        stalled = asyncio.create_task(server.answers([question(BAD)]))
        await asyncio.to_thread(chat.wait_for, lambda one: one.in_hand == 1)
        stalled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stalled
        return await server.answers([question("next")])

    assert texts(asyncio.run(asked())) == ["next"]


def test_a_pause_beyond_all_numbers_is_none(chat: ChatServer, turns: Seen) -> None:
    chat.faults = [Fault("429", retry_after=float("1e300"))]
    with pytest.raises(ServiceDown):
        ask(config(chat, patience=10), [question(BAD)], turns)


def test_a_real_model_answers_with_the_id_of_the_question(language_model: str, turns: Seen, chat: ChatServer) -> None:
    fusion = Question(
        "Merge speech and caption. Answer with a JSON object: the id of the request, and text, one sentence.",
        {"speech": "This is Anna, she has baked bread for 30 years.", "caption": "A woman holds a loaf of bread."},
    )
    plain = Question("Answer with a JSON object: the id of the request, and text, a greeting.", {"text": "Hello!"})
    settings = config(chat, url=language_model, model=LANGUAGE_MODEL, max_tokens=200)
    for answer in ask(settings, [fusion, plain], turns):
        assert isinstance(answer, Answer), answer
        assert answer.text
        assert answer.tokens_in > 0
        assert answer.tokens_out > 0
