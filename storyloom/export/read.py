"""Documents of a finished dataset, one at a time, in the order of its shards."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storyloom.export.interleave import with_frames_among_words
from storyloom.export.texts import with_texts
from storyloom.format.interleave import AS_STORED, Interleaving
from storyloom.format.reader import ShardReader
from storyloom.format.sample import Sample
from storyloom.format.shard import Shard
from storyloom.format.stored import BadShard
from storyloom.format.texts import Texts
from storyloom.format.tokens import neutralised, special_token

MOST_REPEATED = 10_000_000
"""Images times texts of a document, and characters of its URL times its positions (our choice): MMC4 has a number for
each pair, OBELICS the URL at each position."""

SHORTER = "Write it in shorter documents, with a smaller `write.max_images`"


@dataclass(frozen=True)
class SourceDocument:
    """One document with its images, as an export takes it from a shard.

    Attributes:
        shard: Stem of the shard's file name, e.g. ``shard-000000``; unique within a split.
        sample: `KEY.json`, checked, with the texts that are exported, and its images where they are to stand.
        content: `KEY.json` as the shard has it, byte for byte unless its texts held special tokens of trainers.
        jpegs: The images, in the order of `sample.pictures`.
        codes: Files of their discrete codes, in the same order; empty in a dataset without them.
        row: Number among the rows that the document was cut into.
        rows: How many these are; `content` is the whole document's.
    """

    shard: str
    sample: Sample
    content: bytes
    jpegs: list[bytes]
    row: int = 0
    rows: int = 1
    codes: Sequence[bytes] = ()

    @property
    def key(self) -> str:
        """The document's key."""
        return self.sample.sample_id

    @property
    def metadata(self) -> str:
        """All metadata of the document as the shard has it: the JSON of `KEY.json`."""
        return self.content.decode()


def documents(
    output: str | os.PathLike[str], shards: Iterable[Shard], texts: Texts = "text", how: Interleaving = AS_STORED
) -> Iterator[SourceDocument]:
    """The documents of these shards. A few documents are in memory at a time, never a shard.

    A document in which none of the wanted texts stands is left out.

    Args:
        output: Folder of the finished dataset, or its URL.
        shards: As its manifest lists them.
        texts: Which texts they are to have.
        how: Where their frames are to stand.

    Raises:
        BadShard: A shard cannot be read, breaks the format, or has more or fewer documents, images, codes or sounds
            than the manifest says; or a document is small here and vast in another format.
    """
    reader = ShardReader(output, walk=True)
    for shard in shards:
        nimages = 0
        for stored in reader.documents(shard):
            sample, content = _neutralised(stored.sample(), stored.content)
            stored.check_beside(len(sample.pictures), len(sample.spoken))
            sample = with_frames_among_words(with_texts(sample, texts), how)
            if flaw := _size_flaw(sample):
                raise BadShard.at(stored.shard, f"document {stored.number}", flaw, SHORTER)
            jpegs = stored.pictures(sample)
            nimages += len(jpegs)
            codes = [data for _, data in sorted(stored.codes.items())]
            if sample.spoken:
                yield SourceDocument(Path(shard.file).stem, sample, content, jpegs, codes=codes)
        if nimages != shard.nimages:
            flaw = f"it has {nimages} images, but manifest.json says {shard.nimages}"
            raise BadShard.at(f"{reader.folder.address}/{shard.file}", "", flaw)


def _size_flaw(sample: Sample) -> str:
    """Why a document is too large for another format; empty when it is not."""
    images, texts = len(sample.pictures), len(sample.spoken)
    if max(images * texts, (images + texts) * len(sample.video_url)) <= MOST_REPEATED:
        return ""
    return (
        f"it has {images} images and {texts} texts, of a URL of {len(sample.video_url)} characters: too many to export"
    )


def _neutralised(sample: Sample, content: bytes) -> tuple[Sample, bytes]:
    """A document, and its JSON, without the special tokens of trainers that version 1 of the format let through."""
    if not any(map(special_token, sample.spoken)):
        return sample, content
    texts = [None if text is None else neutralised(text) for text in sample.texts]
    sample = sample.model_copy(update={"texts": texts})
    return sample, sample.to_json_bytes()


def positions(sample: Sample) -> Iterator[dict[str, Any]]:
    """The metadata of each position, an image or a text, in order."""
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
                "caption": sample.image_caption[image],
                "fused": sample.image_fused[image],
                "fuse_status": sample.image_fuse_status[image],
            }
            image += 1
        else:
            times = {"start": sample.text_start[text], "end": sample.text_end[text]}
            yield {**times, "source": sample.text_source[text], "words": sample.text_words[text]}
            text += 1
