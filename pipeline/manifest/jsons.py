"""Lists as JSON: an object or a URL a line, or an array of them."""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from pipeline.manifest.batch import Line, Told, safe_text
from pipeline.manifest.columns import Columns
from pipeline.manifest.opened import ListUnreadable, numbered_lines

MAX_ARRAY = 1 << 30
"""Most characters of a list that is one JSON array, which is held in memory (our choice)."""

MAX_DEPTH = 64
"""Most levels of a value of another column (our choice: what reads it has limits too)."""

MAX_NAMES = 1000
"""Most names of columns that are looked at for one that is near to ours (our choice)."""

MAX_DIGITS = 32
"""Most characters of a number; longer ones stay text (our choice: a float has at most 24)."""

_SPACE = re.compile(r"[ \t\n\r]*")


class _Number(str):
    """A number as written: an id of 64 bits must not become a float."""

    __slots__ = ()


class _WrongObject(ValueError):
    """An object has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise _WrongObject(f"the key {safe_text(twice, 40)[0]!r} is there twice")
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_Number, parse_float=_Number, parse_constant=_Number, strict=False
)


def object_of(text: str) -> dict[str, Any]:
    """The object of a JSON text.

    Raises:
        ValueError: It is none; the message says why.
    """
    try:
        value = _DECODER.decode(text.strip())
        found = _value(value)
    except (ValueError, RecursionError) as reason:
        raise ValueError(_said(reason)) from reason
    if not isinstance(found, dict):
        raise ValueError(f"it is {_kind(value)}, not a JSON object")  # noqa: TRY004 - a value of the file's
    return found


def json_lines(text: io.TextIOWrapper, columns: Columns, told: Told) -> Iterator[Line]:
    """The lines of a JSONL list.

    Raises:
        ListUnreadable: A line is too long, or no line has the needed column.
    """
    reader = _Objects(columns, told)
    for number, line in numbered_lines(text):
        if stripped := line.strip():
            try:
                value = _DECODER.decode(stripped)
            except (ValueError, RecursionError) as reason:
                yield Line(number, problem=_said(reason))
                continue
            yield reader.line(number, value)
    reader.check()


def array_lines(text: io.TextIOWrapper, columns: Columns, told: Told) -> Iterator[Line]:
    """The members of a list that is one JSON array; a file of JSONL under this ending is read as that.

    Raises:
        ListUnreadable: It is no such array, or too large, or no member has the needed column.
    """
    content = text.read(MAX_ARRAY + 1)
    if len(content) > MAX_ARRAY:
        raise ListUnreadable(f"it has over {MAX_ARRAY} characters; write it as .jsonl, an object a line")
    place = _after_space(content, 0)
    if content[place : place + 1] != "[":
        yield from json_lines(_again(content), columns, told)
        return
    reader = _Objects(columns, told)
    place, number = _after_space(content, place + 1), 0
    while content[place : place + 1] != "]":
        number += 1
        try:
            value, place = _DECODER.raw_decode(content, place)
        except (ValueError, RecursionError) as reason:
            raise ListUnreadable(f"its member {number}: {_said(reason)}") from reason
        yield reader.line(number, value)
        place = _after_space(content, place)
        if content[place : place + 1] == ",":
            place = _after_space(content, place + 1)
        elif content[place : place + 1] != "]":
            raise ListUnreadable(f"after its member {number} there is neither , nor ]")
    reader.check()


def _again(content: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content.encode("utf-8", "surrogatepass")), "utf-8", "surrogatepass")


def _after_space(content: str, place: int) -> int:
    found = _SPACE.match(content, place)
    assert found is not None
    return found.end()


def _said(reason: Exception) -> str:
    if isinstance(reason, RecursionError):
        return "it is nested too deep"
    return str(reason) if isinstance(reason, _WrongObject) else f"it is no JSON: {str(reason)[:200]}"


class _Objects:
    """Turns JSON values into lines."""

    def __init__(self, columns: Columns, told: Told) -> None:
        self._columns = columns
        self._told = told
        self._names: dict[str, None] = {}
        self._any = False
        self._objects = False

    def line(self, place: int, value: Any) -> Line:
        if isinstance(value, str) and not isinstance(value, _Number):
            self._any = True
            return Line(place, {"url": value})
        if not isinstance(value, dict):
            return Line(place, problem=f"it is {_kind(value)}, not a JSON object or a URL")
        self._objects = True
        if len(self._names) < MAX_NAMES:
            self._names |= dict.fromkeys(value)
        ours = self._columns.of(list(value))
        self._any = self._any or "url" in ours.values()
        found: dict[str, str] = {}
        for name, our in ours.items():
            if isinstance(value[name], dict | list):
                return Line(place, problem=f"column `{name}` is {_kind(value[name])}, no text")
            found[our] = _text(value[name])
        try:
            return Line(place, found, {name: _value(one) for name, one in value.items() if name not in ours})
        except _WrongObject as reason:
            return Line(place, problem=str(reason))

    def check(self) -> None:
        """Ask about the names of columns; refuse a list of which no line has the needed one."""
        names = list(self._names)[:MAX_NAMES]
        if self._objects and not self._any:
            self._columns.ours(names, self._told)
        self._columns.ask(names, self._told)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(value: Any, depth: int = 0) -> Any:
    """A value of another column, its numbers as numbers where they come out the same."""
    if depth > MAX_DEPTH:
        raise _WrongObject(f"it is nested over {MAX_DEPTH} levels deep")
    if isinstance(value, _Number):
        return _number(str(value))
    if isinstance(value, dict):
        return {key: _value(one, depth + 1) for key, one in value.items()}
    return [_value(one, depth + 1) for one in value] if isinstance(value, list) else value


def _number(text: str) -> int | float | str:
    """A number, or its text where the number is another one."""
    if len(text) > MAX_DIGITS:
        return text
    try:
        number: int | float = float(text) if set(text) & set(".eENI") else int(text)
        same = Decimal(repr(number)) == Decimal(text) and not (
            number == 0 and isinstance(number, int) and text[0] == "-"
        )
    except ArithmeticError:  # an exponent beyond any
        return text
    return number if same and math.isfinite(number) else text


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", type(None): "null", bool: "true or false", _Number: "a number"}
    return kinds.get(type(value), "a text")
