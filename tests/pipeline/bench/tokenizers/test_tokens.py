"""Raw patches, codes and JPEGs of pictures: what they cost, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.bench.tokenizers.frames import Frame, Picture, fitted
from pipeline.bench.tokenizers.measure import Material, jpeg_rows, whole_row
from pipeline.bench.tokenizers.report import Measured
from pipeline.bench.tokenizers.tokens import QUALITIES, Coded, RawPatches, from_jpeg, to_jpeg
from stages.tokenize.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def photos() -> list[Picture]:
    data = pytest.importorskip("skimage.data")
    shown = [data.astronaut(), data.coffee(), data.chelsea()]
    return [fitted(from_jpeg(to_jpeg(one, 95)), 256) for one in shown]


def psnr(row: Measured) -> float | None:
    assert row.quality is not None
    return row.quality.psnr


def material(pictures: Sequence[Picture]) -> Material:
    return Material([[Frame(one, "")] for one in pictures], None, None)


class Random:
    """Codes that say nothing of a picture."""

    name, codebook_size, patch = "random", 4096, 16

    def size(self, width: int, height: int) -> tuple[int, int]:
        return width, height

    def encode(self, pictures: Sequence[Picture]) -> list[NDArray[np.uint16]]:
        rng = np.random.default_rng(0)
        grids = [(one.shape[0] // self.patch, one.shape[1] // self.patch) for one in pictures]
        return [rng.integers(self.codebook_size, size=grid).astype(np.uint16) for grid in grids]

    def decode(self, codes: Sequence[NDArray[np.uint16]]) -> list[Picture]:
        colors = np.random.default_rng(1).integers(0, 256, (self.codebook_size, 3), dtype=np.uint8)
        return [colors[one].repeat(self.patch, 0).repeat(self.patch, 1) for one in codes]


@pytest.mark.parametrize("patch", [16, 30, 32])
def test_raw_patches_lose_nothing_whatever_the_sides(patch: int) -> None:
    one = np.random.default_rng(0).integers(0, 256, (144, 256, 3), dtype=np.uint8)
    raw = RawPatches(patch)
    tokens = raw.encode([one])
    assert tokens[0].shape[:2] == (-(-144 // patch), -(-256 // patch))
    assert np.array_equal(raw.decode(tokens, [(144, 256)])[0], one)


def test_raw_patches_cost_eight_bits_a_sample(photos: list[Picture]) -> None:
    row = whole_row(material(photos), RawPatches(16))
    assert row.bits_per_pixel == 24
    assert row.bits_per_token == 16 * 16 * 3 * 8
    assert not row.discrete
    assert psnr(row) is None


def test_bits_of_a_jpeg_are_those_of_its_file(photos: list[Picture]) -> None:
    for row, quality in zip(jpeg_rows(material(photos)), QUALITIES, strict=True):
        assert row.bits_per_frame == 8 * sum(len(to_jpeg(one, quality)) for one in photos) / len(photos)
        assert row.tokens_per_frame is None


def test_a_jpeg_of_more_bits_is_nearer(photos: list[Picture]) -> None:
    rows = list(jpeg_rows(material(photos)))
    found = [(row.bits_per_frame, psnr(row)) for row in rows]
    assert found == sorted(found)


def test_random_codes_are_worse_than_a_fitted_codebook(photos: list[Picture]) -> None:
    fitted_row = whole_row(material(photos), Coded(load_tokenizer("fitted-16")))
    random_row = whole_row(material(photos), Coded(Random()))
    assert fitted_row.discrete
    assert fitted_row.tokens_per_frame == random_row.tokens_per_frame
    better, worse = psnr(fitted_row), psnr(random_row)
    assert better is not None
    assert worse is not None
    assert better > worse + 3


def test_a_tokenizer_without_a_decoder_is_measured_by_its_cost_alone(photos: list[Picture]) -> None:
    row = whole_row(material(photos), Coded(Random(), "it has no decoder"))
    assert (row.quality, row.survival, row.decoded_per_second) == (None, None, None)
    assert row.tokens_per_frame
    assert row.encoded_per_second


def test_bits_of_a_code_are_the_logarithm_of_the_codebook(photos: list[Picture]) -> None:
    row = whole_row(material(photos), Coded(Random()))
    assert row.bits_per_token == 12
    assert row.tokens_per_frame is not None
    assert row.bits_per_frame == pytest.approx(12 * row.tokens_per_frame)


def test_a_tokenizer_of_another_size_is_measured_at_the_pictures_size(photos: list[Picture]) -> None:
    class Half(Random):
        def encode(self, pictures: Sequence[Picture]) -> list[NDArray[np.uint16]]:
            return super().encode([one[::2, ::2] for one in pictures])

    made = Coded(Half()).decode(Coded(Half()).encode(photos), [one.shape[:2] for one in photos])
    assert [one.shape for one in made] == [one.shape for one in photos]


@pytest.mark.parametrize(
    ("width", "height", "wanted"),
    [(640, 360, (256, 144)), (360, 640, (144, 256)), (500, 333, (256, 176)), (90, 50, (96, 48)), (4000, 8, (256, 16))],
)
def test_pictures_are_given_at_one_size_in_multiples_of_16(width: int, height: int, wanted: tuple[int, int]) -> None:
    assert fitted(np.zeros((height, width, 3), np.uint8), 256).shape[1::-1] == wanted
