"""The fitted codebooks: what they keep of photos, and that their codes are the same everywhere."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.fit_codebook import fit
from stages.tokenize.fitted import CODEBOOKS, FITTED, features_of, fitted_codebook, patches_of
from stages.tokenize.sizes import encoded_size
from stages.tokenize.tokenizer import load_tokenizer
from tests.stages.tokenize.pictures import noise, photo, psnr

SIDES = st.integers(1, 4000)


@given(width=SIDES, height=SIDES, patch=st.sampled_from([4, 8, 16]), most=st.integers(16, 1024))
def test_a_picture_s_size_is_of_whole_patches_within_the_limit_and_of_its_shape(
    width: int, height: int, patch: int, most: int
) -> None:
    size = encoded_size(width, height, patch, most)
    scale = min(1.0, most / max(width, height))
    for found, side in zip(size, (width, height), strict=True):
        assert found % patch == 0
        assert patch <= found <= max(patch, most)
        assert abs(found - side * scale) < patch


def test_smaller_patches_keep_more_of_photos() -> None:
    photos = [photo(name) for name in ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")]
    kept = {}
    for name in FITTED:
        tokenizer = load_tokenizer(name)
        decoded = tokenizer.decode(tokenizer.encode(photos))
        kept[name] = float(np.mean([psnr(one, other) for one, other in zip(photos, decoded, strict=True)]))
    assert kept["fitted-16"] > 18
    assert kept["fitted-8"] > kept["fitted-16"] + 2
    assert kept["fitted-4"] > kept["fitted-8"] + 2


CODES_OF_NOISE = {
    "fitted-16": "4ab0dc706a92887c9a51e662dffa9bd326bb9bc4b02aad7bee0eb3789d812b35",
    "fitted-8": "54a11a3f763f0a9475e58c6a38b02b26df1629f0cb0b1b7b877f0186bbafb8dc",
    "fitted-4": "c0b280489b4d0b7a8cc6f50c97da0d363338cd40f3e68c4fb239ca20890fb35b",
}
"""SHA-256 of the codes of two pictures, as computed when the codebooks were committed."""


@pytest.mark.parametrize("name", FITTED)
def test_codes_are_those_of_the_machine_that_fitted_them(name: str) -> None:
    ramp = np.add.outer(np.arange(48), np.arange(64))[:, :, None] * np.array([1, 2, 2]) % 256
    codes = load_tokenizer(name).encode([noise(1), ramp.astype(np.uint8)])
    assert hashlib.sha256(b"".join(one.tobytes() for one in codes)).hexdigest() == CODES_OF_NOISE[name]


def test_the_code_of_a_patch_is_the_nearest_of_all_products() -> None:
    tokenizer = fitted_codebook("fitted-16", 256)
    picture = photo("coffee.png", 64, 32)
    everything = np.arange(tokenizer.codebook_size, dtype=np.uint16)
    first, second = tokenizer._codebook.entries
    entries = np.concatenate([first[everything // len(second)], second[everything % len(second)]], 1).astype(np.float64)
    features = features_of(patches_of(picture, 16), tokenizer._codebook.directions)
    (codes,) = tokenizer.encode([picture])
    for patch, code in zip(features, codes.ravel(), strict=True):
        distances = ((entries - patch) ** 2).sum(1)
        assert distances[code] == distances.min()


@pytest.mark.parametrize("name", FITTED)
def test_every_code_decodes_to_a_square_of_its_size(name: str) -> None:
    tokenizer = load_tokenizer(name)
    grid = np.array([[0, 1, tokenizer.codebook_size - 1]], np.uint16)
    (picture,) = tokenizer.decode([grid])
    assert picture.shape == (tokenizer.patch, 3 * tokenizer.patch, 3)
    assert picture.dtype == np.uint8


def test_a_picture_of_another_size_is_resized_within_the_limit() -> None:
    tokenizer = load_tokenizer("fitted-16", max_side=128)
    (codes,) = tokenizer.encode([photo("coffee.png", 640, 360)])
    assert codes.shape == (4, 8)
    assert tokenizer.size(640, 360) == (128, 64)
    assert [one.shape for one in tokenizer.encode([noise(0, 9, 7)])] == [(1, 1)]


def test_the_codebooks_are_small() -> None:
    assert sum(file.stat().st_size for file in CODEBOOKS.iterdir()) < 10**6


def test_a_fit_gives_the_same_codebook_again() -> None:
    pictures = [photo(name, 128, 96) for name in ("coffee.png", "chelsea.png")]
    one, other = fit(pictures, 8), fit(pictures, 8)
    assert np.array_equal(one.directions, other.directions)
    assert all(np.array_equal(*pair) for pair in zip(one.entries, other.entries, strict=True))
