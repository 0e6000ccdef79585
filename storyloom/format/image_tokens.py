"""How many tokens a picture takes in a model's sequence, from its width and height alone.

The formulas are those that the models' processors publish. tests/storyloom/format/test_image_tokens.py holds each one
against transformers' own processor (5.23) over random sizes, but for `emu3.5`, which transformers does not have.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from storyloom.errors import UsageError

Grid = tuple[int, int, int]
"""Frames in time, rows and columns of patches."""

QWEN_RATIO = 200
"""Most that one side of a picture may be of the other (`smart_resize` of Qwen-VL's and Emu3's processors)."""

INTERNVL_TILE, INTERNVL_TILES, INTERNVL_OF_TILE = 448, 12, 256
"""Pixels of a tile's side, most tiles, and tokens of one (InternVL 1.5, arXiv 2404.16821, 3.2)."""

FUYU_WIDTH, FUYU_HEIGHT, FUYU_PATCH = 1920, 1080, 30
"""Pixels beyond which Fuyu's processor makes pictures smaller, and of a patch's side (`FuyuImageProcessor`)."""

PIXTRAL_SIDE, PIXTRAL_PATCH = 1024, 16
"""Pixels of a picture's longest side, at most, and of a patch's (`PixtralImageProcessor`)."""

IDEFICS_TILE, IDEFICS_SIDE, IDEFICS_OF_TILE = 364, 4 * 364, 169
"""Pixels of a tile's side and of a picture's longest one, tokens of a tile (`Idefics3ImageProcessor`)."""


class UnfitImage(ValueError):
    """A model's processor refuses a picture of this size."""


@dataclass(frozen=True)
class ImageModel:
    """What pictures cost a model.

    Attributes:
        name: As `image_model` takes it.
        around: Further special tokens around a picture, such as those that begin and end it, which `tokens` leaves out;
            for Emu3 and Emu3.5 without those of the text ``H*W``, which depend on the tokenizer.
        convention: What is counted, in words.
        source: Where the rule comes from.
        count: `tokens`; looked up once a size.
        patches: `grid`; None for a model that has none.
    """

    name: str
    around: int
    convention: str
    source: str
    count: Callable[[int, int], int]
    patches: Callable[[int, int], Grid] | None = None

    def tokens(self, width: int, height: int) -> int:
        """Tokens of a picture in the sequence, without those of `around`.

        Args:
            width: Pixels.
            height: Pixels.

        Raises:
            UnfitImage: The model's processor refuses it.
        """
        return self.count(width, height)

    def grid(self, width: int, height: int) -> Grid | None:
        """Frames in time (1), rows and columns of a picture's patches: Qwen-VL's `image_grid_thw`; None without a grid.

        Args:
            width: Pixels.
            height: Pixels.

        Raises:
            UnfitImage: The model's processor refuses it.
        """
        return self.patches(width, height) if self.patches else None


def _fitted(width: int, height: int, factor: int, least: int, most: int) -> tuple[int, int]:
    """Width and height as `smart_resize` makes them: multiples of `factor`, `least` to `most` pixels in all."""
    if max(width, height) / min(width, height) > QWEN_RATIO:
        raise UnfitImage(f"a picture of {width}x{height}: one side is over {QWEN_RATIO} times the other")
    wide, high = round(width / factor) * factor, round(height / factor) * factor
    if wide * high > most:
        shrink = math.sqrt(height * width / most)
        wide = max(factor, math.floor(width / shrink / factor) * factor)
        high = max(factor, math.floor(height / shrink / factor) * factor)
    elif wide * high < least:
        grow = math.sqrt(least / (height * width))
        wide, high = math.ceil(width * grow / factor) * factor, math.ceil(height * grow / factor) * factor
    return wide, high


def _qwen(
    patch: int, least: int, most: int, merge: int = 2
) -> tuple[Callable[[int, int], int], Callable[[int, int], Grid]]:
    """Tokens and grid of a Qwen-VL: each token merges `merge` by `merge` patches."""

    @functools.cache
    def grid(width: int, height: int) -> Grid:
        wide, high = _fitted(width, height, patch * merge, least, most)
        return 1, high // patch, wide // patch

    def tokens(width: int, height: int) -> int:
        return math.prod(grid(width, height)) // merge**2

    return tokens, grid


def _rows(grid: Callable[[int, int], Grid]) -> Callable[[int, int], int]:
    """Tokens of a picture whose every row of patches ends with a token more."""

    def tokens(width: int, height: int) -> int:
        _, rows, columns = grid(width, height)
        return rows * (columns + 1)

    return tokens


@functools.cache
def _emu3(width: int, height: int) -> Grid:
    wide, high = _fitted(width, height, 8, 512 * 512, 1024 * 1024)
    return 1, high // 8, wide // 8


@functools.cache
def _emu3_5(width: int, height: int) -> Grid:
    return 1, max(1, round(height / 16)), max(1, round(width / 16))


@functools.cache
def _fuyu(width: int, height: int) -> Grid:
    shrink = min(FUYU_HEIGHT / height, FUYU_WIDTH / width)
    wide, high = min(int(width * shrink), width), min(int(height * shrink), height)
    if not wide or not high:
        raise UnfitImage(f"a picture of {width}x{height}: nothing of one side is left at {FUYU_WIDTH}x{FUYU_HEIGHT}")
    return 1, math.ceil(high / FUYU_PATCH), math.ceil(wide / FUYU_PATCH)


@functools.cache
def _pixtral(width: int, height: int) -> Grid:
    shrink = max(width / PIXTRAL_SIDE, height / PIXTRAL_SIDE)
    if shrink > 1:
        wide, high = math.floor(width / shrink), math.floor(height / shrink)
        if not wide or not high:
            raise UnfitImage(f"a picture of {width}x{height}: nothing of one side is left at {PIXTRAL_SIDE} pixels")
        width, height = wide, high
    return 1, (height - 1) // PIXTRAL_PATCH + 1, (width - 1) // PIXTRAL_PATCH + 1


@functools.cache
def _internvl(width: int, height: int) -> int:
    """The tiles whose arrangement is nearest to the picture's ratio; beside two or more there is a thumbnail."""
    sides = range(1, INTERNVL_TILES + 1)
    arranged = sorted(
        ((wide, high) for wide in sides for high in sides if wide * high <= INTERNVL_TILES),
        key=lambda tiles: tiles[0] * tiles[1],
    )
    best, nearest = (1, 1), math.inf
    for wide, high in arranged:
        away = abs(width / height - wide / high)
        # Of two arrangements of one ratio the larger, while the picture has over half of its pixels.
        if away < nearest or (away == nearest and width * height > 0.5 * INTERNVL_TILE**2 * wide * high):
            best, nearest = (wide, high), away
    tiles = best[0] * best[1]
    return INTERNVL_OF_TILE * (tiles + 1 if tiles > 1 else 1)


@functools.cache
def _idefics3(width: int, height: int) -> int:
    """Tiles in rows, each with its tag; a row ends with a line break; then the whole picture in one tile."""
    ratio = width / height
    if width >= height:
        wide = IDEFICS_SIDE
        high = int(wide / ratio)
        high += high % 2
    else:
        high = IDEFICS_SIDE
        wide = int(high * ratio)
        wide += wide % 2
    rows, columns = math.ceil(max(1, high) / IDEFICS_TILE), math.ceil(max(1, wide) / IDEFICS_TILE)
    return (IDEFICS_OF_TILE + 3) + rows * (columns * (IDEFICS_OF_TILE + 2) + 1)


def _fixed(tokens: int) -> Callable[[int, int], int]:
    def count(_width: int, _height: int) -> int:
        return tokens

    return count


_MERGED = "patches of {patch} pixels, merged two by two; between {least:,} and {most:,} pixels"


def _qwen_model(name: str, patch: int, least: int, most: int, source: str) -> ImageModel:
    convention = _MERGED.format(patch=patch, least=least, most=most)
    return ImageModel(name, 2, convention, source, *_qwen(patch, least, most))


MODELS: dict[str, ImageModel] = {
    model.name: model
    for model in (
        _qwen_model("qwen2-vl", 14, 56 * 56, 28 * 28 * 1280, "transformers' `Qwen2VLImageProcessor`, its defaults"),
        _qwen_model("qwen2.5-vl", 14, 56 * 56, 28 * 28 * 1280, "transformers' `Qwen2VLImageProcessor`, its defaults"),
        _qwen_model(
            "qwen3-vl",
            16,
            256 * 256,
            4096 * 4096,
            "`Qwen2VLImageProcessor` with the sizes of Qwen3-VL's preprocessor_config.json",
        ),
        ImageModel(
            "emu3",
            4,
            "codes of 8 pixels, a row end after each row; between 512² and 1024² pixels",
            "transformers' `Emu3Processor`, its defaults",
            _rows(_emu3),
            _emu3,
        ),
        ImageModel(
            "emu3.5",
            2,
            "codes of 16 pixels, a row end after each row (the last one is the picture's end); the picture's own size,"
            " each side to the nearest multiple of 16",
            "Emu3.5's `format_image_string` (github.com/baaivision/Emu3.5); its `smart_resize` to a fixed area is not"
            " followed",
            _rows(_emu3_5),
            _emu3_5,
        ),
        ImageModel(
            "fuyu",
            0,
            "patches of 30 pixels, a row end after each row; at most 1920 by 1080 pixels",
            "transformers' `FuyuProcessor`, its defaults",
            _rows(_fuyu),
            _fuyu,
        ),
        ImageModel(
            "internvl",
            2,
            "256 tokens for each tile of 448 pixels, at most 12, and for the thumbnail beside two or more",
            "transformers' `InternVLProcessor` and `GotOcr2ImageProcessor`, tiles on; InternVL 1.5 to 3.5",
            _internvl,
        ),
        ImageModel(
            "llava-1.5",
            0,
            "576 patches of 14 pixels, whatever the size",
            "transformers' `LlavaProcessor` with CLIP ViT-L/14 at 336 pixels",
            _fixed(576),
        ),
        ImageModel(
            "llava-onevision",
            0,
            "729 patches and a row end, as in a document of several pictures; a single picture is cut into tiles",
            "transformers' `LlavaOnevisionProcessor`, its rule for several pictures",
            _fixed(730),
        ),
        ImageModel(
            "pixtral",
            0,
            "patches of 16 pixels, a row end after each row; the longest side at most 1024 pixels",
            "transformers' `PixtralProcessor`, its defaults",
            _rows(_pixtral),
            _pixtral,
        ),
        ImageModel(
            "gemma3",
            4,
            "256 tokens, whatever the size",
            "transformers' `Gemma3Processor`, its defaults, without pan and scan",
            _fixed(256),
        ),
        ImageModel(
            "idefics3",
            0,
            "169 tokens for each tile of 364 pixels and for the whole picture, with their tags; the longest side is"
            " 1456 pixels",
            "transformers' `Idefics3Processor`, its defaults",
            _idefics3,
        ),
        ImageModel(
            "chameleon",
            2,
            "1024 codes, whatever the size",
            "transformers' `ChameleonProcessor`, its defaults",
            _fixed(1024),
        ),
        ImageModel(
            "janus",
            2,
            "576 tokens, whatever the size",
            "transformers' `JanusProcessor`, its defaults",
            _fixed(576),
        ),
    )
}
"""The models, by name."""

ALIASES = {"internvl2.5": "internvl", "internvl3": "internvl", "internvl3.5": "internvl", "qwen2_5_vl": "qwen2.5-vl"}
"""Other names of some."""


def is_image_model(name: str) -> bool:
    """Whether there is a model of a name."""
    return _known(name) in MODELS


def _known(name: str) -> str:
    wanted = name.strip().lower()
    return ALIASES.get(wanted, wanted)


def image_model(name: str) -> ImageModel:
    """The model of a name.

    Raises:
        UsageError: There is none; the message has the nearest name and all of them.
    """
    wanted = _known(name)
    if wanted in MODELS:
        return MODELS[wanted]
    close = difflib.get_close_matches(wanted, [*MODELS, *ALIASES], n=1)
    hint = f", did you mean {close[0]!r}?" if close else ";"
    raise UsageError(f"no model {name.strip()!r}{hint} known: {', '.join(MODELS)}")


def image_models(names: Iterable[str]) -> list[ImageModel]:
    """The models of names, each once, in their order; all of them for none.

    Raises:
        UsageError: There is no such model.
    """
    found = [image_model(name) for name in names]
    return list(dict.fromkeys(found)) or list(MODELS.values())
