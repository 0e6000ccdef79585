"""Measures the thresholds that the demo's photo-sentence model has where a run has too few unrelated pairs of its own.

    python -m demo.measure_threshold [--photos FOLDER]

For each false-accept rate: the similarity that this share of unrelated photos and captions reaches, and the share of
photos with their own captions that reach it too. The photos are those that `demo/fit_model.py` holds out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from demo.fit_model import CAPTIONS_PER_PHOTO, REPOSITORY, Projection, Towers, split_photos, unit
from stages.models.demo.assemble import PROJECTION

RATES = (0.01, 0.05, 0.1, 0.25, 0.5)


def main() -> None:
    """Prints a line for each rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=REPOSITORY.parent / "shared" / "data" / "flickr8k")
    folder = parser.parse_args().photos
    captions, _, held_out = split_photos(folder)
    towers = Towers(committed())
    images = towers.photos([folder / "images" / name for name in held_out], towers.model.encode_image)
    texts = towers.sentences([text for name in held_out for text in captions[name]])
    similarity = unit(texts) @ unit(images).T
    own = np.repeat(np.arange(len(held_out)), CAPTIONS_PER_PHOTO)
    matched = similarity[np.arange(len(own)), own]
    unrelated = similarity[own[:, None] != np.arange(len(held_out))]
    print(f"{len(held_out)} photos, {len(matched)} pairs that belong together, {len(unrelated)} that do not")
    for rate in RATES:
        threshold = float(np.quantile(unrelated, 1.0 - rate))
        print(f"false-accept rate {rate:.2f}: threshold {threshold:.3f}, kept {(matched >= threshold).mean():.3f}")


def committed() -> Projection:
    """The projection in this repository."""
    from safetensors.numpy import load_file

    found = {name: array.astype(np.float64) for name, array in load_file(PROJECTION).items()}
    image, bias, text = (
        found[f"{name}"] for name in ("visual.head.proj.weight", "visual.head.proj.bias", "text.proj.weight")
    )
    return Projection(image.T, bias, text.T)


if __name__ == "__main__":
    main()
