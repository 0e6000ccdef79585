"""Finished shards as training input: typed documents, packed sequences. docs/reader.md shows how.

Names are imported on first use, so torch is imported only when a dataset is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storyloom.format.stored import BadShard
    from storyloom.reader.counts import TokenCounts
    from storyloom.reader.dataset import DocumentDataset
    from storyloom.reader.document import Document, Frame, Text
    from storyloom.reader.documents import Documents
    from storyloom.reader.packing import PackedDataset, PackedSequence
    from storyloom.reader.pieces import Origin, PatchTokens, TokenLayout
    from storyloom.reader.planned import PlannedDataset

__all__ = [
    "BadShard",
    "Document",
    "DocumentDataset",
    "Documents",
    "Frame",
    "Origin",
    "PackedDataset",
    "PackedSequence",
    "PatchTokens",
    "PlannedDataset",
    "Text",
    "TokenCounts",
    "TokenLayout",
]

_HOMES = {
    "BadShard": "storyloom.format.stored",
    "Document": "storyloom.reader.document",
    "DocumentDataset": "storyloom.reader.dataset",
    "Documents": "storyloom.reader.documents",
    "Frame": "storyloom.reader.document",
    "Origin": "storyloom.reader.pieces",
    "PackedDataset": "storyloom.reader.packing",
    "PackedSequence": "storyloom.reader.packing",
    "PatchTokens": "storyloom.reader.pieces",
    "PlannedDataset": "storyloom.reader.planned",
    "Text": "storyloom.reader.document",
    "TokenCounts": "storyloom.reader.counts",
    "TokenLayout": "storyloom.reader.pieces",
}


if not TYPE_CHECKING:  # else a type checker accepts any name of this module

    def __getattr__(name: str) -> Any:
        """Import a public name from its module."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as missing:
            if missing.name != "torch":
                raise
            message = f"{__name__}.{name} needs torch: pip install 'storyloom[train]'"
            raise ModuleNotFoundError(message, name="torch") from missing
