"""The reference of every setting as a page, docs/settings.md, and as lines on a terminal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from textwrap import fill

from pipeline.settings.reference import NO_DEFAULT, Setting, of_section, settings
from schemas.config import StageConfig
from storyloom.errors import UsageError
from storyloom.fs.atomic import write_atomically

HEAD = """\
# Settings

Every key of a config, with its default. `storyloom settings` prints this list, `storyloom settings filter` a section of
it; `storyloom init` writes a config with the keys that people change. This page is made from the classes in the code:
`make schemas` writes it.

A key stands in its section (`filter:`, and below it `threshold: 0.25`), or on the command line as
`--set filter.threshold=0.25`. *Again* says whether another value makes earlier work stale: `yes`, it changes what comes
out, so its stage and what reads it are done again; `no`, it changes how the work is done, or what is written anew in
any case. Units stand in the last column. Where a number comes from is said there, too; "our choice" stands for a number
that no source gives.
"""

COMMON_HEAD = """\
These keys are in every stage's section; a stage whose default is another one lists the key again.
"""

WIDTH = 100
"""Columns of a terminal's lines."""


def settings_page(stages: tuple[str, ...] = ()) -> bytes:
    """The page of every setting; `stages` are a user's own."""
    found = settings(stages)
    common = {one.key: one for one in of_section(StageConfig)}
    blocks = [HEAD, "## The config itself\n", _table(one for one in found if not one.section)]
    for name in _sections(found):
        own = [one for one in found if one.section == name and not _is_common(one, common)]
        blocks += [f"## `{name}`\n", _table(own)] if own else []
    blocks += ["## Every stage\n", COMMON_HEAD, _table(common.values())]
    return "\n".join(blocks).encode()


def _is_common(one: Setting, common: dict[str, Setting]) -> bool:
    other = common.get(one.key.partition(".")[2])
    return other is not None and (other.default, other.meaning) == (one.default, one.meaning)


def _table(rows: Iterable[Setting]) -> str:
    lines = ["| key | values | default | again | meaning |", "| --- | --- | --- | --- | --- |"]
    for one in rows:
        default = "must be set" if one.default is NO_DEFAULT else f"`{one.default_text}`{_size(one.default)}"
        cells = (f"`{one.key}`", one.values, default, "yes" if one.again else "no", one.meaning.replace("``", "`"))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _size(value: object) -> str:
    """A large round number of bytes in the unit that people read it in."""
    if type(value) is not int or value < 2**20 or value % 2**20:
        return ""
    return f" ({value // 2**30} GiB)" if value % 2**30 == 0 else f" ({value // 2**20} MiB)"


def differs(file: Path, stages: tuple[str, ...] = ()) -> str:
    """How a file differs from the page; empty when it does not."""
    if not file.is_file():
        return "missing"
    return "" if file.read_bytes() == settings_page(stages) else "differs from the code"


def write_page(file: Path, stages: tuple[str, ...] = ()) -> None:
    """Write the page.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        write_atomically(file, settings_page(stages))
    except OSError as reason:
        raise UsageError(f"{file} cannot be written: {reason.strerror or reason}") from reason


def lines(key: str = "", stages: tuple[str, ...] = ()) -> Iterator[str]:
    """The settings of a section, or of one key, or all, as lines for a terminal.

    Raises:
        UsageError: There is no such section or key.
    """
    found = settings(stages)
    wanted = [one for one in found if not key or one.key == key or one.key.startswith(f"{key}.")]
    if not wanted:
        known = {one.key for one in found} | {one.section for one in found}
        nearest = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"the sections are {', '.join(_sections(found))}"
        raise UsageError(f"no setting {key!r}; {hint}")
    for section, rows in groupby(wanted, key=lambda one: one.section):
        yield f"{section or 'the config itself'}:"
        for one in rows:
            default = "must be set" if one.default is NO_DEFAULT else f"default {one.default_text}{_size(one.default)}"
            yield f"  {one.key}: {one.values.replace('`', '')}; {default}"
            meaning = one.meaning.replace("``", "").replace("`", "")
            yield fill(meaning, WIDTH, initial_indent="      ", subsequent_indent="      ")


def _sections(found: Iterable[Setting]) -> list[str]:
    return list(dict.fromkeys(one.section for one in found if one.section))
