"""The measures on pictures whose distance is known."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.bench.tokenizers.frames import Picture
from pipeline.bench.tokenizers.quality import ALEXNET, lpips_if_there, psnr, quality, ssim


def picture(seed: int = 0, low: int = 60, high: int = 190) -> Picture:
    return np.random.default_rng(seed).integers(low, high, (48, 64, 3), dtype=np.uint8)


def test_psnr_of_a_known_noise_is_that_of_its_variance() -> None:
    one = picture()
    off = np.random.default_rng(1).choice([-5, 5], one.shape)
    found = psnr([one], [(one + off).astype(np.uint8)])
    assert found == pytest.approx(20 * math.log10(255 / 5))


def test_psnr_is_of_the_mean_error_over_all_pictures() -> None:
    one, other = picture(0), picture(1)
    found = psnr([one, other], [one, (other + 10).astype(np.uint8)])
    assert found == pytest.approx(10 * math.log10(255**2 / 50))


def test_equal_pictures_lose_nothing() -> None:
    one = picture()
    assert quality([one], [one.copy()], None).psnr is None
    assert ssim(one, one.copy()) == pytest.approx(1.0)


def test_ssim_falls_with_noise() -> None:
    one = picture()
    rng = np.random.default_rng(1)
    found = [ssim(one, np.clip(one + rng.normal(0, size, one.shape), 0, 255).astype(np.uint8)) for size in (5, 20, 60)]
    assert 1 > found[0] > found[1] > found[2] > 0


def test_ssim_is_the_constant_term_for_flat_pictures() -> None:
    dark, bright = (np.full((32, 32, 3), value, np.uint8) for value in (50, 100))
    c1 = (0.01 * 255) ** 2
    assert ssim(dark, bright) == pytest.approx((2 * 50 * 100 + c1) / (50**2 + 100**2 + c1), abs=1e-6)


def test_lpips_says_why_it_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = lpips_if_there()
    assert isinstance(found, str)
    assert ALEXNET in found


@pytest.mark.slow
def test_lpips_of_cached_weights_is_nothing_for_equal_pictures_and_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / ALEXNET
    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet().state_dict(), file)  # random: distances all the same
    distance = lpips_if_there()
    shutil.rmtree(tmp_path / "hub")
    assert not isinstance(distance, str)
    one = np.kron(picture(), np.ones((2, 2, 1), np.uint8))
    noisy = [
        np.clip(one + np.random.default_rng(1).normal(0, by, one.shape), 0, 255).astype(np.uint8) for by in (4, 40)
    ]
    assert distance(one, one) == pytest.approx(0.0, abs=1e-7)
    assert 0 < distance(one, noisy[0]) < distance(one, noisy[1])
