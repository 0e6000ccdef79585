"""Models in this process: tiny ones that are made and taught here, loaded by transformers as any other."""

from __future__ import annotations

import asyncio
import io
import json
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.rows import CaptionsRow, DocumentDraft, DocumentFrame, DocumentsRow, FrameCaption, FramesRow
from stages.base import Context, RunEnds, StageSetupError, Video
from stages.caption.stage import Caption, CaptionConfig
from stages.inference.asking import Ask, Asking
from stages.inference.backend import backend_of, model_revision
from stages.inference.question import Answer, NoAnswer, Question
from stages.inference.settings import ModelConfig
from stages.inference.transformers_model import TransformersModel
from stages.transcribe.recognizer import torch_threads
from storyloom.fs.files import files_at
from tests.stages.inference.tiny_models import COLOURS, TEMPLATE, WORDS, about, again, said, speaker, viewer
from tests.stages.rows import MANIFEST, frames_row

CONTEXT = Context(seed=0, media=files_at(""))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Models so tiny are slower on more of them."""
    with torch_threads(1):
        yield


@pytest.fixture(scope="session")
def sees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision-language model that names the colour of a wall."""
    return viewer(tmp_path_factory.mktemp("viewer"))


@pytest.fixture(scope="session")
def speaks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that repeats a word."""
    return speaker(tmp_path_factory.mktemp("speaker"))


def settings(folder: Path, **others: Any) -> ModelConfig:
    return ModelConfig(backend="transformers", model=str(folder), **others)


def loaded(folder: Path, **others: Any) -> TransformersModel:
    backend = backend_of("caption", settings(folder, **others), CONTEXT)
    assert isinstance(backend, TransformersModel)
    return backend


def answers(model: TransformersModel, questions: Sequence[Question]) -> list[Answer | NoAnswer]:
    groups = [questions[begin : begin + model.at_once] for begin in range(0, len(questions), model.at_once)]

    async def asked() -> list[list[Answer | NoAnswer]]:
        return list(await asyncio.gather(*(model.answers(group) for group in groups)))

    return [answer for group in asyncio.run(asked()) for answer in group]


def texts(found: Sequence[Answer | NoAnswer]) -> list[str]:
    return [answer.text if isinstance(answer, Answer) else answer.reason for answer in found]


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def changed(file: Path, **new: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | new))


def test_a_picture_decides_the_answer(sees: Path) -> None:
    found = answers(loaded(sees), [about(colour) for colour in COLOURS])
    assert texts(found) == [f"A {colour} wall." for colour in COLOURS]


def test_a_refused_answer_is_part_of_the_conversation(sees: Path) -> None:
    assert texts(answers(loaded(sees), [again("red"), about("red")])) == ["Red, and flat.", "A red wall."]


def test_tokens_are_counted_without_padding(sees: Path) -> None:
    first, second = answers(loaded(sees), [about("red"), again("red")])
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    # A token for each letter, five marks of turns, a picture of 32 by 32 in squares of 16; and the end of the answer.
    assert first.tokens_in == len("Look." + '{"id": "000000"}') + 5 + 4
    assert first.tokens_out == len('{"id": "000000", "text": "A red wall."}') + 1
    refused = '{"id": "000000", "text": "Wall"}' + "Too short."
    assert second.tokens_in == first.tokens_in + len(refused) + 4


@pytest.mark.parametrize("batch", [1, 4])
def test_batches_of_any_size_answer_in_order(sees: Path, batch: int) -> None:
    questions = [about("blue"), again("red"), about("white"), about("red"), about("green"), about("blue")]
    expected = ["A blue wall.", "Red, and flat.", "A white wall.", "A red wall.", "A green wall.", "A blue wall."]
    model = loaded(sees, batch=batch)
    found = answers(model, questions)
    assert texts(found) == expected
    assert answers(model, questions) == found


def test_questions_with_and_without_pictures_share_a_batch(sees: Path) -> None:
    found = answers(loaded(sees), [about("red"), Question("Look."), about("blue")])
    assert texts(found)[::2] == ["A red wall.", "A blue wall."]
    assert isinstance(found[1], Answer)


def test_an_answer_that_has_no_end_is_cut(sees: Path) -> None:
    model = loaded(sees, max_tokens=len('{"id": "000000", "text": "A red wall."}') + 1)
    cut = NoAnswer("cut_answer", retryable=False)
    assert [answer == cut for answer in answers(model, [about("red"), about("green")])] == [False, True]


def test_the_model_s_own_sampling_is_left_out(sees: Path, tmp_path: Path) -> None:
    model = copied(sees, tmp_path / "model")
    own = {"do_sample": True, "temperature": 9.0, "repetition_penalty": 9.0, "max_length": 3, "num_beams": 3}
    changed(model / "generation_config.json", **own)
    assert texts(answers(loaded(model), [about("red")])) == ["A red wall."]


def test_a_model_that_was_taught_nothing_keeps_to_the_form(sees: Path, tmp_path: Path) -> None:
    import torch
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    torch.manual_seed(1)
    model = copied(sees, tmp_path / "model")
    network: Any = LlavaForConditionalGeneration(LlavaConfig.from_pretrained(sees))
    network.lm_head.weight.data[ord('"') - 33] *= 3.0  # the token that ends a text, so that some do
    network.save_pretrained(model)
    found = answers(loaded(model), [about(colour) for colour in COLOURS] + [again("red")])
    assert set(texts(found)) != {"cut_answer"}
    assert {answer.reason for answer in found if isinstance(answer, NoAnswer)} <= {"cut_answer"}


def test_a_language_model_is_asked_without_pictures(speaks: Path) -> None:
    model = loaded(speaks, batch=2)
    assert texts(answers(model, [said(word) for word in WORDS])) == [f"It is {word}." for word in WORDS]
    with pytest.raises(RunEnds, match="is shown no pictures: name a vision-language model"):
        answers(model, [about("red")])


def test_arguments_reach_the_template(speaks: Path, tmp_path: Path) -> None:
    model = copied(speaks, tmp_path / "model")
    told = "{% if thinks is not defined or thinks %}{{ raise_exception('it thinks') }}{% endif %}"
    (model / "chat_template.jinja").write_text(told + TEMPLATE)
    with pytest.raises(StageSetupError, match=r"caption\.model .*cannot be loaded: .*it thinks"):
        loaded(model)
    body = {"chat_template_kwargs": {"thinks": False}}
    assert texts(answers(loaded(model, body=body), [said("two")])) == ["It is two."]


@pytest.mark.parametrize("body", [{"top_p": 0.5}, {"chat_template_kwargs": 1}])
def test_a_model_in_this_process_takes_no_other_body(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="takes chat_template_kwargs alone"):
        settings(Path("model"), body=body)
    ModelConfig(body=body)


@pytest.mark.parametrize("kind", ["sees", "speaks"])
def test_a_model_without_a_chat_template_is_refused(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    model = copied(request.getfixturevalue(kind), tmp_path / "model")
    (model / "chat_template.jinja").unlink()
    with pytest.raises(StageSetupError, match=r"(?i)caption\.model .*cannot be loaded: .*chat.?template"):
        loaded(model)


class Evil:
    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.trap), "w")


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a model's code makes when it runs; and a terminal that answers yes."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "ran"


@pytest.mark.parametrize("kind", ["sees", "speaks"])
def test_weights_that_are_a_pickle_are_refused(
    kind: str, tmp_path: Path, trap: Path, request: pytest.FixtureRequest
) -> None:
    model = copied(request.getfixturevalue(kind), tmp_path / "model")
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(trap)))
    with pytest.raises(StageSetupError, match=r"caption\.model .*cannot be loaded: .*no file named model\.safetensors"):
        loaded(model)
    assert not trap.exists()


def test_weights_that_an_index_says_are_a_pickle_are_refused(speaks: Path, tmp_path: Path, trap: Path) -> None:
    model = copied(speaks, tmp_path / "model")
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(trap)))
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "pytorch_model.bin"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(StageSetupError, match=r"caption\.model .*cannot be loaded"):
        loaded(model)
    assert not trap.exists()


CLASSES = ("AutoConfig", "AutoModelForCausalLM", "AutoModelForImageTextToText", "AutoProcessor", "AutoTokenizer")


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("sees", "config.json"),
        ("sees", "tokenizer_config.json"),
        ("sees", "processor_config.json"),
        ("speaks", "config.json"),
        ("speaks", "tokenizer_config.json"),
    ],
)
def test_a_model_s_own_code_never_runs(
    kind: str, file: str, tmp_path: Path, trap: Path, request: pytest.FixtureRequest
) -> None:
    model = copied(request.getfixturevalue(kind), tmp_path / "model")
    (model / "code.py").write_text(f"open({str(trap)!r}, 'w').close()\nclass Mine: pass\n")
    changed(model / file, auto_map=dict.fromkeys(CLASSES, "code.Mine"))
    assert len(answers(loaded(model), [said("one")])) == 1  # a known kind of model needs none, so that it is left out
    assert not trap.exists()


def test_a_model_of_its_own_kind_is_refused(sees: Path, tmp_path: Path, trap: Path) -> None:
    model = copied(sees, tmp_path / "model")
    (model / "code.py").write_text(f"open({str(trap)!r}, 'w').close()\nclass Mine: pass\n")
    changed(model / "config.json", auto_map=dict.fromkeys(CLASSES, "code.Mine"), model_type="mine")
    with pytest.raises(StageSetupError, match=r"caption\.model .*cannot be loaded"):
        loaded(model)
    assert not trap.exists()


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"model_type": "clip"}', '{"model_type": "llava"}'])
def test_an_odd_config_is_a_setup_error(content: str, speaks: Path, tmp_path: Path) -> None:
    model = copied(speaks, tmp_path / "model")
    (model / "config.json").write_text(content)
    with pytest.raises(StageSetupError, match=r"caption\.model .*cannot be loaded"):
        loaded(model)


def test_a_model_that_is_not_there_is_a_setup_error() -> None:
    with pytest.raises(StageSetupError, match="is not in the cache"):
        loaded(Path("nobody/nothing"))


def test_the_revision_is_of_the_content(speaks: Path, sees: Path, tmp_path: Path) -> None:
    assert model_revision(settings(speaks)).startswith("sha256:")
    assert model_revision(settings(speaks)) == model_revision(settings(copied(speaks, tmp_path / "model")))
    assert model_revision(settings(speaks)) != model_revision(settings(sees))
    assert "llguidance" in model_revision(settings(speaks))


VIDEOS = {"a" * 20: ["red", "blue", "red"], "b" * 20: ["green"], "c" * 20: ["white", "green", "blue", "red"]}
"""The colours of frames of videos, by their keys."""


async def described(video: Video, ask: Ask) -> CaptionsRow:
    found = await ask([about(colour) for colour in VIDEOS[video.key]])
    captions = [FrameCaption(frame=place, caption=text, status="captioned") for place, text in enumerate(texts(found))]
    return CaptionsRow(video=video.key, captions=captions)


def test_rows_of_a_part_are_made_in_order_and_asked_for_once(
    sees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [Video(MANIFEST.model_copy(update={"video": key}), [], "part-1") for key in VIDEOS]
    context = Context(seed=0, media=files_at(""), answers=files_at(str(tmp_path / "answers")))
    config = settings(sees, batch=2, concurrency=1)
    model = loaded(sees, batch=2)

    def rows() -> list[CaptionsRow]:
        return list(Asking("caption", config, context, model).rows(videos, lambda _: 3, described))

    first = rows()
    assert [row.video for row in first] == list(VIDEOS)
    assert [[one.caption for one in row.captions] for row in first] == [
        [f"A {colour} wall." for colour in colours] for colours in VIDEOS.values()
    ]
    monkeypatch.setattr(model, "_batch", None)  # a question would fail
    assert rows() == first


def documents(key: str, colours: Sequence[str]) -> Video:
    """A video with one document, which has a frame of each colour."""
    seen = frames_row([float(place) for place in range(len(colours))])
    jpegs = [about(colour).picture for colour in colours]
    row = FramesRow(video=key, frames=seen.frames, jpegs=[one.jpeg for one in jpegs if one])
    frames = [
        DocumentFrame(frame=place, time=place, text=-1, similarity=-1.0, shift=0.0) for place in range(len(colours))
    ]
    document = DocumentDraft(number=0, start=0.0, end=float(len(colours)), language="en", frames=frames, texts=[])
    return Video(
        MANIFEST.model_copy(update={"video": key}), [DocumentsRow(video=key, documents=[document]), row], "part-1"
    )


def test_the_stage_asks_a_model_in_this_process(sees: Path, tmp_path: Path) -> None:
    told = {"instruction": "Look.", "max_side": 32, "enabled": True}
    config = CaptionConfig(backend="transformers", model=str(sees), batch=2, **told)
    context = Context(seed=0, media=files_at(""), answers=files_at(str(tmp_path / "answers")))
    caption = Caption(config, context)
    caption.setup()
    rows = list(caption.process([documents(key, colours) for key, colours in VIDEOS.items()]))
    assert [
        (row.video, [(one.frame, one.caption, one.status) for one in row.captions])
        for row in rows
        if isinstance(row, CaptionsRow)
    ] == [
        (key, [(place, f"A {colour} wall.", "captioned") for place, colour in enumerate(colours)])
        for key, colours in VIDEOS.items()
    ]
