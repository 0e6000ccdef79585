"""Runs with captions and fusions: what reaches the shards, and what a killed worker or server, or a budget, costs."""

import io
import signal
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.options import terminal
from pipeline.funnel import funnel
from pipeline.progress.terminal import status_table
from pipeline.report import alignment_report
from pipeline.run import Selection
from pipeline.status import status
from stages.caption.stage import CaptionConfig
from stages.inference.question import Picture, Question
from stages.inference.settings import BudgetConfig
from storyloom.errors import RunFailed, UsageError
from storyloom.validate.dataset import validate_dataset
from tests.chat_server import MODEL, ChatServer, Fault, answer, caption, chatting
from tests.runs import ROOT, Finished, command, content_of, copy_of, ended, run_quietly

SIDE = 10_000
"""Pictures are shown as they are, so that a test knows what is said of them."""


SMALL_CHUNKS = {"concurrency": 1, "chunk": 2}


def settings(url: str, **more: Any) -> list[str]:
    """Settings of a run that captions and fuses by a server."""
    both = {"enabled": "true", "model": MODEL, "url": url}
    found = [f"{stage}.{key}={value}" for stage in ("caption", "fuse") for key, value in both.items()]
    return [*found, f"caption.max_side={SIDE}", "fuse.min_words=1", *(f"{key}={value}" for key, value in more.items())]


def over(clips: Finished, folder: Path, server: ChatServer, **more: Any) -> Finished:
    return copy_of(clips, folder, *settings(server.url, **{key.replace("__", "."): one for key, one in more.items()}))


def pictures(run: Finished) -> dict[str, bytes]:
    """Every JPEG of a dataset, by its member's name."""
    found: dict[str, bytes] = {}
    for shard in Path(run.config.output).glob("data/*/*.tar"):
        with tarfile.open(shard) as tar:
            members = {member.name: tar.extractfile(member) for member in tar if member.name.endswith(".jpg")}
            found |= {name: file.read() for name, file in members.items() if file is not None}
    return found


@pytest.fixture(scope="module")
def undisturbed(clips_run: Finished, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, int]:
    """A run with captions and fusions in which nothing goes wrong, and how many questions it asks."""
    with chatting() as server:
        run = over(clips_run, tmp_path_factory.mktemp("told"), server)
        run_quietly(run.config)
        return run, len(server.asked)


@pytest.fixture
def told(undisturbed: tuple[Finished, int]) -> Finished:
    """That run. Tests only look at it."""
    return undisturbed[0]


def test_each_picture_of_the_shards_has_its_own_caption_and_fused_text(told: Finished) -> None:
    jpegs = pictures(told)
    assert len(jpegs) > 4
    for document in told.documents():
        texts = [text for text in document["texts"] if text]
        names = [name for name in document["images"] if name]
        for number, name in enumerate(names):
            shown = caption(jpegs[name])
            assert document["image_caption"][number] == shown
            place = document["image_text_index"][number]
            if document["image_fuse_status"][number] == "fused":
                said = {"speech": texts[place], "caption": shown}
                assert document["image_fused"][number] == answer(said, None)
    found = {one for document in told.documents() for one in document["image_fuse_status"]}
    assert "fused" in found
    assert validate_dataset(told.config.output).violations.total == 0


def test_the_funnel_and_the_report_count_captions_and_fusions_by_their_reasons(told: Finished) -> None:
    statuses = [one for document in told.documents() for one in document["image_fuse_status"]]
    rows = {row.what: row for row in funnel(status(told.workspace))}
    assert (rows["captions"].found, rows["captions"].kept) == (len(statuses), len(statuses))
    assert (rows["fusions"].found, rows["fusions"].kept) == (len(statuses), statuses.count("fused"))
    kept = {one.removeprefix("kept:") for one in statuses if one.startswith("kept:")}
    assert set(rows["fusions"].dropped) == kept
    assert alignment_report(told.workspace).answered == [rows["captions"], rows["fusions"]]


def test_a_run_that_is_killed_goes_on_with_the_answers_that_it_had_and_ends_the_same(
    clips_run: Finished, undisturbed: tuple[Finished, int], tmp_path: Path
) -> None:
    told, questions = undisturbed
    with chatting(latency=0.02) as server:
        asked = {f"{stage}.{key}": one for stage in ("caption", "fuse") for key, one in SMALL_CHUNKS.items()}
        run = over(clips_run, tmp_path, server, **asked)
        options = [part for setting in settings(server.url, **asked) for part in ("--set", setting)]
        with subprocess.Popen(command(run.config, "run", *options), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            server.wait_for(lambda one: len(one.asked) >= 6)
            process.send_signal(signal.SIGKILL)
        server.wait_for(lambda one: one.in_hand == 0)
        run_quietly(run.config)
        assert len(server.asked) <= questions + 2
    assert content_of(run.config.output) == content_of(told.config.output)


def test_a_server_that_dies_and_comes_back_changes_nothing(clips_run: Finished, told: Finished, tmp_path: Path) -> None:
    with chatting(Fault("die", after=5)) as server:
        run = over(clips_run, tmp_path, server)
        with subprocess.Popen(_with_settings(run, server), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            server.wait_for(lambda one: any(asked.fault == "die" for asked in one.asked))
            server.kill()
            server.start()
            assert process.wait(120) == 0
    assert content_of(run.config.output) == content_of(told.config.output)


def test_what_failed_is_asked_about_again_by_retry_and_nothing_else_is(
    clips_run: Finished, told: Finished, tmp_path: Path
) -> None:
    name, jpeg = min(pictures(told).items())
    question = Question(CaptionConfig().told, picture=Picture(jpeg, SIDE))
    with chatting(Fault("500", times=2, within=question.id)) as server:
        run = over(clips_run, tmp_path, server, caption__retries=1)
        run_quietly(run.config)
        documents = {name: one for one in run.documents() for name in one["images"] if name}
        number = int(name.split(".")[1])
        assert documents[name]["image_caption"][number] == ""
        assert documents[name]["image_fuse_status"][number] in ("kept:no_caption", "kept:no_text")
        (row,) = (one for one in funnel(status(run.workspace)) if one.what == "captions")
        assert row.failed == {"server_error": 1}
        printed = _printed(lambda: terminal().print(status_table(status(run.workspace))))
        assert "frames: server_error 1" in printed
        asked = len(server.asked)
        run_quietly(run.config)
        assert len(server.asked) == asked
        run_quietly(run.config, Selection(retry=True))
        assert question.id in {one.id for one in server.asked[asked:]}
        assert len(server.asked) - asked <= 2
    assert content_of(run.config.output) == content_of(told.config.output)


def test_a_budget_ends_the_run_and_the_next_one_goes_on_from_there(
    clips_run: Finished, undisturbed: tuple[Finished, int], tmp_path: Path
) -> None:
    told, questions = undisturbed
    with chatting() as server:
        run = over(clips_run, tmp_path, server, **{"caption.budget.requests": 3, "caption.concurrency": 1})
        with pytest.raises(RunFailed, match=r"caption.budget.requests is spent \(3 of 3\).*goes on from there"):
            run_quietly(run.config)
        assert len(server.asked) == 3
        without = run.config.section(CaptionConfig).model_copy(update={"budget": BudgetConfig()})
        run_quietly(run.config.model_copy(update={"caption": without}))
        assert len(server.asked) == questions
    assert content_of(run.config.output) == content_of(told.config.output)


def test_a_server_that_is_not_there_is_told_before_the_first_video(clips_run: Finished, tmp_path: Path) -> None:
    with chatting() as server:
        run = over(clips_run, tmp_path, server)
    with pytest.raises(UsageError, match=rf"no server answers at {server.url}.*vllm serve {MODEL}"):
        run_quietly(run.config)


def test_a_model_that_the_server_does_not_have_is_told_with_the_nearest(clips_run: Finished, tmp_path: Path) -> None:
    with chatting(models=("big-eyes", "words")) as server:
        run = over(clips_run, tmp_path, server, caption__model="bigeyes", fuse__model="words")
        with pytest.raises(UsageError, match="no model 'bigeyes'; did you mean 'big-eyes'"):
            run_quietly(run.config)


def test_a_key_that_is_refused_ends_the_run_and_is_not_printed(
    clips_run: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-and-secret")
    with chatting(key="right") as server:
        run = over(clips_run, tmp_path, server)
        code, printed = ended(_with_settings(run, server))
    assert code == 2
    assert "refuses the key: set the environment variable OPENAI_API_KEY" in printed
    assert "sk-wrong" not in printed


def test_fused_texts_take_the_place_of_what_was_said_only_where_that_is_wanted(
    clips_run: Finished, told: Finished, tmp_path: Path
) -> None:
    with chatting() as server:
        run = over(clips_run, tmp_path, server, fuse__replace="true")
        run_quietly(run.config)
    for before, after in zip(told.documents(), run.documents(), strict=True):
        said, written = ([text for text in one["texts"] if text] for one in (before, after))
        fused = dict(
            reversed([pair for pair in zip(before["image_text_index"], before["image_fused"], strict=True) if pair[1]])
        )
        assert written == [fused.get(number, text) for number, text in enumerate(said)]
        assert after["text_source"] == ["fused" if number in fused else "asr" for number in range(len(said))]


def _printed(work: Callable[[], object]) -> str:
    with redirect_stdout(io.StringIO()) as said:
        work()
    return said.getvalue()


def _with_settings(run: Finished, server: ChatServer) -> list[str]:
    options = [part for setting in settings(server.url) for part in ("--set", setting)]
    return command(run.config, "run", *options)
