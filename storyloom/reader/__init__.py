"""Finished shards as training input: typed documents, packed sequences. docs/reader.md shows how.

The names are imported when they are first used: torch waits until a dataset is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storyloom.reader.dataset import DocumentDataset
    from storyloom.reader.document import Document, Frame, Text
    from storyloom.reader.packing import PackedDataset, PackedSequence
    from storyloom.reader.pieces import Origin, PatchTokens, TokenLayout
    from storyloom.reader.shards import UnreadableShard

__all__ = [
    "Document",
    "DocumentDataset",
    "Frame",
    "Origin",
    "PackedDataset",
    "PackedSequence",
    "PatchTokens",
    "Text",
    "TokenLayout",
    "UnreadableShard",
]

MODULES = {
    "dataset": ("DocumentDataset",),
    "document": ("Document", "Frame", "Text"),
    "packing": ("PackedDataset", "PackedSequence"),
    "pieces": ("Origin", "PatchTokens", "TokenLayout"),
    "shards": ("UnreadableShard",),
}


def __getattr__(name: str) -> Any:
    for module, names in MODULES.items():
        if name in names:
            try:
                return getattr(import_module(f"{__name__}.{module}"), name)
            except ModuleNotFoundError as missing:
                if missing.name != "torch":
                    raise
                message = f"{__name__}.{name} needs torch: pip install 'storyloom[train]'"
                raise ModuleNotFoundError(message, name="torch") from missing
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
