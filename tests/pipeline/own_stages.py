"""Stages of a user's own, as a module that a config names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Annotated

from schemas.config import OPERATIONAL, StageConfig
from schemas.media import MediaRow
from schemas.row import Row
from stages.base import CorpusStep, Input, Stage, Video, VideoDropped, VideoFailed
from storyloom.format.model import Model


class SizeConfig(StageConfig):
    """Attributes: unit: Bytes of a unit; pause: Seconds of nothing."""

    unit: int = 1
    pause: Annotated[float, OPERATIONAL] = 0.0


class SizeRow(Row):
    """Attributes: units: Size of the media file."""

    units: int = 0

    def counts(self) -> dict[str, int]:
        return {"units": self.units}


class DigitRow(Row):
    """Attributes: digit: One of the digits of the size, the first one first."""

    digit: int = 0


class Size(Stage[SizeConfig, SizeRow]):
    """Says how large a file is; and in a table of its own, each digit of that."""

    name = "size"
    version = 1
    reads = (Input("download"),)
    row = SizeRow
    tables = {"digits": DigitRow}
    Config = SizeConfig

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        for video in videos:
            row = self.guarded(video)
            yield row
            if isinstance(row, SizeRow) and row.live:
                yield from (DigitRow(video=video.key, digit=int(digit)) for digit in str(row.units))

    def one(self, video: Video) -> SizeRow:
        return SizeRow(video=video.key, units=video[MediaRow].size // self.config.unit)


class HintConfig(StageConfig):
    """An optional stage's section."""

    enabled: Annotated[bool, OPERATIONAL] = False


class HintRow(Row):
    """Attributes: hint: What to add."""

    hint: int = 0


class Hint(Stage[HintConfig, HintRow]):
    """Is off by default."""

    name = "hint"
    version = 1
    reads = (Input("size", table="digits"),)
    row = HintRow
    Config = HintConfig

    def one(self, video: Video) -> HintRow:
        return HintRow(video=video.key, hint=sum(row.digit for row in video.all(DigitRow)))


class TotalConfig(StageConfig):
    """No settings."""


class Total(Model):
    """Attributes: videos: How many; units: Of all."""

    videos: int
    units: int


class Sum(CorpusStep[TotalConfig, SizeRow, Total]):
    """Adds up all sizes."""

    name = "sum"
    version = 1
    reads = (Input("size"),)
    row = SizeRow
    result = Total
    whole = True
    Config = TotalConfig

    def one(self, video: Video) -> SizeRow:
        return video[SizeRow]

    def reduce(self, rows: Iterable[SizeRow]) -> Total:
        sizes = [row.units for row in rows]
        return Total(videos=len(sizes), units=sum(sizes))


class ShareRow(Row):
    """Attributes: percent: Of all units; hinted: With the hint's digits, -1 where that stage is off."""

    percent: float = 0.0
    hinted: int = -1


class Share(Stage[StageConfig, ShareRow]):
    """Reads a result over the corpus, a row, and an optional row."""

    name = "share"
    version = 1
    reads = (Input("size"), Input("sum"), Input("hint", optional=True))
    row = ShareRow
    Config = StageConfig

    def one(self, video: Video) -> ShareRow:
        units = video[SizeRow].units
        if units == 0:
            raise VideoDropped("no_units")
        if units < 0:
            raise VideoFailed("negative", "a file has no negative size")
        total = self.context.result("sum", Total)
        hinted = video[HintRow].hint if video.has(HintRow) else -1
        return ShareRow(video=video.key, percent=round(100 * units / total.units, 4), hinted=hinted)


class NeedyConfig(StageConfig):
    """Nothing to set."""


class NeedyRow(Row):
    """Holds nothing."""


class Needy(Stage[NeedyConfig, NeedyRow]):
    """Needs what no machine has."""

    name = "needy"
    version = 1
    reads = (Input("download"),)
    row = NeedyRow
    Config = NeedyConfig

    def missing(self, urls: Collection[str]) -> list[str]:
        return ["a map of the moon is missing: draw one"]

    def one(self, video: Video) -> NeedyRow:
        return NeedyRow(video=video.key)
