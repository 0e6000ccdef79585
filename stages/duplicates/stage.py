"""duplicates: videos with the same content under several names, found by hash over the whole corpus."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from typing import IO, Annotated

from schemas.config import OPERATIONAL, Resources, StageConfig
from schemas.duplicates import Duplicates
from schemas.media import MediaRow
from schemas.row import Row
from stages.base import CorpusStep, Input, Video

SHARES = 64
"""Files among which the corpus is shared out by hash; one of them is in memory at a time (our choice)."""


class ContentRow(Row):
    """What a video holds.

    Attributes:
        content: SHA-256 of its file, and its times in that: a clip may be the whole.
        source_id: The manifest's id.
    """

    content: str = ""
    source_id: str = ""


class DuplicatesConfig(StageConfig):
    """Finding duplicates has no settings; `filter.duplicates` says what becomes of them."""

    resources: Annotated[Resources, OPERATIONAL] = Resources(cpus=0.25)


class FindDuplicates(CorpusStep[DuplicatesConfig, ContentRow, Duplicates]):
    """Of videos with the same content, the one that was planned first is kept, also when the manifest grows.

    It is chosen when all are downloaded: where a later stage drops it, or it fails there, the others stay left out.
    """

    name = "duplicates"
    version = 2
    reads = (Input("download", files=False),)
    manifest_fields = ("source_id",)
    row = ContentRow
    result = Duplicates
    told = True
    Config = DuplicatesConfig

    def one(self, video: Video) -> ContentRow:
        media = video[MediaRow]
        times = f"@{media.clip_start:.3f}+{media.duration:.3f}"
        return ContentRow(video=video.key, content=f"{media.sha256}{times}", source_id=video.manifest.source_id)

    def reduce(self, rows: Iterable[ContentRow]) -> Duplicates:
        """Memory grows with the duplicates, and with a share of the corpus."""
        kept: dict[str, str] = {}
        with ExitStack() as files:
            shares = [files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(SHARES)]
            for row in rows:
                line = json.dumps([row.content, row.video, row.source_id])
                shares[int(row.content[:2], 16) % SHARES].write(f"{line}\n")
            for share in shares:
                kept.update(_later_ones(share))
        return Duplicates(same_as=dict(sorted(kept.items())))

    @classmethod
    def seen_by(cls, result: Duplicates, videos: Collection[str]) -> Duplicates:
        return Duplicates(same_as={video: result.same_as[video] for video in videos if video in result.same_as})


def _later_ones(share: IO[str]) -> Iterator[tuple[str, str]]:
    """The videos whose content an earlier one has, each with the id of that."""
    first: dict[str, str] = {}
    share.seek(0)
    for line in share:
        content, video, source_id = json.loads(line)
        if content in first:
            yield video, first[content]
        else:
            first[content] = source_id
