"""How near reconstructions are to the pictures they were made of."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipeline.bench.tokenizers.frames import Picture

WHITE = 255

ALEXNET = "alexnet-owt-7be5be79.pth"
"""torchvision's file of AlexNet's weights, which LPIPS stands on."""

Lpips = Callable[[Picture, Picture], float]
"""The distance of two pictures."""


@dataclass(frozen=True)
class Quality:
    """Distances of reconstructions from their pictures.

    Attributes:
        psnr: Peak signal-to-noise ratio in dB, of the mean squared error over all samples of all pictures; None where
            nothing is lost, since it is infinite.
        ssim: Structural similarity, mean over the pictures; 1 where nothing is lost.
        lpips: Mean over the pictures; 0 where nothing is lost; None where it was not measured.
    """

    psnr: float | None
    ssim: float
    lpips: float | None


def quality(pictures: Sequence[Picture], made: Sequence[Picture], lpips: Lpips | None) -> Quality:
    """The quality of reconstructions.

    Args:
        pictures: As they were given to the tokenizer, at least one.
        made: Their reconstructions, of the same sizes.
        lpips: Measures the distance of two pictures.
    """
    pairs = list(zip(pictures, made, strict=True))
    return Quality(
        psnr=psnr(pictures, made),
        ssim=float(np.mean([ssim(one, other) for one, other in pairs])),
        lpips=None if lpips is None else float(np.mean([lpips(one, other) for one, other in pairs])),
    )


def psnr(pictures: Sequence[Picture], made: Sequence[Picture]) -> float | None:
    """See `Quality`."""
    wrong = sum(
        float(np.square(one.astype(np.float64) - other).sum()) for one, other in zip(pictures, made, strict=True)
    )
    return 10 * math.log10(WHITE**2 * sum(one.size for one in pictures) / wrong) if wrong else None


def ssim(picture: Picture, made: Picture) -> float:
    """Structural similarity of two pictures as Wang et al. 2004 define it (Gaussian window, 1.5 pixels), over RGB."""
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            picture,
            made,
            channel_axis=-1,
            data_range=WHITE,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def lpips_if_there() -> Lpips | str:
    """LPIPS (Zhang et al. 2018, AlexNet), or why it cannot be measured here. Nothing is fetched."""
    if not (find_spec("lpips") and find_spec("torch")):
        return "the package lpips is not installed (pip install lpips)"
    import torch

    if not (Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET).is_file():
        return f"torchvision's weights of AlexNet are not there ({ALEXNET} in `checkpoints` of torch's hub folder)"
    return _lpips()


def _lpips() -> Lpips:
    import lpips
    import torch

    with warnings.catch_warnings(action="ignore"):  # it calls torchvision as older versions were called
        net = lpips.LPIPS(net="alex", verbose=False).eval()

    def tensor(picture: Picture) -> torch.Tensor:
        return torch.from_numpy(picture.astype(np.float32) / (WHITE / 2) - 1).permute(2, 0, 1)[None]

    def distance(picture: Picture, made: Picture) -> float:
        with torch.inference_mode():
            return float(net(tensor(picture), tensor(made)))

    return distance
