"""Names of models that were mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names that are nearest to another one, as the end of a message; empty without any."""
    lower = {one.lower(): one for one in known}
    found = [repr(lower[one]) for one in difflib.get_close_matches(name.lower(), lower, n=3)]
    return f"; did you mean {' or '.join(found)}?" if found else ""
