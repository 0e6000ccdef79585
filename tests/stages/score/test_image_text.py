"""The image-text model, by both libraries: long texts are split, black bars are cut, batches do not matter."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from schemas.config import Auto
from stages.models.demo import DEMO, photo_sentence_folder
from stages.score.image_text import ImageTextModel, without_bars
from stages.score.stage import continuity
from stages.score.towers import Embeddings, ModelSpec
from stages.timing import Timings
from tests.runs import ROOT
from tests.stages.photos import CAT, COFFEE, jpeg, photo

CUP = "A cup of coffee."


LONG = "the weather was fine and we went on for a while without saying much at all " * 8


def spec(batch: int | Auto = 8, name: str = DEMO) -> ModelSpec:
    return ModelSpec(name, "", device="cpu", precision="fp32", threads=2, batch=batch)


def open_clips() -> str:
    return f"local-dir:{photo_sentence_folder()}"


@pytest.fixture(scope="module")
def by_library() -> dict[str, ImageTextModel]:
    return {"onnx": ImageTextModel(spec(), Timings()), "open_clip": ImageTextModel(spec(name=open_clips()), Timings())}


@pytest.fixture(scope="module", params=["onnx", "open_clip"])
def model(request: pytest.FixtureRequest, by_library: dict[str, ImageTextModel]) -> ImageTextModel:
    return by_library[request.param]


def of_jpegs(model: ImageTextModel, *jpegs: bytes) -> Embeddings:
    return model.encode(jpegs, [])[0]


def test_both_libraries_give_the_same_scores(by_library: dict[str, ImageTextModel]) -> None:
    jpegs = [jpeg(photo(name)) for name in ("astronaut", "chelsea", "coffee", "rocket")]
    jpegs += [jpeg(photo("coffee").resize((2400, 1600))), jpeg(photo("chelsea").resize((97, 640)))]
    texts = [
        CAT,
        COFFEE,
        "x",
        LONG,
        "Caf\u00c3\u00a9 &amp; THE  na\u00efve\n3-year-old\u2026 \u5496\u5561",
        "\u5496\u5561" * 200,
    ]
    scores = {}
    for library, model in by_library.items():
        frames, sentences = model.encode(jpegs, texts)
        scores[library] = frames @ sentences.T
    assert np.abs(scores["onnx"] - scores["open_clip"]).max() < 1e-5


@pytest.mark.parametrize("text", ["", "x", CAT, LONG, "\u5496\u5561 caf\u00e9"])
def test_both_libraries_cut_a_text_into_the_same_tokens(text: str, by_library: dict[str, ImageTextModel]) -> None:
    ours, theirs = (by_library[library]._towers for library in ("onnx", "open_clip"))
    assert ours.length(text) == theirs.length(text)
    tokens, padded = ours.tokens([text])[0].tolist(), theirs.tokens([text])[0].tolist()
    assert padded == tokens + [0] * (ours.context_length - len(tokens))


def test_the_demo_runs_without_torch() -> None:
    code = """
import sys
sys.modules |= dict.fromkeys(["torch", "transformers", "open_clip", "timm", "torchvision"])  # as if not installed
from tests.stages.score.test_image_text import spec
from stages.score.image_text import ImageTextModel
from stages.timing import Timings
print(ImageTextModel(spec(), Timings()).encode_texts(["A cat."]).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 384)\n"


def test_embeddings_have_unit_length(model: ImageTextModel) -> None:
    lengths = np.linalg.norm(model.encode_texts([CAT, COFFEE]), axis=1)
    assert lengths == pytest.approx([1.0, 1.0], abs=1e-6)


def test_a_photo_scores_higher_with_its_own_sentence(model: ImageTextModel) -> None:
    similarity = of_jpegs(model, jpeg(photo("coffee"))) @ model.encode_texts([COFFEE, CAT]).T
    assert similarity[0, 0] > similarity[0, 1] + 0.1


def test_a_text_over_the_context_length_is_split_and_not_cut(model: ImageTextModel) -> None:
    long, cut = model.encode_texts([LONG + COFFEE, LONG])
    assert float(long @ model.encode_texts([CUP])[0]) > float(cut @ model.encode_texts([CUP])[0]) + 0.05


def test_a_long_text_without_spaces_is_split_too(model: ImageTextModel) -> None:
    assert model.encode_texts(["咖啡" * 200]).shape == (1, 384)


def test_batches_do_not_change_an_embedding(model: ImageTextModel) -> None:
    jpegs = [jpeg(photo(name)) for name in ("astronaut", "chelsea", "coffee")]
    one_by_one = np.concatenate([of_jpegs(model, content) for content in jpegs])
    assert of_jpegs(model, *jpegs) == pytest.approx(one_by_one, abs=1e-5)


def test_batches_are_small_on_a_cpu_unless_the_config_says_otherwise() -> None:
    assert (ImageTextModel(spec("auto"), Timings()).batch, ImageTextModel(spec(3), Timings()).batch) == (8, 3)


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size_and_means_the_same(model: ImageTextModel) -> None:
    large = photo("coffee").resize((2400, 1600))
    reduced, whole = of_jpegs(model, jpeg(large), jpeg(large.resize((600, 400))))
    assert float(reduced @ whole) > 0.98


def test_black_bars_are_cut() -> None:
    picture = photo("coffee").resize((300, 200))
    framed = Image.new("RGB", (640, 360))
    framed.paste(picture, (170, 80))
    assert without_bars(framed).size == pytest.approx((300, 200), abs=2)


def test_a_picture_without_bars_stays_whole() -> None:
    assert without_bars(photo("coffee")).size == photo("coffee").size


def test_a_dark_picture_with_a_small_light_stays_whole() -> None:
    night = Image.new("RGB", (640, 360))
    night.paste(Image.new("RGB", (20, 20), "white"), (300, 200))
    assert without_bars(night).size == (640, 360)


def test_continuity_drops_where_the_talk_turns_to_something_else(model: ImageTextModel) -> None:
    about = ["A cup of coffee.", "The coffee is hot.", "A spoon of sugar for the coffee."]
    then = ["A dog runs on the grass.", "The dog jumps for a ball.", "Two dogs play."]
    found = continuity(model.encode_texts([*about, *then]))
    assert len(found) == 5
    assert found.index(min(found)) == 2


def test_a_single_sentence_has_no_boundary(model: ImageTextModel) -> None:
    assert continuity(model.encode_texts([CAT])) == []
