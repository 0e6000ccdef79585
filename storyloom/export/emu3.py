"""Emu3's and Emu3.5's sequences: text with each image as a size, rows of visual tokens, and the ends of rows.

Emu3 ends each row, and the image by one more token (`format_image_prompt` in emu3/train/datasets.py of
github.com/baaivision/Emu3; transformers' `Emu3Processor.replace_image_token` reserves as many). Emu3.5 puts the end of
a row between rows alone (`format_image_string` in src/utils/input_utils.py of github.com/baaivision/Emu3.5). The names
of the special tokens are those in configs/example_config_x2i.py there, and of Emu3's tokenizer. Both tokenizers put the
token that begins a sequence themselves, so the texts have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storyloom.errors import BadDataset, UsageError
from storyloom.export.json_text import write_lines
from storyloom.export.one_text import one_text
from storyloom.export.read import SourceDocument
from storyloom.format.codes import read_codes
from storyloom.format.manifest import Published

START, SIZE_END, END = "<|image start|>", "<|image token|>", "<|image end|>"
ROW_END, FRAME_END = "<|extra_200|>", "<|extra_201|>"

EMU3_CODES = 32_768
"""Visual tokens of Emu3's vocabulary: `Emu3VQVAEConfig.codebook_size` of transformers. Emu3.5 has 131,072 (its paper,
arXiv 2510.26583, on the tokenizer), more than a dataset's uint16 counts."""

EMU3_CLASS = "Emu3VQVAE"
"""The class of transformers whose codes Emu3 was trained on."""

Codes = NDArray[np.uint16]


def write(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """Write ``SPLIT.jsonl`` in Emu3's layout: `key`, `text` and `metadata`, a document a line.

    Raises:
        UsageError: A code has no token in Emu3's vocabulary.
        BadDataset: Codes are damaged.
    """
    del file_bytes  # a split is one file
    write_lines(folder / f"{split}.jsonl", _rows(documents, emu3_image))
    return []


def write_35(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """The same in Emu3.5's layout."""
    del file_bytes
    write_lines(folder / f"{split}.jsonl", _rows(documents, emu35_image))
    return []


def _rows(documents: Iterable[SourceDocument], image: Callable[[Codes], str]) -> Iterator[dict[str, Any]]:
    for document in documents:
        try:
            images = [image(read_codes(codes)) for codes in document.codes]
        except ValueError as flaw:
            raise BadDataset(f"{document.key}: its codes are damaged: {flaw}") from None
        yield {"key": document.key, "text": one_text(document.sample, images), "metadata": document.metadata}


def emu3_image(codes: Codes) -> str:
    """An image as Emu3 was trained on it: the end of a row behind each row, the end of the frame behind the last.

    Raises:
        UsageError: A code has no token in Emu3's vocabulary.
    """
    if (largest := int(codes.max())) >= EMU3_CODES:
        raise UsageError(
            f"the code {largest} is none of Emu3's {EMU3_CODES:,} visual tokens: make the dataset with another"
            " tokenize.model, such as fitted-16, or export it for emu3.5"
        )
    rows, columns = codes.shape
    return f"{START}{rows}*{columns}{SIZE_END}{_grid(codes)}{ROW_END}{FRAME_END}{END}"


def emu35_image(codes: Codes) -> str:
    """An image as Emu3.5 is shown it: the end of a row between rows."""
    rows, columns = codes.shape
    return f"{START}{rows}*{columns}{SIZE_END}{_grid(codes)}{END}"


def _grid(codes: Codes) -> str:
    return ROW_END.join("".join(map(visual_token, row)) for row in codes.tolist())


def visual_token(code: int) -> str:
    """The token of a code: six digits."""
    return f"<|visual token {code:06d}|>"


def foreign_codes(published: Published) -> list[str]:
    """A warning where a dataset's codes are not those that Emu3 was trained on."""
    made_by = _codebook(published)
    return [] if made_by == EMU3_CLASS else [_foreign(made_by, f"those of {EMU3_CLASS}")]


def foreign_codes_35(published: Published) -> list[str]:
    """A warning that a dataset's codes are not those that Emu3.5 was trained on, which uint16 cannot count."""
    return [_foreign(_codebook(published), "131,072 of its own, which no dataset holds")]


def _codebook(published: Published) -> str:
    """What made a dataset's codes, as `tokenize` names it in its revision, behind the program's version."""
    _, _, named = published.provenance.revisions.get("tokenize", "").partition("; ")
    return named.partition(";")[0] or "an unknown codebook"


def _foreign(made_by: str, own: str) -> str:
    return (
        f"the ids of the visual tokens mean codes of {made_by}; the model was trained on {own}, and sees noise in"
        " these: train one on them"
    )
