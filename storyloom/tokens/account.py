"""The tokens of a dataset's splits for each model: images from their sizes, texts counted or estimated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

from storyloom.errors import UsageError
from storyloom.format.counts import Counts, size_of
from storyloom.format.image_tokens import UnfitImage
from storyloom.format.manifest import Published
from storyloom.format.model import Model
from storyloom.format.shard import Split

COMMONEST = 3
"""Sizes of images of which it is said what one costs (our choice)."""

How = Literal["counted", "measured", "estimated"]


class ImageCost(Protocol):
    """What is asked of a model, of the table or of a processor."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def around(self) -> int:
        """Special tokens around an image, beside `tokens`."""

    @property
    def convention(self) -> str:
        """What is counted, in words."""

    @property
    def source(self) -> str:
        """Where the rule comes from."""

    def tokens(self, width: int, height: int) -> int:
        """Tokens of an image of so many pixels."""


class TextTokens(Model):
    """The tokens of texts, without special ones.

    Attributes:
        how: ``counted`` of every text as the dataset was written; ``measured`` with a tokenizer on `documents`;
            ``estimated`` by the splitting rule that byte-level BPE tokenizers share.
        said: The same in a sentence.
        documents: Documents whose texts were looked at.
        characters_per_token: Over them; 0.0 where there is no text.
        by_split: Tokens of all texts of each split.
    """

    how: How
    said: str
    documents: int
    characters_per_token: float
    by_split: dict[Split, int]


class ModelTokens(Model):
    """The tokens of a split for a model.

    Attributes:
        image: Of all images, without those of `around`.
        around: Special tokens around the images, such as those that begin and end one.
        text: Of all texts.
        epoch: All of them: what is read in an epoch.
        refused: Images that the model's processor refuses for their shape; they are not counted.
    """

    image: int
    around: int
    text: int
    epoch: int
    refused: int = 0


class SplitTokens(Model):
    """A split.

    Attributes:
        documents: How many it has.
        images: How many they have.
        characters: Of their texts.
        models: By the model's name.
    """

    documents: int
    images: int
    characters: int
    models: dict[str, ModelTokens]


class ModelRule(Model):
    """A model's rule.

    Attributes:
        convention: What is counted, in words.
        source: Where the rule comes from.
        per_image: Tokens of one image of the commonest sizes, ``640x360``; None for a size that is refused.
    """

    convention: str
    source: str
    per_image: dict[str, int | None]


class Account(Model):
    """The tokens of a dataset.

    Attributes:
        name: The dataset's.
        sha256: The dataset's.
        sizes: Images by size, the commonest first, at most `COMMONEST`.
        other_sizes: Images of all other sizes.
        text: How the texts were counted.
        models: By name.
        splits: By name.
    """

    name: str
    sha256: str
    sizes: dict[str, int]
    other_sizes: int
    text: TextTokens
    models: dict[str, ModelRule]
    splits: dict[Split, SplitTokens]


def has_sizes(published: Published) -> bool:
    """Whether a manifest says how large the images are."""
    return all(sum(totals.image_sizes.values()) == totals.nimages for totals in published.splits.values())


def check_sizes(published: Published, address: str) -> None:
    """Refuse a dataset whose manifest does not say how large its images are.

    Raises:
        UsageError: It does not.
    """
    if not has_sizes(published):
        raise UsageError(
            f"{address} was written by an older version of storyloom, whose manifest says neither the sizes of images"
            " nor the characters of texts: write it again with `storyloom run CONFIG`"
        )


def check_names(models: Iterable[ImageCost]) -> None:
    """Refuse different models of one name, such as folders in two places: an account has one line a name.

    Raises:
        UsageError: There are some.
    """
    named: dict[str, ImageCost] = {}
    for model in models:
        if named.setdefault(model.name, model) != model:
            raise UsageError(f"two of --for are called {model.name!r}: ask for them one after the other")


def told_texts(published: Published) -> TextTokens:
    """The tokens of a dataset's texts as its manifest has them: counted, or else estimated."""
    splits = published.splits
    total = Counts.total(splits.values())
    if total.ntokens:
        tokens: dict[Split, int] = {split: one.ntokens for split, one in splits.items()}
        said = "texts: counted by the tokenizer of write.tokenizer"
    else:
        tokens = {split: one.npieces for split, one in splits.items()}
        said = (
            "texts: an estimate, the pieces into which byte-level BPE tokenizers split them; a tokenizer counts some in"
            " several tokens (--tokenizer PATH measures it)"
        )
    return TextTokens(
        how="counted" if total.ntokens else "estimated",
        said=said,
        documents=total.nsamples,
        characters_per_token=per_token(total.nchars, sum(tokens.values())),
        by_split=tokens,
    )


def per_token(characters: int, tokens: int) -> float:
    """Characters per token, to three decimals; 0.0 without tokens."""
    return round(characters / tokens, 3) if tokens else 0.0


def account(published: Published, models: Sequence[ImageCost], text: TextTokens) -> Account:
    """The tokens of a dataset for each of these models; nothing is read."""
    sizes = Counter[str]()
    for totals in published.splits.values():
        sizes.update(totals.image_sizes)
    common = dict(sorted(sizes.items(), key=lambda one: (-one[1], size_of(one[0])))[:COMMONEST])
    costs = {model.name: _costs(model, sizes) for model in models}
    rules = {
        model.name: ModelRule(
            convention=model.convention,
            source=model.source,
            per_image={size: costs[model.name][size] for size in common},
        )
        for model in models
    }
    splits: dict[Split, SplitTokens] = {
        split: SplitTokens(
            documents=totals.nsamples,
            images=totals.nimages,
            characters=totals.nchars,
            models={
                model.name: _of_split(totals, costs[model.name], model.around, text.by_split[split]) for model in models
            },
        )
        for split, totals in published.splits.items()
    }
    return Account(
        name=published.name,
        sha256=published.sha256,
        sizes=common,
        other_sizes=sizes.total() - sum(common.values()),
        text=text,
        models=rules,
        splits=splits,
    )


def _costs(model: ImageCost, sizes: Iterable[str]) -> dict[str, int | None]:
    """Tokens of an image of each size; None for one that is refused."""
    found: dict[str, int | None] = {}
    for size in sizes:
        try:
            found[size] = model.tokens(*size_of(size))
        except UnfitImage:
            found[size] = None
    return found


def _of_split(totals: Counts, costs: Mapping[str, int | None], around: int, text: int) -> ModelTokens:
    image = images = refused = 0
    for size, count in totals.image_sizes.items():
        cost = costs[size]
        if cost is None:
            refused += count
        else:
            image += cost * count
            images += count
    markers = around * images
    return ModelTokens(image=image, around=markers, text=text, epoch=image + markers + text, refused=refused)
