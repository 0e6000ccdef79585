"""Cutting a stream of any length into files of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

Item = TypeVar("Item")


def bounded(
    items: Iterable[Item], size: Callable[[Item], int], limit: int, overhead: int = 0
) -> Iterator[tuple[int, Iterator[Item]]]:
    """Cut a stream into files; yields each file's number and its items, which must be consumed before the next file.

    Args:
        items: What to write, in order.
        size: Bytes that an item takes in its file.
        limit: Bytes of a file; an item larger than that gets a file of its own.
        overhead: Bytes of a file without any item.
    """
    for number, group in groupby(_numbered(items, size, limit, overhead), key=itemgetter(0)):
        yield number, (item for _, item in group)


def _numbered(
    items: Iterable[Item], size: Callable[[Item], int], limit: int, overhead: int
) -> Iterator[tuple[int, Item]]:
    number, filled, empty = 0, overhead, True
    for item in items:
        more = size(item)
        if not empty and filled + more > limit:
            number, filled = number + 1, overhead
        yield number, item
        filled, empty = filled + more, False
