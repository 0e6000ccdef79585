"""Model folders that strangers made: their code never runs, nothing is asked, and what is wrong is named."""

import io
import json
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stages.base import Context, StageSetupError
from stages.models.demo import photo_sentence_folder, whisper_folder
from stages.score.stage import Score, ScoreConfig
from stages.timing import Timings
from stages.transcribe.backends import load_recognizer, recognizer_revision
from stages.transcribe.settings import TranscribeConfig
from storyloom.fs.files import files_at

CONTEXT = Context(seed=0, media=files_at(""), results={})


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a model's code makes when it runs; and a terminal that answers yes."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "ran"


def folder(at: Path, trap: Path) -> Path:
    """A copy of the demo's image-text model with code of its own beside it."""
    shutil.copytree(photo_sentence_folder(), at)
    code = f"open({str(trap)!r}, 'w').close()\nclass Mine: pass\n"
    (at / "code.py").write_text(code)
    return at


def changed(file: Path, change: Callable[[Any], Any]) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


def loaded(model: Path) -> None:
    stage = Score(ScoreConfig(model=f"local-dir:{model}", device="cpu"), CONTEXT)
    stage.revision()
    stage.setup()


def test_a_sound_folder_loads(tmp_path: Path, trap: Path) -> None:
    loaded(folder(tmp_path / "model", trap))
    assert not trap.exists()


def test_a_folder_that_asks_for_its_own_tokenizer_is_refused(tmp_path: Path, trap: Path) -> None:
    model = folder(tmp_path / "model", trap)
    auto = {"auto_map": {"AutoTokenizer": ["code.Mine", None]}, "tokenizer_class": "Mine"}
    changed(model / "tokenizer_config.json", lambda old: old | auto)
    wanted = {"trust_remote_code": True}
    changed(
        model / "open_clip_config.json",
        lambda old: (
            old
            | {
                "model_cfg": old["model_cfg"]
                | {"text_cfg": old["model_cfg"]["text_cfg"] | {"tokenizer_kwargs": wanted}}
            }
        ),
    )
    with pytest.raises(StageSetupError, match=r"tokenizer_kwargs .* not 'trust_remote_code': a model brings no code"):
        loaded(model)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("file", "auto"),
    [
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["code.Mine", None]}, "tokenizer_class": "Mine"}),
        ("config.json", {"auto_map": {"AutoConfig": "code.Mine", "AutoModel": "code.Mine"}, "model_type": "mine"}),
    ],
)
def test_code_beside_a_model_is_not_run_whatever_a_terminal_answers(
    tmp_path: Path, trap: Path, capsys: pytest.CaptureFixture[str], file: str, auto: dict[str, Any]
) -> None:
    model = folder(tmp_path / "model", trap)
    changed(model / file, lambda old: old | auto)
    changed(
        model / "open_clip_config.json",
        lambda old: (
            old
            | {
                "model_cfg": old["model_cfg"]
                | {"text_cfg": old["model_cfg"]["text_cfg"] | {"hf_model_name": str(model)}}
            }
        ),
    )
    with suppress(StageSetupError):  # where the model is a known one, its own code is left out
        loaded(model)
    assert not trap.exists()
    assert "[y/N]" not in "".join(capsys.readouterr())


class Evil:
    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.trap), "w")


@pytest.mark.parametrize("name", ["open_clip_pytorch_model.bin", "model.pth"])
def test_a_pickle_is_refused_with_a_sentence(tmp_path: Path, trap: Path, name: str) -> None:
    model = folder(tmp_path / "model", trap)
    for weights in model.glob("*.safetensors"):
        weights.unlink()
    (model / name).write_bytes(pickle.dumps(Evil(trap)))
    with pytest.raises(StageSetupError, match="its weights are a pickle that may run code"):
        loaded(model)
    assert not trap.exists()


def test_a_checkpoint_of_openai_whisper_that_is_a_pickle_is_refused_with_a_sentence(tmp_path: Path, trap: Path) -> None:
    pytest.importorskip("whisper")
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Evil(trap)))
    config = TranscribeConfig(backend="openai-whisper", model=str(tmp_path / "model.pt"), compute_type="float32")
    with pytest.raises(StageSetupError, match="its weights are a pickle that may run code"):
        load_recognizer(config, Timings())
    assert not trap.exists()


def test_a_folder_without_weights_is_no_model_of_random_numbers(tmp_path: Path, trap: Path) -> None:
    model = folder(tmp_path / "model", trap)
    for weights in model.glob("*.safetensors"):
        weights.unlink()
    with pytest.raises(StageSetupError, match="cannot be loaded"):
        loaded(model)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{",
        "[" * 100_000,
        '{"model_cfg": []}',
        '{"model_cfg": {"embed_dim": 1}}',
        '{"model_cfg": {"vision_cfg": {}, "text_cfg": {}, "__class__": 1}}',
        '{"model_cfg": {"vision_cfg": {}, "text_cfg": {"hf_model_name": "roberta-base"}}}',
        '{"model_cfg": {"vision_cfg": {}, "text_cfg": {"hf_model_name": ["a"]}}}',
        '{"model_cfg": {"vision_cfg": {"timm_model_name": "hf-hub:a/b"}, "text_cfg": {}}}',
        '{"model_cfg": {"vision_cfg": {}, "text_cfg": {"tokenizer_kwargs": [1]}}}',
        '{"model_cfg": {"embed_dim": "x", "vision_cfg": {"layers": null}, "text_cfg": {"width": {}}}}',
        '{"model_cfg": {"embed_dim": 8, "vision_cfg": {"no_such": 1}, "text_cfg": {}}}',
    ],
)
def test_an_odd_config_of_a_model_is_a_setup_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "open_clip_config.json").write_text(content)
    with pytest.raises(StageSetupError, match=r"score\.model 'local-dir:"):
        loaded(tmp_path)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", ["", '{"a": [' * 50])
def test_a_speech_model_with_a_strange_file_loads_or_is_a_setup_error(tmp_path: Path, name: str, content: str) -> None:
    source, model = whisper_folder(), tmp_path / "model"
    model.mkdir()
    for file in source.iterdir():
        if file.name != name:
            (model / file.name).symlink_to(file)
    (model / name).write_text(content)
    config = TranscribeConfig(model=str(model))
    try:
        recognizer_revision(config)
        load_recognizer(config, Timings())
    except StageSetupError as reason:
        assert "transcribe.model" in str(reason)  # noqa: PT017 - either is right


@pytest.mark.parametrize("place", ["/", "/dev/zero", "file"])
def test_what_is_no_speech_model_is_not_read_as_one(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    config = TranscribeConfig(model=str(tmp_path / place))
    with pytest.raises(StageSetupError, match=r"transcribe\.model .* has no model\.bin"):
        recognizer_revision(config)


def test_a_folder_is_no_checkpoint_of_openai_whisper() -> None:
    pytest.importorskip("whisper")
    config = TranscribeConfig(backend="openai-whisper", model="/", compute_type="float32")
    with pytest.raises(StageSetupError, match=r"transcribe\.model '/' is no file"):
        recognizer_revision(config)


def test_a_disk_is_no_image_text_model() -> None:
    with pytest.raises(StageSetupError, match="is no folder of open_clip's"):
        Score(ScoreConfig(model="local-dir:/"), CONTEXT).revision()
