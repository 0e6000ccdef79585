"""Runs a snippet of the dataset card and writes down what the consumer saw, in whatever environment has the consumer.

Usage: ``python collect.py CONSUMER SNIPPET SEEN``. `SEEN` becomes a JSON object by document key; each value has
``texts`` (by position, null where an image stands), ``sizes`` (width and height of every image, decoded) and, where the
consumer hands them out, ``image_time``, ``text_start``, ``image_caption``, ``words`` and ``sounds`` (the bytes of each
text's sound). Imports nothing of storyloom.
"""

from __future__ import annotations

import io
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

Seen = dict[str, Any]


def seen(document: dict[str, Any], sizes: list[list[int]], members: Any = None, prefix: str = "") -> tuple[str, Seen]:
    """What was seen of a document that came with its whole JSON, and of the members that came with it."""
    sounds = [f"{prefix}t{number:03d}.opus" for number in range(len(document["text_start"]))]
    there = [name for name in sounds if members is not None and members.get(name) is not None]
    return document["sample_id"], {
        "texts": document["texts"],
        "sizes": sizes,
        **{name: document[name] for name in ("image_time", "text_start", "image_caption", "words")},
        "sounds": [len(bytes_of(members[name])) for name in there],
    }


def bytes_of(member: Any) -> bytes:
    """A member that nothing decoded; wids gives it as a file."""
    content: bytes = member if isinstance(member, bytes) else member.read()
    return content


def parts(document: dict[str, Any]) -> list[str]:
    """How readers that cut the key off call a document's images."""
    return [name.split(".", 1)[1] for name in document["images"] if name is not None]


def size_of(jpeg: bytes) -> list[int]:
    from PIL import Image

    return list(Image.open(io.BytesIO(jpeg)).convert("RGB").size)


def webdataset(scope: dict[str, Any]) -> Iterator[tuple[str, Seen]]:
    for sample in scope["documents"]:
        yield seen(sample["json"], [list(sample[part].size) for part in parts(sample["json"])], sample)


def wids(scope: dict[str, Any]) -> Iterator[tuple[str, Seen]]:
    documents = scope["documents"]
    for position in reversed(range(len(documents))):
        sample = documents[position]
        yield seen(sample[".json"], [list(sample[f".{part}"].size) for part in parts(sample[".json"])], sample, ".")


def datasets(scope: dict[str, Any]) -> Iterator[tuple[str, Seen]]:
    for row in scope["documents"]:
        assert sum(name.endswith(".jpg") and image is not None for name, image in row.items()) == len(
            parts(row["json"])
        )
        yield seen(row["json"], [list(row[part].size) for part in parts(row["json"])], row)


def energon(scope: dict[str, Any]) -> Iterator[tuple[str, Seen]]:
    for sample in scope["documents"]:
        images = [item for item in sample.sequence if not isinstance(item, str)]
        texts = [item if isinstance(item, str) else None for item in sample.sequence]
        yield sample.__key__, {"texts": texts, "sizes": [list(image.shape[:0:-1]) for image in images]}


def energon_with_times(scope: dict[str, Any]) -> Iterator[tuple[str, Seen]]:
    for sample in scope["documents"]:
        key, found = seen(sample.content, [list(image.shape[:0:-1]) for image in sample.images])
        del found["sounds"]  # the snippet leaves them behind
        yield key, found


def nemo_curator(scope: dict[str, Any]) -> Iterator[tuple[str, Seen]]:
    for batch in scope["documents"]:
        rows = batch.to_pyarrow().to_pylist()
        assert not [row["materialize_error"] for row in rows if row["materialize_error"]]
        by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            if row["modality"] != "metadata":
                by_key[row["sample_id"]].append(row)
        for key, content in by_key.items():
            assert [row["position"] for row in content] == list(range(len(content)))
            images = [row for row in content if row["modality"] == "image"]
            yield (
                key,
                {
                    "texts": [row["text_content"] for row in content],
                    "sizes": [size_of(row["binary_content"]) for row in images],
                    "image_time": [row["image_time"] for row in images],
                    "text_start": [row["text_start"] for row in content if row["modality"] == "text"],
                },
            )


def ray_data(scope: dict[str, Any]) -> Iterator[tuple[str, Seen]]:
    for row in scope["documents"].iter_rows():
        document = json.loads(row["json"])
        # A column that another document of the block has is there, too, without bytes.
        assert sum(name.endswith("jpg") and isinstance(image, bytes) for name, image in row.items()) == len(
            parts(document)
        )
        yield seen(document, [size_of(row[part]) for part in parts(document)], row)


def mlcroissant(scope: dict[str, Any]) -> Iterator[tuple[str, Seen]]:
    images = {record["images/name"].decode(): record["images/image"] for record in scope["images"]}
    dataset = scope["dataset"]
    has_sound = any(one.id == "sounds" for one in dataset.metadata.record_sets)
    heard = dataset.records("sounds") if has_sound else []
    sounds = {record["sounds/name"].decode(): record["sounds/sound"] for record in heard}
    for record in scope["documents"]:
        document = json.loads(record["documents/document"])
        assert record["documents/sample_id"].decode() == document["sample_id"]
        key = document["sample_id"]
        members = {name.removeprefix(f"{key}."): sound for name, sound in sounds.items() if name.startswith(f"{key}.")}
        yield seen(document, [list(images[name].size) for name in document["images"] if name is not None], members)


COLLECT: dict[str, Callable[[dict[str, Any]], Iterable[tuple[str, Seen]]]] = {
    "webdataset": webdataset,
    "wids": wids,
    "Hugging Face datasets": datasets,
    "Megatron-Energon": energon,
    "Megatron-Energon, with times": energon_with_times,
    "NeMo Curator": nemo_curator,
    "Ray Data": ray_data,
    "mlcroissant": mlcroissant,
}


def main(consumer: str, snippet: str, target: str) -> None:
    """Run the snippet and write what was seen."""
    module = ModuleType("snippet")
    sys.modules[module.__name__] = module  # where pickle looks for the snippet's classes
    exec(compile(Path(snippet).read_text(encoding="utf-8"), snippet, "exec"), module.__dict__)
    found = list(COLLECT[consumer](module.__dict__))
    assert len({key for key, _ in found}) == len(found), "a document came twice"
    Path(target).write_text(json.dumps(dict(found)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
