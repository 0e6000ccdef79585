"""The bench as a whole: the dataset's frames, its image-text model, and a row for each tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
from pydantic import ValidationError

from pipeline.bench.tokenizers.alignment import Pairs
from pipeline.bench.tokenizers.frames import DocumentFrames, sampled
from pipeline.bench.tokenizers.measure import Material, jpeg_rows, sizes_of, sparse_rows, whole_row
from pipeline.bench.tokenizers.quality import lpips_if_there
from pipeline.bench.tokenizers.report import Measured, Report
from pipeline.bench.tokenizers.tokens import PATCHES, Coded, RawPatches, Tokenizer
from pipeline.extras import setup_problem
from stages.base import StageSetupError
from stages.models.device import Device, no_device, resolved_torch_device
from stages.score.stage import ScoreConfig, image_text_model
from stages.score.weights import HUB, LOCAL
from stages.timing import Timings
from stages.tokenize.fitted import FITTED
from stages.tokenize.tokenizer import ImageTokenizer, load_tokenizer
from storyloom.errors import UsageError
from storyloom.format.manifest import Published, finished_dataset


@dataclass(frozen=True)
class Options:
    """What is measured on, and which tokenizers beside those that always are.

    Attributes:
        further: Names or folders of further tokenizers, as `tokenize.model` takes them.
        frames: Most frames.
        side: Most pixels of a picture's longer side.
        model: Image-text model as in `score.model`, its weights' tag after a slash; empty: the dataset's.
        device: Of learned tokenizers and of the image-text model.
    """

    further: Sequence[str]
    frames: int
    side: int
    model: str
    device: Literal["auto", "cpu", "cuda"]


def bench_tokenizers(place: str, options: Options, say: Callable[[str], None]) -> Report:
    """Measure tokenizers on the frames of a dataset.

    Args:
        place: Folder of the dataset, or its URL.
        options: What is measured.
        say: Told what is being measured.

    Raises:
        UsageError: There is no such dataset, tokenizer or model.
        BadDataset: The dataset is damaged.
    """
    if problem := no_device("--device", options.device, torch=True):
        raise UsageError(problem[0])
    published = finished_dataset(place)
    device = resolved_torch_device(options.device) if options.further else "cpu"  # the others need no torch
    further = [_loaded(name, device, options.side) for name in dict.fromkeys(options.further) if name not in FITTED]
    fitted = [_loaded(name, device, options.side) for name in FITTED]
    raw = [RawPatches(patch) for patch in PATCHES]
    scoring = scoring_model(published, options)
    runs = sampled(place, published, options.frames, options.side)
    material, notes = _material(runs, scoring)
    whole: list[Measured] = []
    measured: list[Tokenizer] = [*raw, *fitted, *further]
    for tokenizer in measured:
        say(f"{tokenizer.name}: all tokens")
        whole.append(whole_row(material, tokenizer))
        if tokenizer is raw[-1]:
            say("JPEG")
            whole += jpeg_rows(material)
    sparse: list[Measured] = []
    notes += [f"Quality and alignment were not measured: {one.flaw}." for one in further if one.flaw]
    thinned: list[Tokenizer] = [raw[0], fitted[-1], *(one for one in further if one.decodes)]
    for tokenizer in thinned:
        say(f"{tokenizer.name}: some of its tokens")
        sparse += sparse_rows(material, tokenizer)
    pictures = material.pictures
    return Report(
        dataset=published.name,
        documents=len(runs),
        frames=len(pictures),
        with_sentence=sum(bool(frame.sentence) for frame in material.frames),
        sizes=sizes_of(pictures),
        model=scoring.model + (f"/{scoring.pretrained}" if scoring.pretrained else ""),
        device=device,
        originals=material.survival(pictures),
        whole=whole,
        sparse=sparse,
        notes=notes,
    )


def scoring_model(published: Published, options: Options) -> ScoreConfig:
    """The settings of the image-text model: that of `--model`, otherwise the one that scored the dataset.

    Raises:
        UsageError: Neither is known, or it is no model.
    """
    settings = dict(published.provenance.config.get("score") or {})
    if not options.model and not settings:
        raise UsageError(f"{published.name} does not say which model scored it: name an image-text model by --model")
    if options.model:
        whole = options.model.startswith((LOCAL, HUB))
        model, _, pretrained = (options.model, "", "") if whole else options.model.partition("/")
        settings |= {"model": model, "pretrained": pretrained}
    try:
        named = ScoreConfig.model_validate(settings)
        return named if not named.uses_gpu else named.model_copy(update={"device": options.device})
    except ValidationError as error:
        raise UsageError(f"--model: {error.errors()[0]['msg']}") from None


def _material(runs: Sequence[DocumentFrames], scoring: ScoreConfig) -> tuple[Material, list[str]]:
    """What is measured with, and what cannot be."""
    notes = []
    lpips = lpips_if_there()
    if isinstance(lpips, str):
        notes.append(f"LPIPS was not measured: {lpips}.")
    with_sentence = [frame for frame in chain.from_iterable(runs) if frame.sentence]
    pairs = None
    if len({frame.sentence for frame in with_sentence}) > 1:
        try:
            model, _ = image_text_model(scoring, Timings())
        except StageSetupError as reason:
            raise UsageError(setup_problem(reason)) from reason
        pairs = Pairs(with_sentence, model)
    else:
        notes.append("Alignment was not measured: it takes two frames with different sentences.")
    return Material(runs, pairs, None if isinstance(lpips, str) else lpips), notes


def _loaded(name: str, device: Device, side: int) -> Coded:
    try:
        tokenizer = load_tokenizer(name, device, max_side=side)
    except StageSetupError as reason:
        there = f"; there is {', '.join(FITTED)}, or a folder of a VQ model of transformers"
        problem = setup_problem(reason).rstrip(".")
        raise UsageError(f"--with {name}: {problem}{there}") from reason
    return Coded(tokenizer, _flaw(tokenizer))


def _flaw(tokenizer: ImageTokenizer) -> str:
    """Why a tokenizer makes no pictures of codes: some were published without that half."""
    try:
        tokenizer.decode([np.zeros((2, 2), np.uint16)])
    except UsageError as reason:
        return str(reason)
    return ""
