"""How many tokens a text has, by a tokenizer of Hugging Face's `tokenizers`: a model's `tokenizer.json`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from storyloom.errors import UsageError

FILE = "tokenizer.json"

PANIC = "PanicException"
"""Name of the exception by which PyO3 reports a panic; it is no `Exception`, and no module exports it."""

IMAGE = "<|storyloom image|>"
"""Stands for the last token of an image before a text (our choice: a text has no such token)."""


def tokenizer_file(place: str | os.PathLike[str]) -> Path:
    """The `tokenizer.json` at a path, or in the folder there.

    Raises:
        UsageError: There is none.
    """
    path = Path(place).expanduser()
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise UsageError(f"{path} is not there: give the path of a {FILE}, or of a folder that holds one")
    return path


def tokenizer_sha256(place: str | os.PathLike[str]) -> str:
    """SHA-256 of a tokenizer's file, hexadecimal; it is not loaded.

    Raises:
        UsageError: There is none.
    """
    with tokenizer_file(place).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """Turn what `tokenizers` raises, which is nothing more exact than `Exception`, or a panic of its Rust code."""
    try:
        yield
    except BaseException as reason:
        if not isinstance(reason, Exception) and type(reason).__name__ != PANIC:
            raise
        raise UsageError(f"{what}: {reason}") from None


class TextTokenizer:
    """Counts the tokens of texts, without special ones.

    Args:
        place: Path of a `tokenizer.json`, or of a folder that holds one.

    Attributes:
        sha256: Of the file, hexadecimal.

    Raises:
        UsageError: There is none, or it is no tokenizer.
        ModuleNotFoundError: The package `tokenizers` is not installed.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        from tokenizers import Tokenizer

        self._file = file = tokenizer_file(place)
        content = file.read_bytes()
        self.sha256 = hashlib.sha256(content).hexdigest()
        with _refused(f"{file} is no tokenizer that the package tokenizers reads"):
            self._tokenizer = Tokenizer.from_buffer(content)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._has_image = False

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has.

        Raises:
            UsageError: The tokenizer has no token for something in them, not even an unknown one.
        """
        with _refused(f"{self._file} cannot split the texts"):
            encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [len(one.ids) for one in encoded]

    def most(self, text: str) -> int:
        """Tokens of a text where it stands alone or behind an image, whichever are more.

        A tokenizer may put a space before the text that begins a sequence, and before no other one: Metaspace with
        `prepend_scheme` ``first``, as Llama 2 and Mistral have it.

        Raises:
            UsageError: As `count`.
        """
        if not self._has_image:
            self._tokenizer.add_special_tokens([IMAGE])
            self._has_image = True
        alone, behind = self.count([text, IMAGE + text])
        return max(alone, behind - 1)
