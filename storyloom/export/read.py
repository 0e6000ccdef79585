"""Documents of a finished dataset, one at a time, in the order of its shards."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storyloom.errors import RunFailed
from storyloom.format.sample import Sample, refusal
from storyloom.format.shard import Shard


class ShardUnreadable(RunFailed):
    """A shard is gone, damaged, or does not hold what the manifest says."""


@dataclass(frozen=True)
class Document:
    """One document with its images.

    Attributes:
        shard: Stem of the shard's file name, e.g. ``shard-000000``; unique within a split.
        sample: `KEY.json`, checked.
        content: `KEY.json` byte for byte.
        jpegs: The images, in the order of `sample.pictures`.
    """

    shard: str
    sample: Sample
    content: bytes
    jpegs: list[bytes]

    @property
    def key(self) -> str:
        """The document's key."""
        return self.sample.sample_id

    @property
    def metadata(self) -> str:
        """Everything that is known of the document, as the shard has it: the JSON of `KEY.json`."""
        return self.content.decode()


def documents(output: Path, shards: Iterable[Shard]) -> Iterator[Document]:
    """The documents of these shards. One document is in memory at a time, never a shard.

    Args:
        output: Folder of the finished dataset.
        shards: As its manifest lists them.

    Raises:
        ShardUnreadable: A shard cannot be read, breaks the format, or has more or fewer documents or images than the
            manifest says.
    """
    for shard in shards:
        nsamples = nimages = 0
        for document in _of_shard(output / shard.file):
            nsamples += 1
            nimages += len(document.jpegs)
            yield document
        if (nsamples, nimages) != (shard.nsamples, shard.nimages):
            found = f"{nsamples} documents and {nimages} images"
            expected = f"{shard.nsamples} documents and {shard.nimages} images"
            raise ShardUnreadable(f"{output / shard.file} holds {found}, but manifest.json says {expected}. {_MEND}")


_MEND = "Run the pipeline again with `--only write --force`, or fetch the shard again."


def _of_shard(path: Path) -> Iterator[Document]:
    try:
        with tarfile.open(path, "r:") as tar:
            members = ((info.name, _content(tar, info)) for info in _forgetting(tar))
            yield from _grouped(path.stem, members)
    except (OSError, tarfile.TarError) as problem:
        raise ShardUnreadable(f"{path} cannot be read ({problem}). {_MEND}") from problem


def _forgetting(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Members in order; tarfile keeps a list of all it has seen, which grows with the shard."""
    for info in tar:
        tar.members = []  # type: ignore[attr-defined]
        yield info


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    content = b"" if file is None else file.read()
    if len(content) != info.size:
        raise tarfile.ReadError(f"{info.name} ends early")
    return content


def _grouped(shard: str, members: Iterator[tuple[str, bytes]]) -> Iterator[Document]:
    for name, content in members:
        if not name.endswith(".json"):
            raise ShardUnreadable(f"{shard}: {name} belongs to no document: KEY.json comes before its images")
        sample = _sample(name, content)
        jpegs = []
        for wanted in sample.pictures:
            found, jpeg = next(members, ("nothing", b""))
            if found != wanted:
                raise ShardUnreadable(f"{shard}: {wanted} should follow, but {found} does. {_MEND}")
            jpegs.append(jpeg)
        yield Document(shard, sample, content, jpegs)


def _sample(name: str, content: bytes) -> Sample:
    try:
        return Sample.model_validate_json(content)
    except ValidationError as error:
        raise ShardUnreadable(str(refusal(name, error))) from error


def positions(sample: Sample) -> Iterator[dict[str, Any]]:
    """What is known of each position, in order: of an image or of a text."""
    image = text = 0
    for name in sample.images:
        if name is not None:
            yield {
                "image": name,
                "time": sample.image_time[image],
                "width": sample.image_width[image],
                "height": sample.image_height[image],
                "text_index": sample.image_text_index[image],
                "clip_score": sample.image_clip_score[image],
                "shift": sample.image_shift[image],
            }
            image += 1
        else:
            times = {"start": sample.text_start[text], "end": sample.text_end[text]}
            yield {**times, "source": sample.text_source[text]}
            text += 1
