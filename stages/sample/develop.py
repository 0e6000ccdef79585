"""Turning decoded frames into pictures as they are meant to be seen, and these into JPEGs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stages.sample.colour import PRIMARIES, TRANSFERS, Floats, to_srgb
from stages.sample.sides import LEAST_SIDE, longest_side, scaled

if TYPE_CHECKING:
    from av.filter import Graph
    from av.video.frame import VideoFrame

    from stages.media.track import Decoder

HD_WIDTH, HD_HEIGHT = 1280, 577
"""Least width or height of a picture that is BT.709 when nothing is stated; smaller ones are BT.601 (as players do)."""

MATRICES = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
"""The scale filter's names of the matrices of ITU-T H.273; 2 is "unspecified"."""

SCALER = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
"""The scaler's flags. Without full chroma, a change of the matrix darkens pictures by up to 4 of 255."""

FULL_RANGE = 2
"""libavutil's number of full range."""

COMBED = 1.2
"""Difference of neighbouring lines over that of every other line from which an unmarked frame is interlaced (our
choice: pictures have 0.5, noise 1, fields of a moving picture 1.5 and more)."""

LAMBDA = 118
"""libavutil's FF_QP2LAMBDA: the encoder's unit of quality."""

TICK = Fraction(1, 25)
"""Seconds between the frames that the encoder is given."""

UPRIGHT = (1, 0, 0, 1)
"""Orientation of a picture that is shown as it is stored."""


@dataclass(frozen=True)
class Shape:
    """What changes the shape of a picture, and so begins a scene.

    Attributes:
        width: Pixels as stored.
        height: Pixels as stored.
        format: ffmpeg's pixel format.
        aspect: Width of a pixel over its height.
    """

    width: int
    height: int
    format: str
    aspect: Fraction


@dataclass(frozen=True)
class Look:
    """How a frame is to be turned into a picture.

    Attributes:
        shape: Its shape.
        orientation: Signs of the display matrix: how much the stored row and column count for the shown x and y.
        matrix: Of its colours; empty to leave it to the scaler.
        full: Whether its range is full.
        primaries: Number of its colour primaries (ITU-T H.273).
        transfer: Number of its transfer function.
        combed: Whether it consists of two fields of different times.
    """

    shape: Shape
    orientation: tuple[int, int, int, int]
    matrix: str
    full: bool
    primaries: int
    transfer: int
    combed: bool

    @property
    def managed(self) -> bool:
        """Whether its colours are not those of a standard display."""
        return self.primaries in PRIMARIES or self.transfer in TRANSFERS


class ShapeReader:
    """Reads the shapes of a stream's frames. The container states a pixel aspect, until the stream changes its own."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._stream: Any = None
        self._first: Fraction | None = None

    def shape(self, frame: VideoFrame) -> Shape:
        """The shape of the frame that was decoded last."""
        own = self._decoder.context.sample_aspect_ratio or Fraction(1)
        if self._decoder.stream is not self._stream:
            self._stream, self._first = self._decoder.stream, own
        stated = self._stream.sample_aspect_ratio
        aspect = stated if stated and own == self._first else own
        return Shape(frame.width, frame.height, frame.format.name, aspect)


def look(frame: VideoFrame, shape: Shape) -> Look:
    """How a frame is to be turned into a picture."""
    matrix = MATRICES.get(frame.colorspace, "")
    if not matrix and frame.colorspace == 2:  # noqa: PLR2004 - "unspecified"
        matrix = "bt709" if shape.width >= HD_WIDTH or shape.height >= HD_HEIGHT else "bt601"
    return Look(
        shape=shape,
        orientation=_orientation(frame),
        matrix=matrix,
        full=frame.color_range == FULL_RANGE or shape.format.startswith("yuvj"),
        primaries=frame.color_primaries,
        transfer=frame.color_trc,
        combed=frame.interlaced_frame or combing(frame) > COMBED,
    )


def combing(frame: VideoFrame) -> float:
    """Mean difference of neighbouring lines over that of every other line, of the luma; 0.0 for formats without one."""
    luma = frame.format.components[0]
    if not luma.is_luma or frame.format.is_big_endian or frame.height < 4:  # noqa: PLR2004
        return 0.0
    plane: Any = frame.planes[0]
    kind = np.dtype(np.uint16 if luma.bits > 8 else np.uint8)  # noqa: PLR2004
    if plane.line_size < kind.itemsize * frame.width:
        return 0.0
    lines = np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : frame.width : 4].astype(np.int32)
    every_other = float(np.abs(lines[2:] - lines[:-2]).mean())
    return float(np.abs(lines[1:] - lines[:-1]).mean()) / every_other if every_other else 0.0


class Developer:
    """Develops the frames of a video.

    Args:
        max_side: Pixels of the longer side, or a budget of tokens (see `sides`); smaller pictures are not enlarged.
        qscale: ffmpeg's JPEG scale, 2 (best) to 31.
    """

    def __init__(self, max_side: int | str, qscale: int) -> None:
        self._max_side = max_side
        self._qscale = qscale
        self._encoded = 0
        self._graph = functools.lru_cache(8)(self._graph_of)
        self._encoder = functools.lru_cache(8)(self._encoder_of)

    def jpeg(self, frame: VideoFrame, shape: Shape) -> bytes:
        """The picture of a frame as a baseline JPEG: upright, with square pixels, progressive."""
        picture = self.developed(frame, look(frame, shape))
        self._encoded += 1
        picture.pts, picture.time_base = self._encoded, TICK  # an encoder wants rising times; a JPEG has none
        return b"".join(bytes(packet) for packet in self._encoder(picture.width, picture.height).encode(picture))

    def developed(self, frame: VideoFrame, look: Look) -> VideoFrame:
        """The picture of a frame in a JPEG's colours: BT.601 of full range."""
        if look.matrix == "" and frame.colorspace not in (0, 2):  # one that the scaler refuses
            frame.colorspace = 2
        alpha = any(component.is_alpha for component in frame.format.components)
        shown = _through(self._graph(look, alpha=alpha), frame)
        if not (look.managed or alpha):
            return shown
        pixels: Floats = shown.to_ndarray().astype(np.float32) / np.float32(65535)
        colours: Floats = pixels[..., :3]
        if look.managed:
            colours = to_srgb(colours, look.primaries, look.transfer)
        return _as_jpeg(np.rint(255 * colours * pixels[..., 3:]).astype(np.uint8))

    def _graph_of(self, look: Look, *, alpha: bool) -> Graph:
        """Filters from the frame to the shown picture: a JPEG's format, or 16 bits a colour with the alpha."""
        shape = look.shape
        sides = float(shape.width * shape.aspect), float(shape.height)
        upright = sides[::-1] if look.orientation[1] else sides
        width, height = scaled(*sides, longest_side(*upright, self._max_side) or LEAST_SIDE)
        scale: dict[str, Any] = {
            "w": width,
            "h": height,
            "flags": SCALER,
            "in_range": "full" if look.full else "limited",
            **({"in_color_matrix": look.matrix} if look.matrix else {}),
        }
        chain = [("field", {"type": "top"})] if look.combed else []
        if look.managed or alpha:
            chain += [("scale", scale), ("format", {"pix_fmts": "rgba64le"})]
        else:
            # The color space that JPEG decoders assume.
            chain += [("scale", {**scale, "out_range": "full", "out_color_matrix": "bt601"})]
            chain += [("format", {"pix_fmts": "yuvj420p"})]
        return filters(shape, [*chain, *_turns(look.orientation), ("setsar", {"sar": 1})])

    def _encoder_of(self, width: int, height: int) -> Any:
        from av.codec.context import CodecContext, Flags

        encoder: Any = CodecContext.create("mjpeg", "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
        encoder.time_base = TICK
        encoder.thread_count = 1
        encoder.flags |= Flags.qscale | Flags.bitexact
        encoder.global_quality = LAMBDA * self._qscale
        return encoder


def _orientation(frame: VideoFrame) -> tuple[int, int, int, int]:
    """The display matrix, turned to the nearest quarter turn or mirror image."""
    from av.sidedata.sidedata import Type

    side_data: Any = frame.side_data
    matrix = side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
    return 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0


def _turns(orientation: tuple[int, int, int, int]) -> list[tuple[str, dict[str, Any]]]:
    """Filters that turn a picture upright."""
    a, b, c, d = orientation
    turned: list[tuple[str, dict[str, Any]]] = [("transpose", {"dir": 0})] if b else []  # mirrors at the diagonal
    mirrored = [name for name, sign in (("hflip", min(a, c)), ("vflip", min(b, d))) if sign < 0]
    return [*turned, *((name, {}) for name in mirrored)]


def filters(shape: Shape, chain: list[tuple[str, dict[str, Any]]]) -> Graph:
    """A graph of a chain of filters, with their options, for frames of a shape with times in microseconds."""
    from av.filter import Graph
    from av.video.format import VideoFormat

    graph = Graph()
    graph.threads = 1
    last: Any = graph.add_buffer(
        width=shape.width, height=shape.height, format=VideoFormat(shape.format), time_base=Fraction(1, 1_000_000)
    )
    for name, options in [*chain, ("buffersink", {})]:
        following = graph.add(name, ":".join(f"{key}={value}" for key, value in options.items()) or None)
        last.link_to(following)
        last = following
    graph.configure()
    return graph


def _through(graph: Graph, frame: VideoFrame) -> VideoFrame:
    graph.vpush(frame)
    return graph.vpull()


@functools.lru_cache(4)
def _from_rgb(width: int, height: int) -> Graph:
    scale = {"out_range": "full", "out_color_matrix": "bt601", "flags": SCALER}
    shape = Shape(width, height, "rgb24", Fraction(1))
    return filters(shape, [("scale", scale), ("format", {"pix_fmts": "yuvj420p"})])


def _as_jpeg(pixels: npt.NDArray[np.uint8]) -> VideoFrame:
    """Pixels of shape (height, width, 3) in a JPEG's colours."""
    from av.video.frame import VideoFrame

    return _through(_from_rgb(pixels.shape[1], pixels.shape[0]), VideoFrame.from_ndarray(pixels, format="rgb24"))
