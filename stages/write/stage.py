"""write: documents into shards, shuffled inside a group of parts, cut into files of the target size and a rest."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import IO, Annotated, NamedTuple

from pydantic import Field, StringConstraints

from schemas.config import OPERATIONAL, StageConfig
from schemas.manifest import ManifestRow
from schemas.media import MediaRow
from schemas.rows import AlignedRow, CaptionsRow, CodesRow, DocumentDraft, DocumentsRow, FramesRow, FusedRow, SoundsRow
from stages.base import Context, GroupStage, Input, StageSetupError, Video
from stages.models.revision import library_versions
from stages.write.additions import NOTHING, Additions, codes_of, sounds_of
from stages.write.document import to_sample
from storyloom.errors import UsageError
from storyloom.format.codes import codes_shape
from storyloom.format.counts import Counts
from storyloom.format.items import Items
from storyloom.format.layout import items_name
from storyloom.format.model import Model
from storyloom.format.sample import FormatError
from storyloom.format.shard import SPLITS, Shard, ShardDocument, Split, rest_file, shard_numbers, write_shard
from storyloom.format.tar import MAX_DOCUMENT, MAX_SAMPLE, sample_bytes
from storyloom.format.tokenizer import TextTokenizer, tokenizer_sha256

UNWRITTEN = ("frame_times", "pairs", "null_pairs", "null_texts", "null_text_pairs")
"""Columns of an `AlignedRow` that no document holds."""


class VideoDocuments(NamedTuple):
    """A video as it is written.

    Attributes:
        manifest: Its line of the manifest.
        row: Its documents.
        frames: Loads its frames.
        media: What `download` knows of it, with what its site says; None where nothing is known.
        additions: What optional stages say of it.
    """

    manifest: ManifestRow
    row: DocumentsRow
    frames: Callable[[], FramesRow]
    media: MediaRow | None = None
    additions: Additions = NOTHING


class WriteConfig(StageConfig):
    """Settings of the shards.

    Attributes:
        name: The dataset's name, for its card and indexes.
        shard_bytes: Bytes of a shard (WebDataset's advice is 256 MB to 1 GB). Documents are not split, so a shard
            misses this by up to half of its largest document: by less than 5 % where documents are under a tenth of
            it. Each split's last shard is smaller.
        max_images: Most images of a document, fixed for the dataset (OBELICS: 30): Hugging Face silently drops
            images beyond the number that the card declares.
        val_share: Share of the videos that go to the validation split, 0 to 1; chosen by a hash of the file's content,
            so that no video is in two splits, under whatever names and in whatever clips, and a growing manifest moves
            none.
        tokenizer: A `tokenizer.json`, or a folder that holds one, by which the tokens of the texts are counted, for
            packing and for `storyloom tokens`; empty counts none. Its content enters the stage's key, not its path.
        words: Whether documents hold the times of single words, too, in `words`, `word_start`, `word_end` and
            `text_words`.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$"), OPERATIONAL] = "storyloom"
    shard_bytes: Annotated[int, Field(gt=0, le=2**40)] = 512 * 2**20
    max_images: Annotated[int, Field(ge=1, le=1000), OPERATIONAL] = 30
    val_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    words: bool = False
    tokenizer: Annotated[str, OPERATIONAL] = ""

    @property
    def packages(self) -> tuple[str, ...]:
        return ("tokenizers",) if self.tokenizer else ()


class GroupShards(Model):
    """The result of a group: its shards, training shards first."""

    shards: list[Shard]


class Write(GroupStage[WriteConfig, GroupShards]):
    """Writes the documents of a group's videos; `storyloom run` publishes the shards of all groups as one dataset."""

    name = "write"
    version = 6
    reads = (
        Input("filter"),
        Input("sample"),
        Input("download", files=False),
        Input("caption", optional=True),
        Input("fuse", optional=True),
        Input("sound", optional=True),
        Input("tokenize", optional=True),
    )
    manifest_fields = ("published_url", "source_id", "title", "license", "extra", "start")
    seeded = True
    result = GroupShards
    Config = WriteConfig

    def __init__(self, config: WriteConfig, context: Context) -> None:
        super().__init__(config, context)
        self._tokenizer: TextTokenizer | None = None

    @classmethod
    def inputs(cls, config: WriteConfig) -> tuple[Input, ...]:
        return (*cls.reads, Input("align", without=UNWRITTEN)) if config.words else cls.reads

    @classmethod
    def check(cls, sections: Mapping[str, StageConfig]) -> None:
        """Check that the dataset's card declares at least as many images as documents may have."""
        most, declared = getattr(sections["filter"], "max_images", 0), getattr(sections["write"], "max_images", 0)
        if most > declared:
            raise ValueError(
                f"filter.max_images ({most}) is over write.max_images ({declared}), the number of images that the"
                " dataset's card declares"
            )

    def revision(self) -> str:
        if not self.config.tokenizer:
            return ""
        try:
            return f"tokenizer sha256:{tokenizer_sha256(self.config.tokenizer)}, {library_versions('tokenizers')}"
        except UsageError as reason:
            raise StageSetupError(f"write.tokenizer: {reason}") from None

    def setup(self) -> None:
        try:
            self._tokenizer = TextTokenizer(self.config.tokenizer) if self.config.tokenizer else None
        except UsageError as reason:
            raise StageSetupError(f"write.tokenizer: {reason}") from None

    def write(self, videos: Iterable[Video], folder: Path) -> GroupShards:
        documents = (self._documents(video) for video in videos if video[DocumentsRow].documents)
        shards = write_group(documents, folder, self.config, self.context.seed, self._tokenizer)
        return GroupShards(shards=shards)

    def _documents(self, video: Video) -> VideoDocuments:
        return VideoDocuments(
            video.manifest,
            video[DocumentsRow],
            partial(video.__getitem__, FramesRow),
            video[MediaRow],
            Additions(
                captions=video[CaptionsRow] if video.has(CaptionsRow) else None,
                fusions=video[FusedRow] if video.has(FusedRow) else None,
                aligned=video[AlignedRow] if self.config.words else None,
                sounds=partial(video.__getitem__, SoundsRow) if video.has(SoundsRow) else None,
                codes=partial(video.__getitem__, CodesRow) if video.has(CodesRow) else None,
            ),
        )

    @staticmethod
    def files(result: GroupShards) -> dict[str, str]:
        tables = {items_name(shard.file): shard.items_sha256 for shard in result.shards}
        return {shard.file: shard.sha256 for shard in result.shards} | tables


@dataclass(frozen=True)
class SpoolEntry:
    """A document's tar members in the spool file, its counts, and its row of the table of items.

    Attributes:
        key: The sample's key.
        split: Its split.
        offset: Bytes from the start of the spool.
        size: Bytes.
        counts: Its counts.
        items: Its row.
    """

    key: str
    split: Split
    offset: int
    size: int
    counts: Counts
    items: Items


def write_group(
    videos: Iterable[VideoDocuments],
    folder: Path,
    config: WriteConfig,
    seed: int,
    tokenizer: TextTokenizer | None = None,
) -> list[Shard]:
    """Write the documents of a group's videos as shards into `folder`, training shards first.

    Every shard has about the target size except each split's last one, the rest, whose file is named `rest_file`. The
    bytes depend on the documents, the config and the seed, not on the order of the videos. The JPEGs and
    sounds of at most one video are in memory. No shard is written unless every document of the group is valid.

    Raises:
        FormatError: A document breaks a rule of the shard format.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as spool:
        documents = _shuffled(_spool(videos, spool, config, tokenizer), seed)
        shards: list[Shard] = []
        for split in SPLITS:
            of_split = [document for document in documents if document.split == split]
            numbers = list(shard_numbers((document.size for document in of_split), config.shard_bytes))
            for number, some in groupby(zip(numbers, of_split, strict=True), key=lambda numbered: numbered[0]):
                name = rest_file(split) if number == numbers[-1] else f"{split}-{number:06d}.tar"
                written = (_stored(spool, document) for _, document in some)
                shards.append(write_shard(folder / name, split, written, tokenizer.sha256 if tokenizer else ""))
    return shards


def split_of(content: str, val_share: float) -> Split:
    """The split of all documents of this content: the hash of a file, or a video's key where that is unknown."""
    place = int.from_bytes(hashlib.sha256(f"split|{content}".encode()).digest()[:8], "big") / 2**64
    return "val" if place < val_share else "train"


def _spool(
    videos: Iterable[VideoDocuments], spool: IO[bytes], config: WriteConfig, tokenizer: TextTokenizer | None
) -> Iterator[SpoolEntry]:
    seen: set[str] = set()
    for manifest, row, load_frames, media, additions in videos:
        sounds = additions.sounds() if additions.sounds and row.documents else None
        codes = additions.codes() if additions.codes and row.documents else None
        if (sounds and not sounds.live) or (codes and not codes.live):
            continue
        if manifest.video != row.video:
            raise FormatError(manifest.video, "wrong_row", f"its documents are those of video {row.video}")
        frames = load_frames() if row.documents else FramesRow(video=row.video)
        for document in row.documents:
            key = f"{manifest.video}-{document.number:04d}"
            if key in seen:
                raise FormatError(key, "duplicate_key", "two documents have this key: is the video listed twice?")
            seen.add(key)
            images = _images(key, document, frames)
            sample = to_sample(key, manifest, row, document, images, config.max_images, media, additions)
            content = sample.to_json_bytes()
            heard = sounds_of(key, document, sounds) if sounds else []
            drawn = codes_of(key, document, codes) if codes else []
            shapes = [codes_shape(one) for one in drawn]
            members = sample_bytes(key, content, images, heard, drawn)
            if len(content) > MAX_DOCUMENT or len(members) > MAX_SAMPLE:  # no reader would take it
                lower = "lower write.max_images, filter.max_words, sound.bitrate or tokenize.max_side"
                message = f"it has {len(members)} bytes: {lower}"
                raise FormatError(key, "member_size", message)
            tokens = tokenizer.count(sample.spoken) if tokenizer else []
            offset = spool.tell()
            spool.write(members)
            yield SpoolEntry(
                key=key,
                split=split_of(media.sha256 if media else manifest.video, config.val_share),
                offset=offset,
                size=len(members),
                counts=Counts.of(sample, len(heard), sum(tokens), sum(rows * columns for rows, columns in shapes)),
                items=Items.of(sample, tokens, shapes),
            )


def _images(key: str, document: DocumentDraft, frames: FramesRow) -> list[bytes]:
    """The JPEGs of a document's frames, each checked against the time in the document."""
    for frame in document.frames:
        if not 0 <= frame.frame < len(frames.frames):
            message = f"frame {frame.frame} is not among the video's {len(frames.frames)} frames"
            raise FormatError(key, "frame_index", message)
        if frames.frames[frame.frame].time != frame.time:
            shown = frames.frames[frame.frame].time
            message = f"frame {frame.frame} is shown at {shown} s, the document has it at {frame.time} s"
            raise FormatError(key, "frame_time", f"{message}: `sample` was done again since; run from `align` on")
    return [frames.jpegs[frame.frame] for frame in document.frames]


def _shuffled(documents: Iterable[SpoolEntry], seed: int) -> list[SpoolEntry]:
    def place(document: SpoolEntry) -> tuple[bytes, str]:
        return hashlib.sha256(f"{seed}|{document.key}".encode()).digest(), document.key

    return sorted(documents, key=place)


def _stored(spool: IO[bytes], document: SpoolEntry) -> ShardDocument:
    spool.seek(document.offset)
    return ShardDocument(spool.read(document.size), document.counts, document.items)
