"""Bytes of which something is wrong: what a bad disk, a broken connection or an attacker makes of a file."""

from __future__ import annotations

import random
from collections.abc import Sequence

MOST = 12
"""Most changes of one kind to a file."""


def mutated(content: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """The content with one to three kinds of damage; `others` are contents from which pieces come."""
    changed = bytearray(content)
    for change in rng.choices((_flip, _cut, _swap, _repeat, _zero, _insert), k=rng.randint(1, 3)):
        change(changed, rng)
    if others and rng.random() < 0.2:
        start, end = _span(len(changed), rng)
        other = rng.choice(others)
        changed[start:end] = other[slice(*_span(len(other), rng))]
    return bytes(changed)


def _span(size: int, rng: random.Random) -> tuple[int, int]:
    """Two places in content of `size` bytes; most pieces are short."""
    start = rng.randint(0, size)
    return start, min(size, start + int(size ** rng.random()))


def _flip(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, MOST) if content else 0):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _cut(content: bytearray, rng: random.Random) -> None:
    start, end = _span(len(content), rng)
    del content[start : len(content) if rng.random() < 0.5 else end]


def _swap(content: bytearray, rng: random.Random) -> None:
    start, end = _span(len(content), rng)
    place = rng.randint(0, len(content))
    piece = content[start:end]
    content[place : place + len(piece)] = piece


def _repeat(content: bytearray, rng: random.Random) -> None:
    start, end = _span(len(content), rng)
    content[start:start] = content[start:end] * rng.randint(1, MOST)


def _zero(content: bytearray, rng: random.Random) -> None:
    start, end = _span(len(content), rng)
    content[start:end] = bytes([rng.choice((0, 0xFF))]) * (end - start)


def _insert(content: bytearray, rng: random.Random) -> None:
    place = rng.randint(0, len(content))
    content[place:place] = rng.randbytes(rng.randint(1, MOST))
