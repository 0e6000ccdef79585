"""Marks of work that was begun: a part whose workers keep dying is known by its starts, whoever made them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from stages.media.sandbox import ChildKilled


@contextlib.contextmanager
def started(folder: Path, part: str) -> Iterator[int]:
    """Mark a part as begun while the block runs; yields how many starts are marked, this one included.

    A mark outlives its block only when the process dies in it, or a child process is killed: any other exception
    removes it like success does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        mark = folder / f".{part}.start-{number}"
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            break
    try:
        yield number
    except ChildKilled:
        raise
    except BaseException:
        _remove(folder, part, number)
        raise
    _remove(folder, part, number)


def _remove(folder: Path, part: str, last: int) -> None:
    for number in range(1, last + 1):
        (folder / f".{part}.start-{number}").unlink(missing_ok=True)
