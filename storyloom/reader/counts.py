"""How many tokens each item of a dataset's documents has, without a picture being opened: packing is planned by it."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storyloom.errors import BadDataset, UsageError
from storyloom.fs.atomic import replacing
from storyloom.reader.document import Document, Frame
from storyloom.reader.pieces import TokenLayout, item_ids, placeholders

if TYPE_CHECKING:
    import pyarrow as pa

    from storyloom.reader.dataset import DocumentDataset

PROBE = "So here we have 12,345 small cups; isn't that « naïve », 杯子?\n"
"""What tells two tokenizers apart (our choice): words, digits, punctuation and two scripts."""

SIZES = ((64, 48), (320, 180), (640, 360), (427, 241), (1280, 720), (1080, 1920))
"""Widths and heights that tell two ways of counting an image's tokens apart (our choice)."""

NO_CODES = "the dataset has no codes of its images, which the layout's image_ids needs"

NO_COUNTS = (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What NumPy and `zipfile` raise for files of other kinds and for damaged ones."""


@dataclass(frozen=True, eq=False)
class TokenCounts:
    """The tokens of each item of the documents of a split, in the order of its shards.

    It takes 5 bytes an item and 8 a document in memory.

    Attributes:
        sizes: uint32, shape (items,): tokens of each item, an image's start and end included.
        is_image: bool, shape (items,).
        ends: int64, shape (documents + 1,): where each document's items begin, and where the last one's end.
        source: What was counted: dataset, split, texts, and a hash of the layout.
    """

    sizes: NDArray[np.uint32]
    is_image: NDArray[np.bool_]
    ends: NDArray[np.int64]
    source: dict[str, Any]

    def __len__(self) -> int:
        """Documents."""
        return len(self.ends) - 1

    def of(self, number: int) -> tuple[list[int], list[bool]]:
        """Tokens of each item of a document, and whether each is an image."""
        items = slice(*self.ends[number : number + 2].tolist())
        return self.sizes[items].tolist(), self.is_image[items].tolist()

    @classmethod
    def measure(cls, documents: DocumentDataset, layout: TokenLayout) -> TokenCounts:
        """Count by one pass over the documents' JSON with the layout's own `tokenize`; no picture is read.

        Args:
            documents: Of all ranks; the counts do not depend on rank, shuffling or epoch.
            layout: How they become tokens. With `image_ids`, `image_tokens` is asked for columns and rows of codes,
                which are in the tables beside the shards.

        Raises:
            UsageError: The layout has `image_ids`, but the dataset no codes; or a text holds the image token.
            BadDataset: A shard or its table is damaged.
        """
        codes = _shapes_of_codes(documents.tables()) if layout.image_ids else repeat(None)
        with_codes = zip(documents.without_pictures(), codes, strict=False)  # without codes there is no end
        counted = (_counted(document, layout, shapes) for document, shapes in with_codes)
        return cls.of_documents(counted, source_of(documents, layout))

    @classmethod
    def stored(cls, documents: DocumentDataset, layout: TokenLayout) -> TokenCounts:
        """Take them from the tables beside the shards: nothing but one document is read, and nothing is tokenized.

        The texts' tokens are those of the `tokenizer.json` that `write.tokenizer` named, which has to be the layout's:
        the first document is held against it, every other one when it is packed.

        Args:
            documents: Of all ranks, as they are stored: other `texts` or another `interleave` have no table.
            layout: How they become tokens. With `image_ids`, `image_tokens` is asked for columns and rows of codes.

        Raises:
            UsageError: The tables have no tokens of texts, or no codes where the layout has `image_ids`; or the first
                document has other tokens.
            BadShard: There is no table, or it is damaged.
        """
        if (documents.content["texts"], documents.content["interleave"]) != ("text", "sentence"):
            raise UsageError("the tables beside the shards count documents as they are stored: use TokenCounts.measure")
        tables = [_of_table(table, layout) for table in documents.tables()]
        sizes, kinds, lengths = (np.concatenate(column) for column in zip(*tables, strict=True))
        ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        counts = cls(sizes, kinds, ends, source_of(documents, layout))
        first = next(documents.without_pictures())
        counted, texts = counts.of(0)[0], [n for n, item in enumerate(first.items) if not isinstance(item, Frame)]
        found = [len(item_ids(first.key, first.items[n], layout)) for n in texts]
        if [counted[n] for n in texts] != found:
            message = f"the texts of {first.key} have {found} tokens, but the dataset's table says"
            way_out = "write.tokenizer was another one; use TokenCounts.measure"
            raise UsageError(f"{message} {[counted[n] for n in texts]}: {way_out}")
        return counts

    @classmethod
    def of_documents(cls, documents: Iterable[tuple[list[int], list[bool]]], source: dict[str, Any]) -> TokenCounts:
        """The counts of these documents.

        Args:
            documents: Tokens of each one's items, and whether each is an image.
            source: What was counted: see `source_of`.
        """
        sizes, kinds, ends = array("I"), bytearray(), array("q", [0])
        for one, kind in documents:
            sizes.extend(one)
            kinds.extend(kind)
            ends.append(len(sizes))
        return cls(np.array(sizes, np.uint32), np.frombuffer(kinds, np.bool_), np.array(ends, np.int64), source)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them to a file of NumPy's format ``.npz``, compressed; it is there whole or not at all."""
        source = np.frombuffer(json.dumps(self.source, sort_keys=True).encode(), np.uint8)
        with replacing(Path(path)) as file:
            np.savez_compressed(file, sizes=self.sizes, is_image=self.is_image, ends=self.ends, source=source)

    @classmethod
    def load(cls, path: str | os.PathLike[str], documents: DocumentDataset, layout: TokenLayout) -> TokenCounts:
        """Read what `save` wrote.

        Raises:
            UsageError: There is no such file, it is something else, or it was counted from other documents or with
                another layout.
        """
        try:
            with np.load(os.fspath(path), allow_pickle=False) as found:
                source = dict(json.loads(found["source"].tobytes()))
                counts = cls(found["sizes"], found["is_image"], found["ends"], source)
        except FileNotFoundError:
            raise UsageError(f"there are no counts at {os.fspath(path)}: TokenCounts.measure makes them") from None
        except NO_COUNTS as reason:
            raise UsageError(f"{os.fspath(path)} holds no token counts: {reason}") from None
        counts.check(documents, layout)
        return counts

    def check(self, documents: DocumentDataset, layout: TokenLayout) -> None:
        """See that they are of these documents and this layout.

        Raises:
            UsageError: They are of others.
        """
        for name, here in source_of(documents, layout).items():
            if self.source.get(name) != here:
                message = f"the token counts are of {name} {self.source.get(name)!r}, but here it is {here!r}"
                raise UsageError(f"{message}: count again with TokenCounts.measure")


def source_of(documents: DocumentDataset, layout: TokenLayout) -> dict[str, Any]:
    """What counts depend on: the documents, and a hash of how the layout tokenizes a text and images of some sizes."""
    told = {
        "tokenize": [int(one) for one in layout.tokenize(PROBE)],
        "images": [placeholders(layout, *size) for size in SIZES],
        "around": [len(layout.image_start), len(layout.image_end)],
        "codes": layout.image_ids is not None,
    }
    return documents.content | {"layout": hashlib.sha256(json.dumps(told).encode()).hexdigest()}


def _of_table(table: pa.Table, layout: TokenLayout) -> tuple[NDArray[np.uint32], NDArray[np.bool_], NDArray[np.int64]]:
    """Tokens and kinds of the items that a table beside a shard counts, and items of each document."""
    lists = {name: table[name].combine_chunks() for name in table.column_names if name != "key"}
    flat = {name: column.flatten().to_numpy(zero_copy_only=False) for name, column in lists.items()}
    is_image = flat["is_image"].astype(np.bool_)
    columns, rows = ("code_columns", "code_rows") if layout.image_ids else ("image_width", "image_height")
    if len(flat["text_tokens"]) != int((~is_image).sum()):
        way_out = "make it with write.tokenizer, or use TokenCounts.measure"
        raise UsageError(f"the dataset has no tokens of its texts: {way_out}")
    if len(flat[columns]) != int(is_image.sum()):
        raise UsageError(NO_CODES)
    shapes = np.stack([flat[columns], flat[rows]], axis=1).astype(np.int64)
    different, which = np.unique(shapes, axis=0, return_inverse=True)
    around = len(layout.image_start) + len(layout.image_end)
    tokens = np.array([around + placeholders(layout, *shape) for shape in different.tolist()], np.uint32)
    sizes = np.empty(len(is_image), np.uint32)
    sizes[is_image] = tokens[which.reshape(-1)]
    sizes[~is_image] = flat["text_tokens"]
    return sizes, is_image, lists["is_image"].value_lengths().to_numpy().astype(np.int64)


def _shapes_of_codes(tables: Iterable[pa.Table]) -> Iterator[list[tuple[int, int]]]:
    """Columns and rows of the codes of each document's images."""
    for table in tables:
        for row in table.select(["is_image", "code_columns", "code_rows"]).to_pylist():
            if len(row["code_columns"]) != sum(row["is_image"]):
                raise UsageError(NO_CODES)
            yield list(zip(row["code_columns"], row["code_rows"], strict=True))


def _counted(
    document: Document, layout: TokenLayout, codes: Sequence[tuple[int, int]] | None
) -> tuple[list[int], list[bool]]:
    frames = document.frames
    shapes = iter([(frame.width, frame.height) for frame in frames] if codes is None else codes)
    if codes is not None and len(codes) != len(frames):
        message = f"{document.key} has {len(frames)} images, but the table beside its shard has codes of {len(codes)}"
        raise BadDataset(f"{message}: `storyloom validate` says which is damaged")
    around = len(layout.image_start) + len(layout.image_end)
    sizes = [
        around + placeholders(layout, *next(shapes))
        if isinstance(item, Frame)
        else len(item_ids(document.key, item, layout))
        for item in document.items
    ]
    return sizes, [isinstance(item, Frame) for item in document.items]
