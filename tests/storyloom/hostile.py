"""Hostile datasets: each is a small good one that a stranger changed; and every way to read one."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from storyloom.export.names import FormatName
from storyloom.export.run import export
from storyloom.format.manifest import finished_dataset
from storyloom.format.reader import ShardReader
from storyloom.format.tar import INDEX_TYPE, member, trailer
from storyloom.reader.shards import load_documents, load_manifest
from storyloom.stats.figures import dataset_stats
from storyloom.stats.gallery import gallery
from storyloom.stats.page import html_page
from storyloom.stats.show import print_stats
from storyloom.validate.dataset import validate_dataset
from storyloom.validate.report import ValidationReport, as_json, as_junit, print_report
from storyloom.validate.spread import in_this_process
from storyloom.view.show import find_sample, show_sample
from tests.storyloom.validate import damage
from tests.storyloom.validate.damage import SHARD

Change = Callable[[Path], object]

SECRET = "the secret of another folder"
"""Content of the file ``secret`` beside every hostile dataset."""

DIGITS = "9" * 5000


def validated(folder: Path, *, deep: bool = False) -> tuple[ValidationReport, str]:
    """The report of ``storyloom validate``, and everything that it prints in any form."""
    report = validate_dataset(folder, deep=deep, spread=in_this_process)
    console = Console(file=io.StringIO(), record=True, width=160)
    print_report(report, console)
    return report, f"{console.export_text()}{as_json(report)}{as_junit(report).decode()}"


def shown(folder: Path) -> str:
    """What ``storyloom show`` prints."""
    console = Console(file=io.StringIO(), record=True, width=160)
    show_sample(find_sample(folder, None), console)
    return console.export_text()


def counted(folder: Path) -> str:
    """What ``storyloom stats`` prints and writes in any form."""
    stats = dataset_stats(folder)
    console = Console(file=io.StringIO(), record=True, width=160)
    print_stats(stats, console)
    page = html_page(stats, gallery(folder, finished_dataset(folder), 4, {}), with_dropped=False)
    return f"{console.export_text()}{stats.model_dump_json()}{page}"


def exported(folder: Path, form: FormatName = FormatName.MS_SWIFT) -> str:
    """What ``storyloom export`` writes, images left out."""
    dest = folder.with_name("exported")
    shutil.rmtree(dest, ignore_errors=True)
    export(folder, form, dest)
    texts = [file for file in dest.rglob("*") if file.suffix in (".json", ".jsonl")]
    return "".join(file.read_text(encoding="utf-8") for file in texts)


def trained_on(folder: Path) -> str:
    """What a trainer gets to see."""
    reader = ShardReader(folder)
    shards = load_manifest(reader).shards
    wanted = [(shard, number) for shard in shards for number in range(min(shard.nsamples, 100))]
    return "".join(repr(document.texts) for document in load_documents(reader, wanted))


READERS: dict[str, Callable[[Path], str]] = {
    "show": shown,
    "stats": counted,
    "export": exported,
    "train": trained_on,
}
"""Every command that reads a dataset, but for `validate`; each gives what it would print."""


def edit_manifest(change: Callable[[dict[str, Any]], object]) -> Change:
    """Change the parsed manifest; the strings ``<raw X>`` become X, which JSON may not be able to hold."""

    def changed(folder: Path) -> None:
        value = json.loads((folder / "manifest.json").read_bytes())
        change(value)
        text = json.dumps(value)
        for raw in ("NaN", "-Infinity", "1e999", DIGITS, "1" + "0" * 400, '"\\ud800"', "[" * 100_000 + "]" * 100_000):
            text = text.replace(f'"<raw {json.dumps(raw)[1:-1]}>"', raw)
        (folder / "manifest.json").write_text(text)

    return changed


def at(place: str | Sequence[str], value: Any) -> Change:
    """Put a value at a place of the manifest, such as ``shards.0.file``, or given step by step."""

    def change(manifest: dict[str, Any]) -> None:
        *steps, last = place.split(".") if isinstance(place, str) else place
        inner: Any = manifest
        for step in steps:
            inner = inner[int(step)] if isinstance(inner, list) else inner[step]
        inner[int(last) if isinstance(inner, list) else last] = value

    return edit_manifest(change)


def document(**values: Any) -> Change:
    """Put values into a document."""
    return lambda folder: damage.edit_document(folder, lambda one: one.update(values))


def content(data: bytes) -> Change:
    """Bytes in the place of a document."""
    return lambda folder: damage.replace_document(folder, data)


def replaced(file: str, data: bytes) -> Change:
    """Other bytes in the place of a file."""
    return lambda folder: (folder / file).write_bytes(data)


def link(file: str, target: str) -> Change:
    """A link in the place of a file or folder; ``TWIN`` stands for a good dataset elsewhere."""

    def change(folder: Path) -> None:
        place = folder / file
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        place.symlink_to(target.replace("TWIN", str(folder.with_name("twin"))))

    return change


def special(file: str, kind: str) -> Change:
    """Something that is no file in the place of one."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        if kind == "folder":
            (folder / file).mkdir()
        elif kind == "pipe":
            os.mkfifo(folder / file)
        else:
            here = Path.cwd()
            os.chdir((folder / file).parent)  # a socket's address is short
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(Path(file).name)
            os.chdir(here)

    return change


def index(offsets: list[int]) -> Change:
    """Other offsets in the index of a shard."""
    return replaced(f"{SHARD}.idx", np.array(offsets, INDEX_TYPE).tobytes())


def sparse(file: str, size: int) -> Change:
    """A file that grows by a hole."""
    return lambda folder: os.truncate(folder / file, size)


def huge_document(folder: Path) -> None:
    """A shard and its index whose one document has a terabyte of zeros; the manifest agrees."""
    shard = folder / SHARD
    head = damage.members(folder)[0]
    start = member(head[0], head[1])
    size = 2**40
    shard.unlink()
    shard.write_bytes(start)
    os.truncate(shard, size)
    index([0, size])(folder)
    edit_manifest(lambda value: value["shards"][0].update(nsamples=1, filesize=size))(folder)
    edit_manifest(lambda value: value["splits"]["train"].update(nsamples=1, filesize=size))(folder)


def header(place: slice, value: bytes) -> Change:
    """Another value of a field in the first header of a shard."""
    return lambda folder: damage.edit_header(folder, place, value)


def before(data: bytes) -> Change:
    """Bytes before all others of a shard, as an extended header would lie there; the index counts them."""

    def change(folder: Path) -> None:
        damage.edit_bytes(folder, lambda shard: data + bytes(shard))
        offsets = np.frombuffer((folder / f"{SHARD}.idx").read_bytes(), INDEX_TYPE).astype(np.uint64) + len(data)
        index([0, *offsets[1:].tolist()])(folder)

    return change


def extended(kind: bytes, name: str, data: bytes) -> bytes:
    """A tar member of another type, such as a PAX header."""
    block = bytearray(member(name, data))
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block)


def picture(mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (64, 48)).save(file, "JPEG", **options)
    return file.getvalue()


def vast() -> bytes:
    """A JPEG whose header says 65,535 x 65,535 pixels."""
    data = bytearray(picture())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


def image(data: bytes) -> Change:
    """Other bytes in the place of a document's first image."""

    def change(folder: Path) -> None:
        name = f"{damage.first_key(folder)}.000.jpg"
        parts = [(one, data if one == name else old) for one, old in damage.members(folder)]
        damage.write_members(folder, parts)

    return change


def renamed(stem: str) -> Change:
    """Members, and the document's id and images, under another name."""

    def change(folder: Path) -> None:
        key = damage.first_key(folder)

        def other(name: str) -> str:
            return name.replace(key, stem)

        parts = damage.members(folder)
        wanted = [(other(n), d.replace(key.encode(), stem.encode()) if n == f"{key}.json" else d) for n, d in parts]
        damage.write_members(folder, wanted)

    return change


def many_shards(folder: Path) -> None:
    """A manifest that lists one shard under 2,000 names."""
    first = json.loads((folder / "manifest.json").read_bytes())["shards"][0]
    names = [first | {"file": f"data/train/shard-{n:06d}.tar"} for n in range(2000)]
    at("shards", names)(folder)


PATHS = {
    "absolute": "TWIN/data/train/shard-000000.tar",
    "dotdot": "../twin/data/train/shard-000000.tar",
    "dotdot_inside": "data/../../twin/data/train/shard-000000.tar",
    "dot": "./data/train/shard-000000.tar",
    "double_slash": "data//train/shard-000000.tar",
    "file_url": "file://TWIN/data/train/shard-000000.tar",
    "http_url": "http://127.0.0.1:9/shard-000000.tar",
    "null_byte": "data/train/shard-000000.tar\0",
    "empty": "",
    "folder": "data/train",
    "long": "data/" + "x" * 5000,
    "other_split": "data/val/shard-000000.tar",
    "other_digits": "data/train/shard-00000٠.tar",
    "line": "data/train/shard-000000.tar\n",
    "escape": "data/train/\x1b[2Jshard-000000.tar",
}

INDEX_FILES = ("wids-train.json", "data/train/sizes.json", ".nv-meta/.info.json", ".nv-meta/split.yaml", "README.md")
TABLE = SHARD.replace(".tar", ".parquet")
MAIN_FILES = ("manifest.json", SHARD, f"{SHARD}.idx")

NUMBERS: dict[str, Any] = {
    "negative": -1,
    "wider": 10**30,
    "digits": f"<raw {DIGITS}>",
    "nan": "<raw NaN>",
    "infinite": "<raw -Infinity>",
    "overflow": "<raw 1e999>",
    "null": None,
    "list": [1],
}

COUNTED_PLACES = (
    "shards.0.nimages",
    "shards.0.seconds",
    "shards.0.languages.en",
    "splits.train.nsamples",
    "splits.train.filesize",
    "provenance.funnel.0.kept",
)


def _with_twin(path: str) -> Change:
    return lambda folder: at("shards.0.file", path.replace("TWIN", str(folder.with_name("twin"))))(folder)


def refused() -> Iterator[tuple[str, Change]]:
    """Datasets that no command may read."""
    for name, path in PATHS.items():
        yield f"path-{name}", _with_twin(path)
    for file in MAIN_FILES:
        yield f"link-{file}", link(file, f"TWIN/{file}")
        for kind in ("folder", "pipe", "socket"):
            yield f"{kind}-{file}", special(file, kind)
        yield f"empty-{file}", replaced(file, b"")
    yield "link-data", link("data", "TWIN/data")
    yield "link-split", link("data/train", "TWIN/data/train")
    for place in ("shards.0.nsamples", "shards.0.filesize"):
        for kind, value in NUMBERS.items():
            yield f"{place}-{kind}", at(place, value)
    yield "shards-none", at("shards", [])
    yield "shards-twice", edit_manifest(lambda value: value["shards"].append(value["shards"][0]))
    yield "shards-many", many_shards
    yield "config-deep", at("provenance.config", {"x": "<raw " + "[" * 100_000 + "]" * 100_000 + ">"})
    yield "config-surrogate", at("provenance.config", {"x": '<raw "\\ud800">'})
    yield "manifest-list", replaced("manifest.json", b"[]")
    yield "manifest-null", replaced("manifest.json", b"null")
    yield "manifest-utf16", replaced("manifest.json", '{"schema": 1}'.encode("utf-16"))
    yield "manifest-errors", replaced("manifest.json", b'{"shards": [' + b"0," * 100_000 + b"0]}")
    yield "manifest-values", replaced("manifest.json", b'{"name": [' + b"[]," * 4_000_001 + b"0]}")
    yield "index-odd", replaced(f"{SHARD}.idx", b"\0" * 17)
    yield "index-backwards", index([0, 5120, 1024])
    yield "index-overlap", index([0, 512, 512])
    yield "index-wide", index([0, 1024, 2**64 - 1])
    yield "index-signed", index([0, 1024, 2**63])
    yield "index-billion", sparse(f"{SHARD}.idx", 8 * 10**9)
    yield "index-inside", index([0, 512, 1024])
    yield "terabyte-document", huge_document
    yield "zeros", lambda folder: (folder / SHARD).write_bytes(bytes((folder / SHARD).stat().st_size))
    yield "size-past-the-end", header(slice(124, 136), b"77777777777\0")
    yield "size-negative", header(slice(124, 136), b"-0000000001\0")
    yield "size-base-256", header(slice(124, 136), b"\x80" + b"\xff" * 11)
    yield "size-negative-base-256", header(slice(124, 136), b"\xff" * 12)
    yield "checksum", lambda folder: damage.edit_bytes(folder, lambda shard: shard.__setitem__(0, 1))
    yield "pax-size", before(extended(b"x", "pax", b"22 size=6442450944000\n"))
    yield "gnu-long-name", before(extended(b"L", "././@LongLink", b"a" * 4000))
    yield "gnu-sparse", before(extended(b"S", "sparse", b""))
    yield "document-list", content(b"[]")
    yield "document-not-json", content(b"{")
    yield "document-nested", content(b'{"texts":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    yield "document-digits", content(b'{"doc_start":' + DIGITS.encode() + b"}")
    yield "document-large", content(b'"' + b" " * (5 * 2**20) + b'"')
    yield "document-errors", content(b'{"texts":[' + b"0," * 100_000 + b"0]}")
    yield "document-texts", document(texts=1)
    yield "document-images", document(images={"a": 1})
    yield "document-times", document(image_time=[1.0])
    for key, value in {
        "image_time": ["x"],
        "image_text_index": [0],
        "image_clip_score": [None, None],
        "text_start": None,
        "text_source": [1, 2],
        "language": ["en"],
        "license": 5,
        "doc_end": "x",
    }.items():
        yield f"document-{key}", document(**{key: value})


def miscounted() -> Iterator[tuple[str, Change]]:
    """Datasets that no command may read but a trainer, who looks at neither counts nor provenance."""
    for place in COUNTED_PLACES:
        for kind in ("negative", "digits", "overflow"):
            yield f"{place}-{kind}", at(place, NUMBERS[kind])
    yield "splits-none", at("splits", {})
    yield "splits-empty-one", edit_manifest(lambda value: value["splits"].update(val=value["splits"]["train"]))
    yield "config-nan", at("provenance.config", {"write": {"x": "<raw NaN>"}})
    yield "max-images", at("max_images", 10**9)
    yield "name-long", at("name", "x" * 16_385)
    yield "language-long", at("shards.0.languages", {"x" * 16_385: 2})
    yield "languages-many", at("shards.0.languages", {f"l{n}": 1 for n in range(100_001)})
    yield "sizes-many", at("shards.0.image_sizes", {f"{1 + n // 999}x{1 + n % 999}": 1 for n in range(100_001)})
    yield "sizes-wrong", at("shards.0.image_sizes", {"640x0": 2})
    yield "histogram-nan", at("shards.0.images_per_document", {"nan": 1})
    yield "histogram-text", at("shards.0.images_per_document", {"x": 1})


def noticed() -> Iterator[tuple[str, Change]]:
    """Datasets that `validate` must find something in; whether the others can read them is theirs to say."""
    for file in (TABLE, *INDEX_FILES, "croissant.json", ".nv-meta/sample_loader.py"):
        yield f"secret-{file}", link(file, "../secret")
        yield f"twin-{file}", link(file, f"TWIN/{file}")
    for place in COUNTED_PLACES:
        for value in (0, 1, 10**18):
            yield f"{place}-{value}", at(place, value)
    for file in (TABLE, *INDEX_FILES):
        yield f"pipe-{file}", special(file, "pipe")
        yield f"sparse-{file}", sparse(file, 2**40)
    for file in (SHARD, f"{SHARD}.idx", TABLE, *INDEX_FILES):
        yield f"missing-{file}", lambda folder, file=file: (folder / file).unlink()  # type: ignore[misc]
    yield "link-meta", link(".nv-meta", "TWIN/.nv-meta")
    yield "link-surplus", lambda folder: (folder / "data/more").symlink_to(folder.with_name("twin"))
    yield "loader", lambda folder: (folder / ".nv-meta/sample_loader.py").write_text("import os\n")
    for name, text in {
        "aliases": "a: &a [1]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(50)),
        "hex": "split_parts: 0x" + "f" * 9000,
        "twice": "split_parts: {}\nsplit_parts: {}\nexclude: []\n",
        "deep": "[" * 10_000,
        "date": "split_parts: 2001-99-99",
        "tag": "split_parts: !!python/object/apply:os.system [id]",
    }.items():
        yield f"yaml-{name}", replaced(".nv-meta/split.yaml", text.encode())
        yield f"card-{name}", replaced("README.md", f"---\n{text}\n---\n".encode())
    for name, data in {
        "deep": b"[" * 100_000,
        "digits": b'{"name": ' + DIGITS.encode() + b"}",
        "surrogate": b'{"name": "\\ud800"}',
        "nan": b'{"name": NaN}',
    }.items():
        yield f"json-{name}", replaced("wids-train.json", data)
    yield (
        "json-twice",
        lambda folder: (folder / "wids-train.json").write_text(
            (folder / "wids-train.json").read_text().replace("{", '{"name": "other",', 1)
        ),
    )
    yield (
        "manifest-twice",
        lambda folder: (folder / "manifest.json").write_text(
            (folder / "manifest.json").read_text().replace("{", '{"name": "other",', 1)
        ),
    )
    yield "croissant-nested", replaced("croissant.json", b'{"distribution": [{"contentUrl": ' + b"[" * 150 + b"]" * 150)
    for kind in b"123456":
        yield f"typeflag-{kind}", header(slice(156, 157), bytes([kind]))
    yield "no-trailer", lambda folder: damage.write_raw(folder, (folder / SHARD).read_bytes()[:5120], end=b"")
    yield "appended", lambda folder: damage.edit_bytes(folder, lambda shard: bytes(shard) + member("a.json", b"{}"))
    yield "trailer-twice", lambda folder: damage.edit_bytes(folder, lambda shard: bytes(shard) + trailer(0))
    yield "image-vast", image(vast())
    yield "image-progressive", image(picture(progressive=True))
    yield "image-cmyk", image(picture("CMYK"))
    yield "image-text", image(b"<svg/>")
    yield "image-empty", image(b"")
    yield "image-cut", image(picture()[:20])
    yield "name-dotdot", renamed("../../../evil")
    yield "name-absolute", renamed("/tmp/evil")
    yield "name-escape", renamed("\x1b[2J")
    yield "images-too-many", lambda folder: damage.edit_document(folder, lambda one: one["images"].append("x"))
    yield "entries", document(texts=[None] * 10**6, images=[None] * 10**6)
    yield "texts", lambda folder: damage.edit_document(folder, many_texts)
    yield "time-wide", document(doc_end=1e308)
    yield "twice-key", lambda folder: content(_doubled(folder))(folder)


def many_texts(one: dict[str, Any]) -> None:
    """3,000 sentences, which all start at once."""
    texts, images = len(one["text_start"]), len(one["image_time"])
    more = 3000
    one["texts"] += ["a"] * more
    one["images"] += [None] * more
    one["text_start"] += [one["doc_end"]] * more
    one["text_end"] += [one["doc_end"]] * more
    one["text_source"] += ["asr"] * more
    one["text_words"] += [0] * more
    assert (texts, images) == (2, 2)


def _doubled(folder: Path) -> bytes:
    """A document with a key twice."""
    data = dict(damage.members(folder))[f"{damage.first_key(folder)}.json"]
    return data.replace(b"{", b'{"title":"other",', 1)


REFUSED, MISCOUNTED, NOTICED = dict(refused()), dict(miscounted()), dict(noticed())
