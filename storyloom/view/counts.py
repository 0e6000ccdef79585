"""Counts in words."""

from __future__ import annotations


def count_of(number: int, plural: str) -> str:
    """A number with its noun: ``1 document``, ``1,200 documents``; the noun's plural ends with an s."""
    return f"{number:,} {plural.removesuffix('s') if number == 1 else plural}"
