"""sample: frames as JPEG with their presentation times, selected by scenes, without near-duplicates."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from schemas.config import LEAST_MEMORY, LONGEST, MOST_MEMORY, OPERATIONAL, StageConfig
from schemas.media import MediaRow
from schemas.rows import FramesRow, SampledFrame
from stages.base import Input, Stage, StageSetupError, Video, VideoDropped, VideoFailed
from stages.media.decoder import in_child, track_of, video_failed
from stages.media.sandbox import ChildFailed, Limits, Program, child
from stages.media.source import reading
from stages.media.track import TAIL_SECONDS, Track
from stages.models.device import resolved_device
from stages.models.revision import library_versions
from stages.sample import pictures
from stages.sample.pictures import PictureSettings
from stages.sample.sides import BUDGET, LEAST_SIDE, MOST_SIDE, budget_of, longest_side
from stages.sample.thinning import Most, Thinned
from storyloom.format.model import to_milliseconds

CANDIDATES_PER_INTERVAL = 8
"""Finds the middle of a scene to 1/16 of an interval at a low cost (our choice)."""

COARSE = 2.0
"""Least interval, in seconds, at which an offset of some frames does not matter (our choice: reference frames of common
encoders are 0.03 to 0.3 s apart)."""

SPARSE = 0.5
"""Most seconds for which a picture may stay where frames without references to them are skipped (our choice)."""

SKIPPED: dict[str, Literal["DEFAULT", "NONREF", "NONKEY"]] = {
    "all": "DEFAULT",
    "references": "NONREF",
    "keyframes": "NONKEY",
}
"""The decoder's `skip_frame` by our `decode`."""

BLACK_LEVEL = 19
"""Luma up to which a pixel is black, of full range 0 to 255: ffmpeg blackframe's default of 32 in limited range."""

WINDOW, STABILIZERS, WHITE = 7, (0.01, 0.03), 255
"""Pixels of a window of structural similarity (scikit-image's default), K1 and K2 of Wang et al. 2004, and white."""

THUMBNAIL = 96
"""Side in pixels of the thumbnails that are compared (our choice: text on slides is still visible)."""

LIBRARIES = ("av", "numpy", "pillow")
"""Packages whose versions may change the selection and the measures of frames."""

Luma = npt.NDArray[np.uint8]
"""Brightness, 0 to 255, shape (height, width)."""


def _budget(text: str) -> str:
    budget_of(text)
    return text


Budget = Annotated[str, Field(json_schema_extra={"pattern": BUDGET}), AfterValidator(_budget)]
"""Most tokens of a frame for a model, ``for:MODEL@TOKENS``."""


class SampleConfig(StageConfig):
    """Settings of the selection and encoding of frames.

    Attributes:
        interval: Seconds; a longer scene gives a frame per interval (Emu3.5's t, not published; 4 s is our choice:
            0.25 frames a second against Emu3.5's mean of 0.27).
        decode: Which frames are decoded: ``all``; ``references``, those that other frames are predicted from, the
            fewer ones in streams with B-frames; ``keyframes``, seconds apart. A frame keeps its own time in each.
            ``auto`` is ``references`` for intervals of 2 s and more where no picture stays for more than half a second,
            otherwise ``all``.
        scene_threshold: ffmpeg's scene score above which a scene begins, 0 to 1 (0.3 to 0.5 are its documentation's).
        min_scene: Least seconds of a scene, against flashes (our choice; PySceneDetect's default is 15 frames).
        near_duplicate: A frame whose structural similarity with the last kept one is above this is left out
            (Multimodal Textbook, Algorithm 1, publishes no value; ours is from inspecting talks and slides). 1.0 keeps
            every frame.
        max_side: Pixels of a JPEG's longer side; smaller pictures are not enlarged (our choice). Or a budget of
            tokens, as in ``for:qwen3-vl@256``: each video's frames get the largest size with which one takes no more of
            the model's tokens; `storyloom tokens` lists the models.
        jpeg_qscale: ffmpeg's JPEG scale, 2 (best) to 31 (our choice).
        max_per_minute: Most frames of a minute; of more, as in a flood of cuts, an even share is kept (our choice: a
            talk has 15, quickly cut videos have 30 to 60).
        max_frames: Most frames of a video, likewise (our choice: four hours have 3,600 by the clock).
        max_bytes: Most bytes of the JPEGs of a video, likewise; they are in memory together (our choice: four hours by
            the clock have some 200 MB).
        hwaccel: ``cuda`` decodes on the GPU's decoder (NVDEC), where ffmpeg and the stream support it; its worker needs
            a GPU. Filters and JPEGs stay on the CPU. Damaged pictures differ from those of a CPU.
        seconds: Wall-clock limit of decoding one video.
        memory: Most bytes of address space for decoding one video.
    """

    interval: Annotated[float, Field(gt=0, le=LONGEST)] = 4.0
    decode: Literal["auto", "all", "references", "keyframes"] = "auto"
    scene_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.3
    min_scene: Annotated[float, Field(ge=0, le=LONGEST)] = 0.5
    near_duplicate: Annotated[float, Field(ge=0, le=1)] = 0.95
    max_side: Annotated[int, Field(ge=LEAST_SIDE, le=MOST_SIDE)] | Budget = 640
    jpeg_qscale: Annotated[int, Field(ge=2, le=31)] = 3
    max_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 90
    max_frames: Annotated[int, Field(ge=1, le=100_000)] = 5000
    max_bytes: Annotated[int, Field(gt=0, le=2**30)] = 256 * 2**20
    hwaccel: Literal["none", "cuda"] = "none"
    seconds: Annotated[float, Field(gt=0, le=LONGEST), OPERATIONAL] = 3600.0
    memory: Annotated[int, Field(ge=LEAST_MEMORY, le=MOST_MEMORY), OPERATIONAL] = 4 * 1024**3

    @property
    def uses_gpu(self) -> bool:
        return self.hwaccel == "cuda"


class SampleFrames(Stage[SampleConfig, FramesRow]):
    """Decodes a video's picture once, from start to end, and keeps the frames that `FrameSelector` selects."""

    name = "sample"
    version = 6
    reads = (Input("download"),)
    row = FramesRow
    Config = SampleConfig

    def revision(self) -> str:
        return library_versions(*LIBRARIES)

    def missing(self, urls: Collection[str]) -> list[str]:
        del urls
        if self.config.hwaccel == "cuda" and resolved_device("auto") != "cuda":
            return ["sample.hwaccel cuda cannot be used here (there is no GPU); set it to none"]
        return []

    def setup(self) -> None:
        if missing := self.missing(()):
            raise StageSetupError("; ".join(missing))

    def one(self, video: Video) -> FramesRow:
        media = video[MediaRow]
        if not media.has_video:
            raise VideoDropped("no_picture", f"streams: {media.audio_codec or 'none'}")
        if longest_side(media.width, media.height, self.config.max_side) is None:
            size = f"a picture of {media.width}x{media.height} pixels takes more"
            message = f"{size} even where its longer side is {LEAST_SIDE}: raise the budget"
            raise VideoFailed("token_budget", f"sample.max_side is {self.config.max_side}, and {message}")
        with reading(self.context.media, media) as path:
            return self._frames(video, media, path)

    def _frames(self, video: Video, media: MediaRow, path: Path) -> FramesRow:
        """The row of frames of a media file."""
        config = self.config
        kept = _Kept(config.near_duplicate, Most(config.max_per_minute, config.max_frames, config.max_bytes))
        with self.timings.on("decode"):
            covered, errors = self._select(
                track_of(media, [media.video_stream, *media.video_followers], path), media, kept
            )
        if covered < 0 and media.clip and not errors:
            raise VideoDropped("no_picture", "the picture begins after the clip")
        if covered < 0:
            raise VideoFailed("picture_undecodable", f"no frame of the {media.video_codec} picture could be decoded")
        frames, jpegs = kept.frames.finished()
        thinned = kept.frames.left_out
        ends_early = media.video_end - covered > TAIL_SECONDS + media.longest_picture
        skipped = self._skipped(media) == "NONKEY"
        damaged = errors > TAIL_SECONDS * (media.fps or 1.0) or (ends_early and not skipped)
        warnings = {"picture_ends_early": media.cut_off, "picture_damaged": damaged, "frames_thinned": thinned > 0}
        return FramesRow(
            video=video.key,
            warnings=[code for code, applies in warnings.items() if applies],
            frames=frames,
            jpegs=jpegs,
            near_duplicates=kept.near_duplicates,
            thinned=thinned,
            covered=to_milliseconds(covered),
        )

    def _select(self, track: Track, media: MediaRow, kept: _Kept) -> tuple[float, int]:
        """Collect the selected frames; returns the last decoded time in seconds, and the packets not decoded."""
        limits = Limits(self.config.seconds, self.config.memory)
        arguments = in_child(track), json.dumps(asdict(self._settings(media)))
        program = Program(pictures.__name__, arguments, Path(track.path), free=self.config.hwaccel != "none")
        covered, errors = -1.0, 0
        try:
            with child(program, limits) as output:
                for line in output:
                    found = json.loads(line)
                    if "errors" in found:
                        covered, errors = found["covered"], found["errors"]
                        break
                    jpeg = output.read(found["size"])
                    if len(jpeg) == found["size"]:
                        kept.add(found["time"], found["start"], found["scene"], jpeg)
        except ChildFailed as failed:
            if failed.timed_out or failed.status > 0 or kept.frames.last is None:
                raise video_failed(failed, "picture_undecodable", limits) from failed
            covered, errors = kept.frames.last.time, sys.maxsize  # it crashed; what came before is kept
        return covered, errors

    def _settings(self, media: MediaRow) -> PictureSettings:
        config = self.config
        return PictureSettings(
            interval=config.interval,
            min_scene=config.min_scene,
            step=config.interval / CANDIDATES_PER_INTERVAL,
            scene_threshold=config.scene_threshold,
            max_side=config.max_side,
            qscale=config.jpeg_qscale,
            skip_frame=self._skipped(media),
            hwaccel=config.hwaccel,
        )

    def _skipped(self, media: MediaRow) -> Literal["DEFAULT", "NONREF", "NONKEY"]:
        """The frames that the decoder skips. A picture that stays for long may be one without references to it."""
        if self.config.decode != "auto":
            return SKIPPED[self.config.decode]
        coarse = self.config.interval >= COARSE and media.longest_picture <= SPARSE
        return SKIPPED["references" if coarse else "all"]


class _Kept:
    """Collects the frames that differ from the last one."""

    def __init__(self, near_duplicate: float, most: Most) -> None:
        self._near_duplicate = near_duplicate
        self._last: Luma | None = None
        self.frames = Thinned(most)
        self.near_duplicates = 0

    def add(self, time: float, start: float, scene: int, jpeg: bytes) -> None:
        """Add a frame with its time and that since when it is shown, in seconds, and the number of its scene."""
        luma = _luma(jpeg)
        small = _thumbnail(luma)
        if self._last is not None and similarity(self._last, small) > self._near_duplicate:
            self.near_duplicates += 1
            return
        self._last = small
        frame = SampledFrame(
            time=time,
            start=start,
            scene=scene,
            width=luma.shape[1],
            height=luma.shape[0],
            black=round(float(np.mean(luma <= BLACK_LEVEL)), 2),
            sharpness=sharpness(luma),
        )
        self.frames.add(frame, jpeg)


def sharpness(luma: Luma) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al., ICPR 2000), to one decimal."""
    padded = np.pad(luma.astype(np.int16), 1, mode="edge")
    beside = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return round(float(np.var(beside - 4 * padded[1:-1, 1:-1], dtype=np.float64)), 1)


def similarity(one: Luma, other: Luma) -> float:
    """Structural similarity of two grey thumbnails, shape (THUMBNAIL, THUMBNAIL), -1 to 1.

    Wang et al. 2004, equation 13, over square windows, as scikit-image's `structural_similarity` has it. That package
    and what it brings take 160 MB, and nothing else of them is used.
    """
    x, y = one.astype(np.int64), other.astype(np.int64)
    of_x, of_y, of_xx, of_yy, of_xy = map(_window_means, (x, y, x * x, y * y, x * y))
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    variances = unbiased * (of_xx - of_x**2 + of_yy - of_y**2)
    covariance = unbiased * (of_xy - of_x * of_y)
    c1, c2 = ((k * WHITE) ** 2 for k in STABILIZERS)
    above = (2 * of_x * of_y + c1) * (2 * covariance + c2)
    return float((above / ((of_x**2 + of_y**2 + c1) * (variances + c2))).mean())


def _window_means(values: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Means of all windows that lie inside; their sums are exact."""
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = sums[WINDOW:, WINDOW:] - sums[:-WINDOW, WINDOW:] - sums[WINDOW:, :-WINDOW] + sums[:-WINDOW, :-WINDOW]
    return np.asarray(inside / WINDOW**2, dtype=np.float64)


def _luma(jpeg: bytes) -> Luma:
    from PIL import Image

    with Image.open(io.BytesIO(jpeg)) as image:
        image.draft("L", image.size)  # skips decoding the colours
        return np.asarray(image.convert("L"))


def _thumbnail(luma: Luma) -> Luma:
    """A grey thumbnail of shape (THUMBNAIL, THUMBNAIL)."""
    from PIL import Image

    return np.asarray(Image.fromarray(luma).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR))
