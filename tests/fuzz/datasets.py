"""Mutated datasets through `validate`, `show`, `stats`, `export` and the trainers' reader.

Each command gives a result or one sentence; `validate` notices every change of a shard or its index.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from stages.write.stage import WriteConfig
from storyloom.errors import FAILED, StoryloomError
from storyloom.export.registry import FORMATS
from tests.documents import dataset, videos, with_codes
from tests.storyloom.hostile import READERS, exported, validated
from tests.storyloom.validate import damage

NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**63, 10**30, 1.5, -0.0, 1e308, float("nan"), float("inf"), "", "x", "\0", "\x1b[2J", "../x",
    "/etc/hostname", "nan", "a" * 5000, [], [[]], {}, {"a": []}, [None], [1e308, -1e308], "<image>", "data/train/\n",
)  # fmt: skip
"""What takes the place of a JSON value."""

OPERATIONS = ("flip", "cut", "swap", "repeat", "zero", "insert", "json", "document", "header")


@dataclass(frozen=True)
class Case:
    """A file of the dataset, what is done to it, and the seed of how."""

    file: str
    operation: str
    seed: int


@cache
def good() -> Path:
    """Two training shards and one for validation, nine documents."""
    folder = Path(tempfile.mkdtemp(prefix="storyloom-fuzz-"))
    coded = [with_codes(one) for one in videos(9, documents=1)]
    dataset(folder, [coded], WriteConfig(shard_bytes=20_000, max_images=4, val_share=0.3))
    return folder / "out"


def cases(rng: random.Random) -> Iterator[Case]:
    """Files and operations at random; shards, their indexes and the manifest more often than the others."""
    files = sorted(str(path.relative_to(good())) for path in good().rglob("*") if path.is_file())
    main = [file for file in files if file.startswith("data/") or file == "manifest.json"]
    while True:
        operation = rng.choice(OPERATIONS)
        file = rng.choice(rng.choice((files, main)))
        if operation in ("document", "header"):
            file = rng.choice([one for one in files if one.endswith(".tar")])
        elif operation == "json":
            file = rng.choice([one for one in files if one.endswith(".json")])
        yield Case(file, operation, rng.getrandbits(32))


def check(case: Case) -> None:
    """Every command over the mutated dataset."""
    with tempfile.TemporaryDirectory(prefix="storyloom-fuzz-") as place:
        folder = Path(shutil.copytree(good(), Path(place) / "out"))
        mutate(folder, case)
        report, _ = validated(folder, deep=case.seed % 4 == 0)
        changed = (folder / case.file).read_bytes() != (good() / case.file).read_bytes()
        # a document that was changed is sealed again with its shard, and may be a right one
        if changed and case.file.endswith((".tar", ".idx")) and case.operation != "document":
            assert report.violations.total, "validate calls a changed shard fine"
        forms = [name for name, form in FORMATS.items() if not form.needs_words]  # these documents have no word times
        form = forms[case.seed % len(forms)]
        for command, read in {**READERS, "export": lambda there: exported(there, form)}.items():
            if (error := _refusal(read, folder)) is not None:
                assert error.exit_code == FAILED or "no finished dataset" in str(error), command
                assert str(error).isprintable(), command
        assert not (Path(place) / "x").exists()


def _refusal(read: Callable[[Path], str], folder: Path) -> StoryloomError | None:
    try:
        read(folder)
    except StoryloomError as error:
        return error
    return None


def mutate(folder: Path, case: Case) -> None:
    """Change the file as the case says."""
    rng = random.Random(case.seed)
    if case.operation == "document":
        damage.edit_document(folder, lambda one: _nasty(one, rng), case.file)
    elif case.operation == "header":
        place = rng.choice(((0, 100), (100, 108), (124, 136), (136, 148), (156, 157), (257, 263), (345, 500)))
        value = rng.randbytes(rng.randint(0, min(12, place[1] - place[0])))
        damage.edit_header(folder, slice(*place), value, number=rng.randrange(3), file=case.file)
    else:
        content = (folder / case.file).read_bytes()
        (folder / case.file).unlink()
        (folder / case.file).write_bytes(
            _as_json(content, rng) if case.operation == "json" else _bytes(content, case, rng)
        )


def _bytes(content: bytes, case: Case, rng: random.Random) -> bytes:
    data = bytearray(content)
    start, other = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    size = rng.choice((1, 8, 512, 4096))
    if case.operation == "flip":
        for _ in range(rng.choice((1, 2, 8))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif case.operation == "cut":
        del data[start : rng.choice((len(data), start + size))]
    elif case.operation == "swap":
        data[start : start + size], data[other : other + size] = data[other : other + size], data[start : start + size]
    elif case.operation == "repeat":
        data[other:other] = data[start : start + size]
    elif case.operation == "zero":
        data[start : start + size] = bytes(len(data[start : start + size]))
    else:
        data[start:start] = rng.randbytes(size)
    return bytes(data)


def _as_json(content: bytes, rng: random.Random) -> bytes:
    value = json.loads(content)
    for _ in range(rng.choice((1, 1, 3))):
        _nasty(value, rng)
    return json.dumps(value, indent=rng.choice((None, 1))).encode()


def _nasty(value: dict[str, Any], rng: random.Random) -> None:
    """Put something else in the place of one value, at any depth."""
    inner: Any = value
    while inner:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = rng.choice(keys)
        if not isinstance(inner[key], dict | list) or not inner[key] or rng.random() < 0.2:
            break
        inner = inner[key]
    else:
        return
    act = rng.randrange(4)
    if act == 0 and isinstance(inner, dict):
        inner[rng.choice(("x", "", "nan", "1e300", key))] = inner.pop(key)
    elif act == 1:
        del inner[key]
    elif act == 2 and isinstance(inner, list):
        inner.append(inner[key])
    else:
        inner[key] = rng.choice(NASTY)
