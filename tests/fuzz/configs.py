"""Configs and overrides: the repository's own, changed; and values of every kind under every key."""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.config import config_class, load_config
from storyloom.errors import UsageError

SECONDS = 5.0
"""A config takes longer than that to be read or refused only where something grows beyond bounds."""

LONGEST_MESSAGE = 200_000

Case = tuple[bytes, tuple[str, ...]]
"""Content of the file, and overrides."""

SEEDS = [file.read_bytes() for file in sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))]

PIECES = (
    *(
        "[",
        "{",
        "]",
        "}",
        ": ",
        "- ",
        "? ",
        ",",
        "\n",
        "\t",
        "#",
        "'",
        '"',
        "|\n",
        ">\n",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
    ),
    *("&a ", "*a", "<<: *a\n", "&a [*a]", "!!int ", "!!binary ", "!!python/object:os.system ", "!x ", "~", "null"),
    *(
        ".inf",
        "-.inf",
        ".nan",
        "1e999",
        "1" * 5000,
        "0x" + "f" * 5000,
        "0o17",
        "010",
        "1_000",
        "12:30:45",
        "2024-01-01",
    ),
    *("yes", "no", "on", "true", "\0", "\x1b[31m", "\u202e", "\ufeff", "\u2028", '"\\ud800"', "[" * 500, "{a: " * 500),
    *("- " * 500, "a: " * 20, "~nobody/x", "s3://b/x", "/", "..", "x" * 5000, "a/" * 3000, "&b [*a, *a]\n", "\xff"),
)

VALUES = (
    *(
        "",
        "0",
        "-1",
        "1",
        "2.5",
        "1e30",
        "-1e30",
        ".inf",
        ".nan",
        "true",
        "null",
        "[]",
        "{}",
        "[1, 2]",
        "{a: 1}",
        "auto",
    ),
    *("1" * 400, "demo", "''", "'a\tb'", "!!str 1", "&a 1", "*a", "~", "no", "[[[[]]]]", "{<<: {a: 1}}", "'[y/N]'"),
)


def cases(rng: random.Random) -> Iterator[Case]:
    """Changed files with and without overrides."""
    keys = sorted(_keys(config_class(), ""))
    while True:
        content = rng.choice(SEEDS)
        for _ in range(rng.choice((0, 1, 1, 2, 4, 16))):
            content = _changed(content, rng)
        overrides = tuple(_override(keys, rng) for _ in range(rng.choice((0, 0, 1, 3))))
        yield content, overrides


def check(case: Case) -> None:
    """The config is read or refused with a sentence, soon; numbers of one that is read are finite."""
    content, overrides = case
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_bytes(content)
        message = ""
        try:
            loaded = load_config(file, overrides)
        except UsageError as refused:
            message = str(refused)
        else:
            assert _finite(loaded.model_dump()), "a number without end"
    assert len(message) < LONGEST_MESSAGE, "a message that nobody reads"
    assert "\x1b" not in message, "a message that writes to the terminal"
    assert time.monotonic() - began < SECONDS, "it takes too long"


def _changed(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    to = min(len(content), at + rng.choice((1, 2, 8, 40)))
    kind = rng.randrange(6)
    if kind == 0:
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    if kind == 1:
        return content[:at] + content[to:]
    if kind == 2:
        return content[:to] + content[at:]
    if kind == 3:
        lines = content.splitlines(keepends=True)
        rng.shuffle(lines)
        return b"".join(lines)
    if kind == 4:
        return content.replace(b": ", b": " + rng.choice(PIECES).encode(errors="surrogatepass"), 1 + rng.randrange(3))
    return content[:at] + rng.choice(PIECES).encode() * rng.choice((1, 1, 1, 30)) + content[at:]


def _override(keys: list[str], rng: random.Random) -> str:
    key = rng.choice(keys)
    if rng.random() < 0.2:
        key = "".join(rng.choice((key, ".", "x", "\0", "=")) for _ in range(rng.choice((1, 2, 3, 200))))
    return f"{key}={rng.choice((*VALUES, *PIECES))}"


def _keys(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Every key of a config, but for the stages of one's own, whose modules would be imported."""
    for name, field in model.model_fields.items():
        if name == "stages":
            continue
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{prefix}{name}.")


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
