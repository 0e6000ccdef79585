"""Fits the small codebooks of `tokenize` and measures them on photos that the fit never saw.

The directions are the principal ones of the patches' colours. The sub-codebooks are means of Lloyd's algorithm, from
seeded beginnings. How many features the first one compares is chosen by the error on the patches of the fit.

    nice python -m demo.fit_codebook [--photos FOLDER] [--out FOLDER]

The folder is laid out as for `demo.fit_model`; the same photos are left out and held out.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.fit_model import REPOSITORY, split_photos
from stages.tokenize.fitted import (
    CODEBOOKS,
    DIRECTION_BITS,
    FITTED,
    GREY,
    Codebook,
    FittedTokenizer,
    features_of,
    nearest_entries,
    patches_of,
)
from stages.tokenize.sizes import encoded_size, resized

SEED = 0
FEATURES = 32
SPLITS = (1, 3, 4, 6)
ROUNDS = 20
PATCHES = 50_000  # of those of all photos, drawn with the seed
MAX_SIDE = 256

ENTRIES = {16: 64, 8: 256, 4: 256}
"""Entries of either sub-codebook by a patch's side: 4,096 codes that a small model can learn, and 65,536."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Measured:
    """What a codebook reaches on some photos.

    Attributes:
        psnr: Mean over the photos, in dB, against the photo in the size in which it was encoded.
        codes: Mean number of codes of a photo.
        used: How many different codes occur.
        encoded: Photos a second.
        decoded: Photos a second.
    """

    psnr: float
    codes: float
    used: int
    encoded: float
    decoded: float


def photos(folder: Path, names: list[str]) -> list[Picture]:
    """Photos as RGB."""
    return [np.asarray(Image.open(folder / "images" / name).convert("RGB")) for name in names]


def fit(pictures: list[Picture], patch: int) -> Codebook:
    """Fits a codebook of one patch size."""
    sizes = [encoded_size(picture.shape[1], picture.shape[0], patch, MAX_SIDE) for picture in pictures]
    patches = np.concatenate([patches_of(resized(*one), patch) for one in zip(pictures, sizes, strict=True)])
    chosen = np.random.default_rng(SEED).choice(len(patches), min(PATCHES, len(patches)), replace=False)
    patches = patches[np.sort(chosen)]
    directions = principal_directions(patches)
    features = features_of(patches, directions)
    candidates = [sub_codebooks(features, split, ENTRIES[patch]) for split in SPLITS]
    errors = [error(features, entries) for entries in candidates]
    return Codebook(directions, candidates[int(np.argmin(errors))])


def principal_directions(patches: NDArray[np.uint8]) -> NDArray[np.int16]:
    """The directions of most variance about grey, each with its largest number positive."""
    colours = patches.astype(np.float64) - GREY
    _, found = np.linalg.eigh(colours.T @ colours / len(colours))
    directions = found.T[::-1][: min(FEATURES, len(found))]
    largest = np.abs(directions).argmax(1)[:, None]
    signs = np.sign(np.take_along_axis(directions, largest, 1))
    whole: NDArray[np.int16] = np.rint(directions * signs * 2**DIRECTION_BITS).astype(np.int16)
    return whole


def sub_codebooks(features: NDArray[np.float64], split: int, size: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Means of the features before and behind the split."""
    return means(features[:, :split], size), means(features[:, split:], size)


def means(features: NDArray[np.float64], size: int) -> NDArray[np.int16]:
    """Lloyd's algorithm from rows drawn with the seed, rounded in each round; in the order of the strongest feature."""
    begun = np.random.default_rng(SEED).choice(len(features), size, replace=False)
    found = features[begun].astype(np.int16)
    for _ in range(ROUNDS):
        nearest = nearest_entries(features, found)
        number = np.bincount(nearest, minlength=size)
        sums = np.stack([np.bincount(nearest, column, size) for column in features.T], 1)
        found = np.where(number[:, None], np.rint(sums / np.maximum(number, 1)[:, None]), found).astype(np.int16)
    return found[np.lexsort(found.T[::-1])]


def error(features: NDArray[np.float64], entries: tuple[NDArray[np.int16], NDArray[np.int16]]) -> float:
    """Mean squared error of features."""
    split = entries[0].shape[1]
    parts = zip((features[:, :split], features[:, split:]), entries, strict=True)
    return float(sum(((part - book[nearest_entries(part, book)]) ** 2).sum() for part, book in parts) / len(features))


def measure(pictures: list[Picture], tokenizer: FittedTokenizer) -> Measured:
    """Measures a codebook on photos."""
    begun = time.perf_counter()
    codes = tokenizer.encode(pictures)
    encoded = time.perf_counter()
    decoded = tokenizer.decode(codes)
    ended = time.perf_counter()
    wanted = [resized(picture, tokenizer.size(picture.shape[1], picture.shape[0])) for picture in pictures]
    count = len(pictures)
    return Measured(
        psnr=float(np.mean([psnr(one, other) for one, other in zip(wanted, decoded, strict=True)])),
        codes=float(np.mean([one.size for one in codes])),
        used=len(np.unique(np.concatenate([one.ravel() for one in codes]))),
        encoded=count / (encoded - begun),
        decoded=count / (ended - encoded),
    )


def psnr(wanted: Picture, found: Picture) -> float:
    """Peak signal-to-noise ratio over all colours, in dB."""
    squared = (wanted.astype(np.float64) - found) ** 2
    return float(10 * np.log10(255**2 / squared.mean()))


def main() -> None:
    """Fits, writes the codebooks, and prints what they reach on the photos held out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=REPOSITORY.parent / "shared" / "data" / "flickr8k")
    parser.add_argument("--out", type=Path, default=CODEBOOKS)
    arguments = parser.parse_args()
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # sums depend on the number of threads, and so would the files
        _, to_fit, held_out = split_photos(arguments.photos)
        seen, unseen = photos(arguments.photos, to_fit), photos(arguments.photos, held_out)
        for name, patch in FITTED.items():
            codebook = fit(seen, patch)
            file = arguments.out / f"{name}.npz"
            codebook.write(file)
            tokenizer = FittedTokenizer(name, patch, codebook, MAX_SIDE)
            split = codebook.entries[0].shape[1]
            print(f"{file}: {file.stat().st_size} bytes, first {split} of {len(codebook.directions)} features")
            print(f"  {len(seen)} photos of the fit: {measure(seen, tokenizer)}")
            print(f"  {len(unseen)} held out: {measure(unseen, tokenizer)}")


if __name__ == "__main__":
    main()
