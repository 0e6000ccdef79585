"""The check of the table beside a shard against the shard's documents, one after another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from storyloom.format.items import Items, item_groups, rows_of
from storyloom.format.layout import items_name
from storyloom.format.sample import Sample
from storyloom.fs.folder import DataFolder
from storyloom.validate.violation import Violations

FROM_DOCUMENT = ("is_image", "image_width", "image_height", "text_chars")
"""Columns that a document's JSON gives."""

OF_CODES = ("code_rows", "code_columns")
"""Columns that the files of codes give."""

PER_TEXT = ("text_tokens",)
"""Columns with a value for each text, or with none."""


class ItemsCheck:
    """Reads the table of a shard row by row beside its documents; the first difference is told.

    Args:
        folder: The dataset.
        shard: Path of the tar file within it.
        violations: Collects what is wrong.

    Attributes:
        sha256: Of the file, hexadecimal; empty where it cannot be read.
        tokens: Tokens of the texts in the rows that were read.
        whole: Whether it agrees with the documents that were taken.
    """

    def __init__(self, folder: DataFolder, shard: str, violations: Violations) -> None:
        self.sha256, self.tokens, self.whole = "", 0, True
        self._file, self._violations, self._number = items_name(shard), violations, 0
        self._rows: Iterator[Items] = iter(())
        try:
            content = folder.read_whole(self._file)
        except FileNotFoundError:
            self._report("missing_file", "the shard has no table of items")
        except OSError as reason:
            self._report("unreadable", folder.why(reason))
        else:
            self.sha256 = hashlib.sha256(content).hexdigest()
            self._rows = (row for group in item_groups(content) for row in rows_of(group))

    def take(self, key: str, sample: Sample | None, codes: Sequence[tuple[int, int]] | None = ()) -> None:
        """Hold the next row against the next document.

        Args:
            key: Of the document's members.
            sample: The document; None where it breaks a rule.
            codes: Rows and columns of the codes of its images; None where some are damaged.
        """
        if not self.whole:
            return
        row = self._next()
        if row is None:
            if self.whole:
                self._report("items", f"it has {self._number} rows, the shard has more documents", key)
            return
        self._number += 1
        self.tokens += sum(row.text_tokens)
        if flaw := _flaw(row, key, sample, codes):
            self._report("items", f"row {self._number - 1}: {flaw}", key)

    def finish(self) -> None:
        """Make sure that no row is left."""
        if self.whole and self._next() is not None:
            self._report("items", f"it has more rows than the shard's {self._number} documents")

    def _next(self) -> Items | None:
        try:
            return next(self._rows, None)
        except ValueError as reason:
            self._report("items", str(reason))
            return None

    def _report(self, rule: str, message: str, key: str = "") -> None:
        self.whole = False
        self._violations.add(self._file, rule, message, key)


def _flaw(row: Items, key: str, sample: Sample | None, codes: Sequence[tuple[int, int]] | None) -> str:
    if row.key != key:
        return f"key is {row.key!r}, the document's is {key!r}"
    if sample is None:
        return ""
    right, found = asdict(Items.of(sample, codes=codes or ())), asdict(row)
    for name in FROM_DOCUMENT:
        if found[name] != right[name]:
            return f"{name} is not what the document says"
    for name in OF_CODES if codes is not None else ():
        if found[name] != right[name]:
            return f"{name} is not what the files of codes say"
    texts = len(sample.spoken)
    for name in PER_TEXT:
        if len(found[name]) not in (0, texts):
            return f"{name} has {len(found[name])} values for {texts} texts"
    return ""
