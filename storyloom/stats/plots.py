"""Plots as SVG that takes its colours from the page, so that one drawing serves light and dark."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from storyloom.stats.distributions import Distribution

SVG = "{http://www.w3.org/2000/svg}"
XLINK_HREF = "{http://www.w3.org/1999/xlink}href"

ROLES = {"#000001": "ink", "#000002": "bar", "#000003": "grid", "#000004": "mark"}
"""Colours that matplotlib is told, and the classes that the page's styles know in their place."""

INK, BAR, GRID, MARK = ROLES

INCHES = (3.6, 1.9)
"""At 96 pixels an inch about a phone's width, so that letters keep their size there."""

FEWEST_BARS = 9
"""For so many there is room; one bar alone would fill the drawing and say nothing of its width."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "storyloom",
    "font.size": 9,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": GRID,
    "grid.color": GRID,
}


def histogram(name: str, distribution: Distribution, unit: str) -> str:
    """A histogram with its median marked, as an `svg` element; the same distribution gives the same text.

    Args:
        name: Prefix of the ids in the drawing; one that no other drawing of the page has.
        distribution: With at least one value.
        unit: What is counted, e.g. ``documents``; for the bars' labels.
    """
    edges, counts = distribution.histogram.edges, distribution.histogram.counts
    with rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        axes = figure.add_subplot()
        widths = [high - low for low, high in pairwise(edges)]
        bars = axes.bar(edges[:-1], counts, [0.88 * width for width in widths], align="edge", color=BAR)
        for number, bar in enumerate(bars):
            bar.set_gid(f"bar-{number}")
        axes.axvline(distribution.p50, color=MARK, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.set_xlim(*_limits(edges, widths[0]))
        axes.grid(axis="y", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    labels = [
        f"{low:g} to {high:g}: {count:,} {unit}" for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    return _for_page(file.getvalue(), name, labels)


def _limits(edges: list[float], width: float) -> tuple[float, float]:
    """From where to where the axis goes: not below 0 for what cannot be, and so that a few bars do not fill it."""
    missing = max(0.0, FEWEST_BARS - (edges[-1] - edges[0]) / width) * width
    left = missing / 2 if edges[0] < 0 else min(missing / 2, edges[0])
    return edges[0] - left - width / 4, edges[-1] + missing - left + width / 4


def _for_page(drawing: str, name: str, labels: list[str]) -> str:
    """A drawing without styles of its own, which the page's policy forbids, and with ids of its own."""
    ET.register_namespace("", "http://www.w3.org/2000/svg")
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ET.fromstring(drawing)  # noqa: S314 - matplotlib wrote it
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{SVG}style" or child.tag.endswith(("}metadata", "}RDF")):
                parent.remove(child)
    for element in root.iter():
        _plain_attributes(element)
        identifier = element.attrib.pop("id", "")
        if identifier.startswith("bar-"):
            title = ET.Element(f"{SVG}title")
            title.text = labels[int(identifier.removeprefix("bar-"))]
            element.insert(0, title)
        elif element.tag in {f"{SVG}clipPath", f"{SVG}path"} and identifier:
            element.set("id", f"{name}-{identifier}")
        for attribute in (XLINK_HREF, "clip-path"):
            if attribute in element.attrib:
                element.set(attribute, element.attrib[attribute].replace("#", f"#{name}-"))
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("class", "plot")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-summary")
    return ET.tostring(root, encoding="unicode")


def _plain_attributes(element: ET.Element) -> None:
    """Turn an element's style into attributes, and the colours that stand for a role into classes."""
    classes = []
    for declaration in element.attrib.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if value in ROLES:
            classes.append(f"{key}-{ROLES[value]}")
        elif key == "font":
            element.set("font-size", value.split()[0])
        elif key and key != "font-family":
            element.set(key, value)
    if classes:
        element.set("class", " ".join(classes))
