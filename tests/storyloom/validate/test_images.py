"""Rules about images: each test breaks one."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from storyloom.validate.jpeg import JpegHeader, decoding_problems, picture
from tests.documents import jpeg
from tests.storyloom.validate.damage import SHARD, check, members, write_members


def encoded(mode: str = "RGB", kind: str = "JPEG", size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def replace_image(out: Path, new: bytes) -> str:
    found = members(out)
    found[1] = (found[1][0], new)
    write_members(out, found)
    return found[1][0].partition(".")[0]


@pytest.mark.parametrize(
    ("rule", "new"),
    [
        ("jpeg", encoded(kind="PNG")),
        ("jpeg", encoded(kind="WEBP")),
        ("jpeg", b""),
        ("jpeg", b"\xff\xd8"),
        ("jpeg", b"\xff\xd8\xff\xe0\x00\x00" * 3),
        ("jpeg", encoded()[:100]),
        ("baseline", encoded(progressive=True)),
        ("rgb", encoded("L")),
        ("rgb", encoded("CMYK")),
        ("image_size", encoded(size=(48, 64))),
    ],
)
def test_an_image_of_another_kind_is_refused_without_decoding(out: Path, rule: str, new: bytes) -> None:
    key = replace_image(out, new)
    assert check(out) == [(SHARD, key, rule)]


def damaged() -> dict[str, bytes]:
    """JPEGs whose headers are right and whose picture is not."""
    good = encoded()
    middle = len(good) // 2
    noise = np.random.default_rng(1).bytes(200)
    return {
        "cut off": good[:middle],
        "cut off, with an end": good[:middle] + b"\xff\xd9",
        "noise inside": good[:middle] + noise + good[middle + 200 :],
    }


@pytest.mark.parametrize("damage", damaged())
def test_deep_finds_a_damaged_picture_that_the_headers_do_not_show(out: Path, damage: str) -> None:
    key = replace_image(out, damaged()[damage])
    assert check(out) == []
    assert check(out, deep=True) == [(SHARD, key, "image_decode")]


def test_deep_does_not_decode_an_image_that_would_fill_the_memory(out: Path) -> None:
    small = encoded()
    at = small.index(b"\xff\xc0")
    bomb = small[: at + 5] + b"\xff\xff\xff\xff" + small[at + 9 :]
    assert picture(bomb) == JpegHeader(65535, 65535, baseline=True, components=3)
    key = replace_image(out, bomb)
    assert check(out) == [(SHARD, key, "image_size")]
    assert check(out, deep=True) == [(SHARD, key, "image_decode"), (SHARD, key, "image_size")]


def two_frame_headers(width: int, height: int) -> bytes:
    """A JPEG with another frame header behind its own; Pillow takes the second one."""
    small = encoded()
    at = small.index(b"\xff\xc0")
    end = at + 2 + int.from_bytes(small[at + 2 : at + 4], "big")
    other = small[at : at + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + small[at + 9 : end]
    return small[:end] + other + small[end:]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [64, 13_000, 65_000])
def test_an_image_with_two_frame_headers_is_refused(out: Path, side: int) -> None:
    new = two_frame_headers(side, side)
    key = replace_image(out, new)
    assert check(out, deep=True) == [(SHARD, key, "jpeg")]
    header = JpegHeader(64, 48, baseline=True, components=3)
    assert [rule for rule, _ in decoding_problems(new, header)] == ["image_size"]


@pytest.mark.parametrize(
    "options", [{"subsampling": 0}, {"subsampling": 2}, {"optimize": True}, {"quality": 1}, {"restart_marker_rows": 1}]
)
def test_deep_accepts_every_baseline_image(out: Path, options: dict[str, Any]) -> None:
    replace_image(out, encoded(**options))
    assert check(out, deep=True) == []


def test_headers_before_the_frame_are_passed_over() -> None:
    exif = encoded(exif=b"Exif\0\0" + bytes(60_000), icc_profile=bytes(100_000), comment=b"\xff\xc0" * 9)
    assert picture(exif) == JpegHeader(64, 48, baseline=True, components=3)
    assert picture(jpeg(1)) == JpegHeader(64, 48, baseline=True, components=3)
