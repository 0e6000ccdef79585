"""Templates: one environment for the app's pages and the page that `storyloom stats --html` writes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from storyloom.stats.plots import MINUS
from storyloom.stats.show import byte_size
from storyloom.view.counts import count_of
from storyloom.view.text import LONGEST_NAME, shown

HERE = "storyloom.view"
"""Package whose folders ``templates`` and ``static`` every page has."""


@cache
def environment(packages: tuple[str, ...] = ()) -> Environment:
    """The templates of this package and of others, which come first. All text is escaped and goes through `shown`."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, HERE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters |= {
        "clock": clock,
        "signed": signed,
        "bytes": byte_size,
        "count_of": count_of,
        "name": name,
        "segment": segment,
    }
    return made


def resource(file: str) -> str:
    """A text file of this package's ``static`` folder."""
    return files(HERE).joinpath("static", file).read_text(encoding="utf-8")


def clock(seconds: float) -> str:
    """A time as minutes and seconds, with hours where there are any: ``1:04.5``."""
    tenths = round(seconds * 10)
    hours, minutes = divmod(tenths // 600, 60)
    rest = f"{tenths % 600 // 10:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def signed(seconds: float) -> str:
    """A shift with its sign: ``+0.5``, ``−1.5``."""
    return f"{'+' if seconds >= 0 else MINUS}{abs(seconds):.3g}"


def name(text: str) -> str:
    """A title or another name, cut where it is too long to be one."""
    return shown(text, LONGEST_NAME)


def segment(text: str) -> str:
    """A text as a part of a URL's path or query."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def address_of(begin: str, name: str, **query: str) -> str:
    """Address of the page about a name, which stands in the query where it holds ``.`` or ``..``, steps to a browser.

    Args:
        begin: Of the path, such as ``/video/``.
        name: Of what the page is about; the page finds it in its path or as ``id`` in the query.
        query: Further values.
    """
    is_walked = bool({".", ".."} & set(name.split("/")))
    values = {"id": name, **query} if is_walked else query
    path = begin if is_walked else begin + segment(name)
    return path + ("?" if values else "") + "&".join(f"{key}={segment(value)}" for key, value in values.items())


def _shown(value: Any) -> Any:
    """What a template puts into a page; our own style and script are Markup, and stay as they are."""
    return shown(value) if type(value) is str else value
