"""Lists with a path or URL a line."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

from pipeline.manifest.batch import Line, Told
from pipeline.manifest.folder import MEDIA_SUFFIXES
from pipeline.manifest.opened import ListUnreadable, numbered_lines


def text_lines(text: io.TextIOWrapper, base: str, told: Told) -> Iterator[Line]:
    """The lines of a text list; empty ones and comments, which begin with ``#``, are left out.

    A line that begins with ``#`` and names a file that is there is none. Space around a line and quotes are the
    name's when such a file is there.

    Args:
        text: The list.
        base: Folder of relative paths; empty when it is remote.
        told: What is told.

    Raises:
        ListUnreadable: It is a page, or a line is too long.
    """
    for number, line in numbered_lines(text):
        if number == 1 and line.lstrip().lower().startswith(("<!doctype", "<html", "<?xml")):
            raise ListUnreadable("it is a page or XML, not a list; put the URL of a page with a video into a list")
        name = line.strip()
        if not name:
            continue
        if name[0] == "#" and not _is_there(base, name, told):
            if os.path.splitext(name)[1].lower() in MEDIA_SUFFIXES:  # noqa: PTH122 - a million lines
                told.count("taken for comments though they look like media (write ./#NAME for a file)", name)
            continue
        if name != line and _is_there(base, line, told) and not _is_there(base, name, told):
            name = line
        elif len(name) >= len("'x'") and name[0] == name[-1] and name[0] in "\"'" and not _is_there(base, name, told):
            told.count("quotes taken off", name)
            name = name[1:-1]
        yield Line(number, {"url": name})


def _is_there(base: str, name: str, told: Told) -> bool:
    told.looked = told.looked or bool(base)
    return bool(base) and os.path.lexists(os.path.join(base, name))  # noqa: PTH118
