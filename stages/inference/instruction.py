"""Instructions to models: files that come with the program, known in fingerprints by their hashes."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path


@functools.cache
def instruction(file: Path) -> str:
    """An instruction that comes with the program."""
    return file.read_text("utf-8").strip()


def instruction_hash(text: str) -> str:
    """``sha256:`` and 16 digits of an instruction."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
