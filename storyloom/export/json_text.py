"""JSON as the exports have it: compact, in UTF-8, a document a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def compact(value: dict[str, Any] | list[Any]) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def ascii_line(value: Any) -> bytes:
    """JSON as a line of ASCII, of which a reader may count characters for bytes."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def write_lines(path: Path, items: Iterable[dict[str, Any]]) -> None:
    """Write JSON Lines: an item a line."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for item in items:
            file.write(compact(item) + "\n")


def write_list(path: Path, items: Iterable[dict[str, Any]]) -> None:
    """Write one JSON list, an item a line."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        for number, item in enumerate(items):
            file.write((",\n" if number else "\n") + compact(item))
        file.write("\n]\n")
