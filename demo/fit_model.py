"""Fits the projection of the demo's photo-sentence model and measures it on photos that the fit never saw.

Both towers stay as they are. A linear map for each is found in closed form, without random numbers.

    python -m demo.fit_model [--photos FOLDER] [--out FILE] [--cross-validate]

The folder holds `images/`, `captions.csv` (columns image and caption, five captions a photo) and `not_for_fitting.txt`
(photos to leave out), as Flickr8k is laid out in ../shared/data/flickr8k.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.models.demo.assemble import PROJECTION, write_model_folder

Array = NDArray[np.float64]

REPOSITORY = Path(__file__).resolve().parents[1]
HELD_OUT_PHOTOS = 200
CAPTIONS_PER_PHOTO = 5
FOLDS = 4
THREADS = 2
BATCH = 4  # photos; larger ones leave the cache of a CPU


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters chosen by cross-validation on the fitting photos (`--cross-validate` prints the table).

    Attributes:
        ridge: Ridge penalty, on features of unit variance.
        prior: Size of the map from class names, as a share of the targets' standard deviation.
        whitening: 0 leaves the sentence space as it is, 1 makes its directions equally wide.
        floor: Share of the widest direction's variance that is added before whitening.
    """

    ridge: float = 4000.0
    prior: float = 0.3
    whitening: float = 0.75
    floor: float = 0.1


GRID = {"ridge": (2000.0, 4000.0, 8000.0), "prior": (0.0, 0.3, 0.6), "whitening": (0.0, 0.75)}


@dataclass(frozen=True)
class Projection:
    """The fitted maps.

    Attributes:
        image: (1280, 384), from pooled features to the common space.
        image_bias: (384,).
        text: (384, 384), from mean-pooled sentence vectors to the common space.
    """

    image: Array
    image_bias: Array
    text: Array

    def tensors(self) -> dict[str, Any]:
        """As float16 tensors under the names that open_clip gives them."""
        import torch

        named = {"visual.head.proj.weight": self.image.T, "visual.head.proj.bias": self.image_bias}
        named["text.proj.weight"] = self.text.T
        return {name: torch.from_numpy(array.astype(np.float16)).contiguous() for name, array in named.items()}


class Towers:
    """The assembled open_clip folder with a given projection; encodes photos and sentences on the CPU."""

    def __init__(self, projection: Projection) -> None:
        import open_clip
        import torch
        from safetensors.torch import save

        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch, "model")
            folder.mkdir()
            Path(scratch, "projection.safetensors").write_bytes(save(projection.tensors()))
            write_model_folder(folder, folder, Path(scratch, "projection.safetensors"))
            model, _, self.preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
            self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.padding: int = self.tokenizer.tokenizer.pad_token_id
        self.model = model.eval().to(memory_format=torch.channels_last)

    def photos(self, paths: list[Path], layer: Any) -> Array:
        """Runs `layer` (the image tower or its trunk) over photos; (photos, width)."""
        import torch
        from PIL import Image

        rows = []
        with torch.inference_mode():
            for first in range(0, len(paths), BATCH):
                pixels = torch.stack([self.preprocess(Image.open(path)) for path in paths[first : first + BATCH]])
                rows.append(layer(pixels.to(memory_format=torch.channels_last)).numpy())
        return np.concatenate(rows).astype(np.float64)

    def sentences(self, texts: list[str]) -> Array:
        """Text tower's output, not normalised; (sentences, 384)."""
        import torch

        rows = []
        with torch.inference_mode():
            for first in range(0, len(texts), 32):
                tokens = self.tokenizer(texts[first : first + 32])
                longest = int((tokens != self.padding).sum(1).max())  # masked columns of padding change nothing
                rows.append(self.model.encode_text(tokens[:, :longest]).numpy())
        return np.concatenate(rows).astype(np.float64)


def split_photos(folder: Path) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """Captions by photo, the names of the photos to fit on, and of those held out.

    The first 200 by the SHA-256 of their file name are held out, after those named in `not_for_fitting.txt` are gone.
    """
    captions: dict[str, list[str]] = defaultdict(list)
    with (folder / "captions.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            captions[row["image"]].append(row["caption"])
    wrong = sorted(name for name, texts in captions.items() if len(texts) != CAPTIONS_PER_PHOTO)
    if wrong:
        raise SystemExit(f"{folder / 'captions.csv'}: {len(wrong)} photos do not have five captions, first {wrong[0]}")
    excluded = set((folder / "not_for_fitting.txt").read_text(encoding="utf-8").split())
    names = sorted(captions.keys() - excluded, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return captions, names[HELD_OUT_PHOTOS:], names[:HELD_OUT_PHOTOS]


def unit(rows: Array) -> Array:
    """Rows of length 1."""
    normalised: Array = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return normalised


def fit_text(sentences: Array, tuned: Hyperparameters) -> Array:
    """Map that takes the sentences' common direction out and widens the narrow directions; (384, 384)."""
    mean = unit(sentences.mean(0))
    without_mean = np.eye(len(mean)) - np.outer(mean, mean)
    centred = unit(sentences @ without_mean)
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    widths = (variances + tuned.floor * variances.max()) ** (-tuned.whitening / 2)
    text: Array = without_mean @ (directions * widths) @ directions.T
    return text


def fit(features: Array, sentences: Array, classifier: Array, class_names: Array, tuned: Hyperparameters) -> Projection:
    """Fits the maps of both towers.

    The image map is a prior plus a ridge regression of what the prior leaves. The prior sends a feature vector to the
    names of the ImageNet classes that the tower's own classifier sees in it (each class's logit times its name's
    vector), so it covers objects that are in none of the photos; the idea of a classifier's output as a sum of word
    vectors is ConSE's (Norouzi et al. 2014, section 3), its linear form is our choice.

    Args:
        features: (photos, 1280), pooled.
        sentences: (photos, 5, 384), text tower without a projection.
        classifier: (1000, 1280), the image tower's own.
        class_names: (1000, 384), text tower without a projection.
        tuned: Penalties and sizes.
    """
    text = fit_text(sentences.reshape(-1, sentences.shape[-1]), tuned)
    targets = unit(sentences @ text).mean(1)
    mean, scale = features.mean(0), features.std(0) + 1e-6
    centred = features - mean
    names = unit(class_names @ text)
    prior = classifier.T @ (names - names.mean(0))
    prior *= tuned.prior * np.std(targets - targets.mean(0)) / np.std(centred @ prior)
    left_over = targets - targets.mean(0) - centred @ prior
    standard = centred / scale
    gram = standard @ standard.T + tuned.ridge * np.eye(len(standard))
    image = prior + (standard.T @ np.linalg.solve(gram, left_over)) / scale[:, None]
    bias = targets.mean(0) - mean @ image
    size = np.linalg.norm(features @ image + bias, axis=1).mean()  # cosine ignores it; float16 wants numbers near 1
    return Projection(image / size, bias / size, text / np.linalg.norm(text, 2))


def measure(images: Array, sentences: Array) -> dict[str, float]:
    """Retrieval in both directions in percent, and the AUC of matched against mismatched pairs.

    Args:
        images: (photos, 384).
        sentences: (photos, 5, 384).
    """
    count = len(images)
    own = np.repeat(np.arange(count), CAPTIONS_PER_PHOTO)
    similarity = unit(sentences.reshape(-1, sentences.shape[-1])) @ unit(images).T
    matched = similarity[np.arange(len(own)), own]
    mismatched = np.sort(similarity[own[:, None] != np.arange(count)])
    text_rank = (similarity > matched[:, None]).sum(1)
    best = matched.reshape(count, CAPTIONS_PER_PHOTO).max(1)
    image_rank = (similarity > best).sum(0)
    result = {f"text-to-image R@{k}": 100 * float((text_rank < k).mean()) for k in (1, 5, 10)}
    result |= {f"image-to-text R@{k}": 100 * float((image_rank < k).mean()) for k in (1, 5, 10)}
    result["AUC"] = float((np.searchsorted(mismatched, matched) / len(mismatched)).mean())
    result |= {"matched mean": float(matched.mean()), "mismatched mean": float(mismatched.mean())}
    return result | {"mismatched 95th percentile": float(np.quantile(mismatched, 0.95))}


def cross_validate(features: Array, sentences: Array, classifier: Array, class_names: Array) -> None:
    """Prints the mean measures over folds of the fitting photos for every combination of GRID."""
    folds = np.arange(len(features)) % FOLDS
    for values in itertools.product(*GRID.values()):
        tuned = Hyperparameters(**dict(zip(GRID, values, strict=True)))
        results = []
        for fold in range(FOLDS):
            seen, unseen = folds != fold, folds == fold
            maps = fit(features[seen], sentences[seen], classifier, class_names, tuned)
            results.append(measure(features[unseen] @ maps.image + maps.image_bias, sentences[unseen] @ maps.text))
        means = {name: float(np.mean([result[name] for result in results])) for name in results[0]}
        shown = " ".join(f"{means[name]:6.3f}" for name in ("text-to-image R@1", "image-to-text R@1", "AUC"))
        print(f"{tuned}  R@1 text-to-image, image-to-text, AUC: {shown}")


def main() -> None:
    """Fits, writes the projection, and prints what the assembled model reaches on the photos held out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=REPOSITORY.parent / "shared" / "data" / "flickr8k")
    parser.add_argument("--out", type=Path, default=PROJECTION)
    parser.add_argument("--cross-validate", action="store_true", help="print the table that chose the hyperparameters")
    arguments = parser.parse_args()
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(THREADS)
    with threadpool_limits(1, user_api="blas"):  # sums depend on the number of threads, and so would the file
        fit_and_measure(arguments.photos, arguments.out, cross_validated=arguments.cross_validate)


def fit_and_measure(folder: Path, out: Path, *, cross_validated: bool) -> None:
    """Fits on a folder of photos, writes the projection to `out`, and prints what it reaches."""
    from safetensors.torch import save
    from timm.data.imagenet_info import ImageNetInfo

    from stages.models.demo.assemble import classifier_weight

    captions, to_fit, held_out = split_photos(folder)
    paths = {name: folder / "images" / name for name in captions}
    bare = Towers(Projection(np.zeros((1280, 384)), np.zeros(384), np.eye(384)))
    features = bare.photos([paths[name] for name in to_fit], bare.model.visual.trunk)
    sentences = bare.sentences([text for name in to_fit for text in captions[name]])
    sentences = sentences.reshape(len(to_fit), CAPTIONS_PER_PHOTO, -1)
    info = ImageNetInfo("imagenet-1k")
    lemmas = [info.index_to_description(index, detailed=False).split(",")[0] for index in range(1000)]
    class_names = bare.sentences([f"a photo of a {lemma}" for lemma in lemmas])
    classifier = classifier_weight().astype(np.float64)
    if cross_validated:
        cross_validate(features, sentences, classifier, class_names)
    projection = fit(features, sentences, classifier, class_names, Hyperparameters())
    out.write_bytes(save(projection.tensors()))

    shipped = Towers(projection)
    images = shipped.photos([paths[name] for name in held_out], shipped.model.encode_image)
    texts = shipped.sentences([text for name in held_out for text in captions[name]])
    print(f"fitted on {len(to_fit)} photos, measured on {len(held_out)} others: {out}")
    for name, value in measure(images, texts.reshape(len(held_out), CAPTIONS_PER_PHOTO, -1)).items():
        print(f"{name:28s} {value:.3f}")


if __name__ == "__main__":
    main()
