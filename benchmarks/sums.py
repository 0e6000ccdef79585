"""The sums of docs/scale.md: `python -m benchmarks.sums` prints its tables, and a test holds the page against them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

VIDEOS, MINUTES = 10**8, 10
"""The list: how many videos, and how long they are."""

GROUP = 64
"""`parts.group`, its default."""

STAGES = 7
"""Stages that do every part: download, duplicates, transcribe, sample, align, score, filter."""

FILES, GROUP_FILES = 2, 4
"""Files of a part in a stage, its table and its mark, and of a group in `write`; as `plan --estimate` counts them."""

PUT, LIST, GET, HEAD = 2.6, 1.4, 9.0, 2.3
"""Requests for a part in a stage, by `python -m benchmarks.requests`."""

WRITING, READING, STORAGE, REGION = 0.005, 0.0004, 0.021, 0.02
"""Dollars for a thousand PUT or LIST, a thousand GET or HEAD, a GB and month, and a GB to another region."""

MEDIA_GB_HOUR = 36_000 / 167_000
"""GB of an hour of video at 360p: Panda-70M's 36 TB for 167,000 hours."""

MEASURED_HOURS = 170.9 / 3600
"""Hours of the three videos over which the bytes of the stages were measured."""

KB = {
    "download": 52.9,
    "duplicates": 12.4,
    "transcribe": 47.2,
    "sample": 521.5,
    "align": 29.7,
    "score": 17.3,
    "filter": 37.0,
    "write": 135.3,
}
"""Kilobytes of each stage over them, by `plan --estimate`."""

MONTH = 730.0
"""Hours."""

HEARD = {"large-v2, RTX 3070 Ti": 780 / 17, "large-v3-turbo, H100": 404.0}
"""Seconds of speech that a GPU recognizes in one."""

FRAMES_SECOND, PICTURES_SECOND = 0.27, 658.44
"""Frames that a second of video comes to, and pictures that ViT-L-14 takes in a second."""

SAMPLED = {"1080p": 122.7 / 3.00, "320x180": 35.1 / 0.32}
"""Seconds of video that `sample` goes through in one, on two cores."""

SIZES = (4, 16, 32, 128)
"""`parts.videos` in the table of parts."""

HOURS = VIDEOS * MINUTES / 60


def parts_table() -> list[str]:
    """What the size of a part decides."""
    return _table(
        ("videos a part", "parts", "groups", "objects", "PUT and LIST", "GET and HEAD", "dollars", "media a part, h"),
        map(_of_size, SIZES),
    )


def _of_size(videos: int) -> Sequence[str]:
    parts = math.ceil(VIDEOS / videos)
    groups = math.ceil(parts / GROUP)
    units = parts * STAGES
    writing, reading = units * (PUT + LIST), units * (GET + HEAD)
    dollars = writing / 1000 * WRITING + reading / 1000 * READING
    objects = units * FILES + groups * GROUP_FILES
    return (
        *(f"{number:,}" for number in (videos, parts, groups, objects)),
        *(f"{number:,.0f}" for number in (writing, reading, dollars)),
        f"{videos * MINUTES / 60:.1f}",
    )


def bytes_table() -> list[str]:
    """What is stored, and for how much."""
    stored = {"media, 360p": MEDIA_GB_HOUR * HOURS}
    stored |= {f"`{stage}`": kilobytes / 1e6 / MEASURED_HOURS * HOURS for stage, kilobytes in KB.items()}
    stored |= {"`output`, the shards again": stored["`write`"]}
    rows = (
        (name, f"{gb / HOURS * 1000:.1f}", f"{gb / 1000:,.0f}", f"{gb * STORAGE:,.0f}") for name, gb in stored.items()
    )
    return _table(("what", "MB an hour of media", "TB", "dollars a month"), rows)


def machines_table() -> list[str]:
    """GPUs and CPUs, and how many of them do it in a month."""

    def rows() -> Iterator[Sequence[str]]:
        for name, speed in HEARD.items():
            yield _busy(f"`transcribe`, {name}", "GPU", HOURS / speed)
        pictures = HOURS * 3600 * FRAMES_SECOND
        yield _busy(
            f"`score`, {pictures / 1e9:.1f} billion pictures, RTX 4090", "GPU", pictures / PICTURES_SECOND / 3600
        )
        for name, speed in SAMPLED.items():
            yield _busy(f"`sample`, {name}", "CPU", 2 * HOURS / speed)

    return _table(("stage", "unit", "hours", "for a month"), rows())


def egress() -> float:
    """Dollars of all media to another region."""
    return MEDIA_GB_HOUR * HOURS * REGION


def _busy(name: str, unit: str, hours: float) -> Sequence[str]:
    return name, unit, f"{hours:,.0f}", f"{math.ceil(hours / MONTH):,}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def main() -> None:
    """Print the tables."""
    for table in (parts_table(), bytes_table(), machines_table()):
        print("\n".join([*table, ""]))  # noqa: T201
    print(f"media to another region: {egress():,.0f} dollars")  # noqa: T201


if __name__ == "__main__":
    main()
