"""Documents as rows that are no longer than the sequences a trainer takes.

torchtitan leaves out rows that are longer than `seq_len`, with a line in its log (`HuggingFaceMultiModalDataset` in
torchtitan/hf_datasets/multimodal/mm_datasets.py of github.com/pytorch/torchtitan). It makes one text of a row, with
nothing between its texts, with a marker before and after the tokens of each image, and with one token at its end
(`process_text_with_images` in utils/text.py there), and tokenizes that, with a token at either end if so configured.
Its markers are special tokens, so that texts between two images are tokenized by themselves.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from storyloom.errors import UsageError
from storyloom.export.read import SourceDocument
from storyloom.format.image_tokens import UnfitImage, image_model
from storyloom.format.sample import Sample
from storyloom.format.tokenizer import TextTokenizer
from storyloom.format.words import WORD

MARKERS = 2
"""Tokens around an image in torchtitan: its start and its end."""

ENDS = 3
"""Tokens of a row beside its images and texts: the one that it ends with, and one at either end where the tokenizer's
`tokenizer_config.json` asks for them (`HuggingFaceTokenizer.encode` in torchtitan/components/tokenizer.py)."""


@dataclass(frozen=True)
class SequenceRule:
    """How long rows may be, and how tokens are counted.

    Attributes:
        length: Most tokens of a row.
        image_tokens: Tokens of an image by its width and height in pixels, with its markers.
        text_tokens: Tokens of a text, without special ones, whether an image stands before it or not.
        counted_by: What counts them, as `export.json` has it.
    """

    length: int
    image_tokens: Callable[[int, int], int]
    text_tokens: Callable[[str], int]
    counted_by: dict[str, Any]


def sequence_rule(
    length: int | None, image_tokens: int | None, model: str | None, tokenizer: str | os.PathLike[str] | None
) -> SequenceRule | None:
    """The rule of these options of `storyloom export`; None without a length.

    Args:
        length: Most tokens of a row.
        image_tokens: Tokens of every image, without its markers; or
        model: name of the model whose images they are: see `storyloom.format.image_tokens`.
        tokenizer: Path of its `tokenizer.json`; without one each byte of a text counts as a token, and a space
            before it.

    Raises:
        UsageError: They make no rule.
    """
    if length is None:
        if (image_tokens, model, tokenizer) != (None, None, None):
            raise UsageError("--image-tokens, --for and --tokenizer count tokens of --sequence-length: give that, too")
        return None
    if (image_tokens is None) == (model is None):
        raise UsageError("--sequence-length needs the tokens of an image: give --for MODEL or --image-tokens N")
    images: dict[str, Any] = {"image_tokens": image_tokens} if model is None else {"for": model}
    of_image = _of_model(model) if model is not None else partial(_fixed, (image_tokens or 0) + MARKERS)
    if tokenizer is None:
        return SequenceRule(length, of_image, most_tokens, images)
    counter = TextTokenizer(tokenizer)
    return SequenceRule(length, of_image, counter.most, images | {"tokenizer_sha256": counter.sha256})


def _fixed(tokens: int, width: int, height: int) -> int:
    del width, height
    return tokens


def _of_model(name: str) -> Callable[[int, int], int]:
    model = image_model(name)

    def tokens(width: int, height: int) -> int:
        try:
            return model.tokens(width, height) + max(MARKERS, model.around)
        except UnfitImage as reason:
            raise UsageError(f"{model.name} takes no image of {width}x{height} pixels: {reason}") from None

    return tokens


def most_tokens(text: str) -> int:
    """The most tokens that a tokenizer which falls back to bytes makes of a text: its bytes in UTF-8, and one more.

    SentencePiece's tokenizers put a space before it (`add_dummy_prefix`).
    """
    return len(text.encode()) + 1 if text else 0


class Item(NamedTuple):
    """An image by its number, or a text with its number and whether it is the text's first part."""

    number: int
    text: str = ""
    first: bool = True


@dataclass
class Rows:
    """Cuts documents into rows, and counts what it does.

    A cut comes before a frame rather than between a frame and the text behind it, unless these alone are too long. Only
    a text that is longer than a row is cut itself, at a word; its parts keep its times. A text that stands right behind
    another one gets a space before it.

    Attributes:
        rule: How long they may be.
        documents: How many documents were cut.
        rows: How many rows these became.
        texts: How many texts were cut.
    """

    rule: SequenceRule
    documents: int = field(default=0, init=False)
    rows: int = field(default=0, init=False)
    texts: int = field(default=0, init=False)

    def of(self, documents: Iterable[SourceDocument]) -> Iterator[SourceDocument]:
        """The rows of documents, in order.

        Raises:
            UsageError: An image alone is too long for a row.
        """
        for document in documents:
            rows = list(self._rows(document))
            if len(rows) > 1:
                self.documents += 1
                self.rows += len(rows)
            for number, items in enumerate(rows):
                yield _row(document, items, number, len(rows)) if len(rows) > 1 else _spaced(document)

    @property
    def room(self) -> int:
        """Tokens of a row for its images and texts."""
        return self.rule.length - ENDS

    def _rows(self, document: SourceDocument) -> Iterator[list[Item]]:
        sample = document.sample
        row: list[Item] = []
        closed, tail = 0, ""
        for run in self._runs(sample):
            grown = self._grown(sample, closed, tail, run)
            if row and grown[0] + self.rule.text_tokens(grown[1]) > self.room:
                yield row
                row, grown = [], self._grown(sample, 0, "", run)
            row += run
            closed, tail = grown
        yield row

    def _grown(self, sample: Sample, closed: int, tail: str, run: Sequence[Item]) -> tuple[int, str]:
        """The tokens of a row up to its last text, and that text, which may go on, after more items."""
        for item in run:
            if item.text:
                tail = f"{tail} {item.text}" if tail else item.text
            else:
                closed += (self.rule.text_tokens(tail) if tail else 0) + self._image(sample, item.number)
                tail = ""
        return closed, tail

    def _image(self, sample: Sample, number: int) -> int:
        width, height = sample.image_width[number], sample.image_height[number]
        tokens = self.rule.image_tokens(width, height)
        if tokens > self.room:
            message = f"{sample.sample_id}: an image of {width}x{height} pixels takes {tokens} tokens with its markers"
            raise UsageError(f"{message}, but --sequence-length {self.rule.length} leaves {self.room}: raise it")
        return tokens

    def _runs(self, sample: Sample) -> Iterator[list[Item]]:
        """Items that stay together: images with the text behind them; single ones where that is too long for a row."""
        run: list[Item] = []
        images = texts = 0
        for text in sample.texts:
            run.append(Item(images) if text is None else Item(texts, text))
            images, texts = images + (text is None), texts + (text is not None)
            if text is not None:
                yield from self._fitting(sample, run)
                run = []
        yield from self._fitting(sample, run) if run else ()

    def _fitting(self, sample: Sample, run: list[Item]) -> Iterator[list[Item]]:
        closed, tail = self._grown(sample, 0, "", run)
        if closed + self.rule.text_tokens(tail) <= self.room:
            yield run
            return
        for item in run:
            parts = self._parts(item.text) if item.text else [""]
            self.texts += len(parts) > 1
            yield from ([item._replace(text=part, first=number == 0)] for number, part in enumerate(parts))

    def _parts(self, text: str) -> list[str]:
        """A text cut at words, or within one that alone is too long, so that each part fits a row."""
        ends = [match.end() for match in WORD.finditer(text)]
        parts: list[str] = []
        begin = 0
        while text[begin:].strip():
            end = self._most(text, begin, [end for end in ends if end > begin])
            end = end or self._most(text, begin, range(begin + 1, len(text) + 1))
            if not end:
                raise UsageError(f"--sequence-length {self.rule.length} has no room for a text: raise it")
            parts.append(text[begin:end].strip())
            begin = end
        return parts

    def _most(self, text: str, begin: int, ends: Sequence[int]) -> int:
        """The last of these ends up to which the text fits a row; 0 if it does not up to any."""

        def tokens(end: int) -> int:
            return self.rule.text_tokens(text[begin:end].strip())

        fitting = bisect_right(ends, self.room, key=tokens)  # tokens need not grow with every word, so look again
        return next((end for end in reversed(ends[:fitting]) if tokens(end) <= self.room), 0)


def _spaced(document: SourceDocument) -> SourceDocument:
    """A document that fits a row, with a space before each text that stands right behind another one."""
    texts = document.sample.texts
    behind = [n > 0 and text is not None and texts[n - 1] is not None for n, text in enumerate(texts)]
    spaced = [f" {text}" if after else text for text, after in zip(texts, behind, strict=True)]
    return replace(document, sample=document.sample.model_copy(update={"texts": spaced}))


def _row(document: SourceDocument, items: Sequence[Item], number: int, rows: int) -> SourceDocument:
    """One of a document's rows. An image whose text is in another row has none here."""
    sample = document.sample
    images = [item.number for item in items if not item.text]
    texts = [item for item in items if item.text]
    place = {item.number: n for n, item in reversed(list(enumerate(texts)))}
    spoken = sample.words_of_texts()
    words = [word for item in texts if item.first for word in spoken[item.number]]
    pictures = sample.pictures
    of_images = [name for name in type(sample).model_fields if name.startswith("image_")]
    of_texts = ("text_start", "text_end", "text_source")
    cut = sample.model_copy(
        update={
            **{name: [getattr(sample, name)[image] for image in images] for name in of_images},
            **{name: [getattr(sample, name)[item.number] for item in texts] for name in of_texts},
            "texts": [item.text or None for item in items],
            "images": [None if item.text else pictures[item.number] for item in items],
            "image_text_index": [place.get(sample.image_text_index[image], -1) for image in images],
            "text_words": [len(spoken[item.number]) if item.first else 0 for item in texts],
            "words": [word.text for word in words],
            "word_start": [word.start for word in words],
            "word_end": [word.end for word in words],
        }
    )
    jpegs = [document.jpegs[image] for image in images]
    return _spaced(replace(document, sample=cut, jpegs=jpegs, row=number, rows=rows))
