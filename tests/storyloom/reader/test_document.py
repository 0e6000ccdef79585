"""A document as a program reads it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from storyloom.errors import BadDataset
from storyloom.reader.document import Document, Frame, parse
from tests.documents import jpeg, read_documents, read_shard
from tests.runs import ROOT


def members(out: Path) -> dict[str, bytes]:
    return {name: data for tar in sorted(out.rglob("*.tar")) for name, data in read_shard(tar).items()}


def parsed(out: Path) -> list[tuple[dict[str, Any], Document]]:
    """Every document's JSON, and what the reader makes of its tar members."""
    files = members(out)
    found = read_documents(out)
    return [
        (values, parse(files[f"{key}.json"], {name: files[name] for name in values["images"] if name}))
        for key, values in found.items()
    ]


def test_items_are_the_document_s_in_its_order_with_times_and_bytes(out: Path) -> None:
    files = members(out)
    for values, document in parsed(out):
        images, texts = iter(range(99)), iter(range(99))
        for item, text, image in zip(document.items, values["texts"], values["images"], strict=True):
            if isinstance(item, Frame):
                n = next(images)
                assert item.jpeg == files[image]
                assert item.time == values["image_time"][n]
                assert (item.width, item.height) == (values["image_width"][n], values["image_height"][n])
                assert (item.similarity, item.shift) == (values["image_clip_score"][n], values["image_shift"][n])
                assert item.text == values["image_text_index"][n]
            else:
                n = next(texts)
                assert (item.text, item.source) == (text, values["text_source"][n])
                assert (item.start, item.end) == (values["text_start"][n], values["text_end"][n])


def test_what_is_known_of_the_video_comes_along(out: Path) -> None:
    for values, document in parsed(out):
        assert document.key == values["sample_id"]
        assert (document.video_id, document.video_url) == (values["video_id"], values["video_url"])
        assert (document.title, document.language) == (values["title"], values["language"])
        assert (document.license, document.start, document.end) == (
            values["license"],
            values["doc_start"],
            values["doc_end"],
        )
        assert len(document.frames) == len(values["image_time"])
        assert [text.text for text in document.texts] == [text for text in values["texts"] if text]


def test_a_frame_s_pixels_are_those_of_its_jpeg(out: Path) -> None:
    frame = parsed(out)[0][1].frames[0]
    pixels = frame.pixels()
    assert pixels.shape == (frame.height, frame.width, 3)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(frame.jpeg)).convert("RGB")))


@pytest.mark.parametrize("form", ["PNG", "PPM", "EPS", "GIF"])
def test_a_frame_that_is_no_jpeg_is_not_decoded_by_another_decoder(form: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 48)).save(file, form)
    with pytest.raises(BadDataset, match="cannot be decoded"):
        framed(file.getvalue()).pixels()


@pytest.mark.parametrize("size", [(63, 48), (65_535, 65_535)])
def test_a_frame_of_another_size_than_its_document_says_is_not_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(BadDataset, match="pixels, should have"):
        framed(jpeg(1), *size).pixels()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [13_000, 65_000])
def test_a_frame_whose_header_says_a_vast_size_is_not_decoded(side: int) -> None:
    content = bytearray(jpeg(1))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = side.to_bytes(2, "big") * 2
    with pytest.raises(BadDataset, match="pixels, should have"):
        framed(bytes(content)).pixels()


def framed(content: bytes, width: int = 64, height: int = 48) -> Frame:
    return Frame(time=1.5, jpeg=content, width=width, height=height, similarity=-1.0, shift=0.0, text=-1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"schema": "other/2"}', "no document of storyloom/1 or storyloom/2"),
        (b'{"schema": "storyloom/1"}', "there is no 'images'"),
        (b"{", "Expecting"),
    ],
)
def test_json_that_is_no_document_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(content, {})


def test_an_image_that_is_not_there_is_named(out: Path) -> None:
    values = next(iter(read_documents(out).values()))
    with pytest.raises(ValueError, match=r"there is no '.*\.000\.jpg'"):
        parse(json.dumps(values).encode(), {})


@pytest.mark.parametrize("column", ["image_time", "text_end"])
def test_a_list_that_lost_a_value_is_refused(out: Path, column: str) -> None:
    values, _ = parsed(out)[0]
    jpegs = {name: members(out)[name] for name in values["images"] if name}
    short = json.dumps(values | {column: values[column][:-1]}).encode()
    with pytest.raises(ValueError, match="zip"):
        parse(short, jpegs)


def test_a_position_with_text_and_image_is_refused(out: Path) -> None:
    values, _ = parsed(out)[0]
    jpegs = {name: members(out)[name] for name in values["images"] if name}
    doubled = json.dumps(values | {"texts": ["both" if text is None else text for text in values["texts"]]}).encode()
    with pytest.raises(ValueError, match=r"zip|either a text or an image"):
        parse(doubled, jpegs)


def test_types_can_be_imported_without_torch_or_ray() -> None:
    code = (
        "import sys; from storyloom.reader import Document, Frame, PatchTokens, Text, TokenLayout; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert not {"torch", "ray", "fsspec", "transformers"} & set(loaded.split())


def test_every_name_of_the_package_can_be_imported() -> None:
    import storyloom.reader

    assert all(getattr(storyloom.reader, name).__name__ == name for name in storyloom.reader.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        storyloom.reader.Nothing  # type: ignore[attr-defined]  # noqa: B018
