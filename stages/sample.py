"""sample: frames as JPEG with the times at which they are shown, chosen by scenes, near-duplicates left out."""

from __future__ import annotations

import io
from contextlib import closing
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from schemas.config import OPERATIONAL, StageConfig
from schemas.rows import Frame, FramesRow, MediaRow
from stages import ffmpeg
from stages.base import Input, Stage, Video, VideoDropped, VideoFailed
from stages.candidates import Look, candidates
from stages.child import ChildFailed, Limits
from stages.picker import Picked, Picker

CANDIDATES_PER_INTERVAL = 8
"""Fine enough to find the middle of a scene to 1/16 of an interval, coarse enough to be cheap (our choice)."""

THUMBNAIL = 96
"""Pixels of the square on which near-duplicates are compared (our choice: text on slides still changes it)."""


class SampleConfig(StageConfig):
    """Which frames are kept, and how they are drawn.

    Attributes:
        interval: Seconds; a longer scene gives a frame per interval (Emu3.5's t, not published; 4 s is our choice:
            0.25 frames a second against Emu3.5's mean of 0.27).
        scene_threshold: ffmpeg's scene score above which a scene begins, 0 to 1 (0.3 to 0.5 are its documentation's).
        min_scene: Seconds that a scene lasts at least, against flashes (our choice; PySceneDetect's default is 15
            frames).
        near_duplicate: A frame whose structural similarity with the last kept one is above this is left out
            (Multimodal Textbook, Algorithm 1, publishes no value; ours is from looking at talks and slides). 1.0 keeps
            every frame.
        max_side: Pixels of a JPEG's longer side; smaller pictures are not enlarged (our choice).
        jpeg_qscale: ffmpeg's JPEG scale, 2 (best) to 31 (our choice).
        seconds: Wall-clock limit of decoding one video.
        memory: Bytes of address space that decoding one video may take.
    """

    interval: Annotated[float, Field(gt=0)] = 4.0
    scene_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.3
    min_scene: Annotated[float, Field(ge=0)] = 0.5
    near_duplicate: Annotated[float, Field(ge=0, le=1)] = 0.95
    max_side: Annotated[int, Field(ge=16)] = 640
    jpeg_qscale: Annotated[int, Field(ge=2, le=31)] = 3
    seconds: Annotated[float, Field(gt=0), OPERATIONAL] = 3600.0
    memory: Annotated[int, Field(gt=0), OPERATIONAL] = 4 * 1024**3


class Sample(Stage[SampleConfig, FramesRow]):
    """Decodes a video's picture once, from start to end, and keeps what `Picker` says."""

    name = "sample"
    version = 1
    reads = (Input("download"),)
    row = FramesRow
    Config = SampleConfig

    def revision(self) -> str:
        return f"ffmpeg {ffmpeg.version()}"

    def setup(self) -> None:
        ffmpeg.program()

    def one(self, video: Video) -> FramesRow:
        media = video[MediaRow]
        if not media.has_video:
            raise VideoDropped("no_picture", f"streams: {media.audio_codec or 'none'}")
        path = self.context.media / media.media
        limits = Limits(self.config.seconds, self.config.memory)
        kept = _Kept(self.config.near_duplicate)
        picker = Picker(self.config.interval, self.config.min_scene)
        covered = -1.0
        try:
            with closing(candidates(path, self._look(), limits)) as stream:
                for candidate in stream:
                    covered = max(covered, candidate.time)
                    kept.extend(picker.add(candidate))
        except ChildFailed as failed:
            raise ffmpeg.video_failed(failed, "picture_undecodable", limits) from failed
        if covered < 0:
            raise VideoFailed("picture_undecodable", f"no frame of the {media.video_codec} picture could be decoded")
        kept.extend(picker.finish(covered))
        cut_off = ffmpeg.ends_early(path, covered, media.duration, limits)
        return FramesRow(
            video=video.key,
            warnings=["picture_ends_early"] if cut_off else [],
            frames=kept.frames,
            jpegs=kept.jpegs,
            near_duplicates=kept.near_duplicates,
            covered=covered,
        )

    def _look(self) -> Look:
        config = self.config
        step = config.interval / CANDIDATES_PER_INTERVAL
        return Look(step, config.scene_threshold, config.max_side, config.jpeg_qscale)


class _Kept:
    """The frames that differ from the one kept before them."""

    def __init__(self, near_duplicate: float) -> None:
        self._near_duplicate = near_duplicate
        self._last: npt.NDArray[np.uint8] | None = None
        self.frames: list[Frame] = []
        self.jpegs: list[bytes] = []
        self.near_duplicates = 0

    def extend(self, picks: list[Picked]) -> None:
        for pick in picks:
            small, (width, height) = _thumbnail(pick.candidate.jpeg)
            if self._last is not None and similarity(self._last, small) > self._near_duplicate:
                self.near_duplicates += 1
                continue
            self._last = small
            self.jpegs.append(pick.candidate.jpeg)
            self.frames.append(
                Frame(
                    time=pick.candidate.time,
                    scene=pick.scene,
                    width=width,
                    height=height,
                    black=pick.candidate.black,
                    blur=pick.candidate.blur,
                )
            )


def similarity(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Structural similarity of two grey thumbnails, shape (THUMBNAIL, THUMBNAIL), -1 to 1."""
    from skimage.metrics import structural_similarity

    return float(structural_similarity(one, other, data_range=255))  # type: ignore[no-untyped-call]


def _thumbnail(jpeg: bytes) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """A grey thumbnail of a JPEG, shape (THUMBNAIL, THUMBNAIL), and the JPEG's width and height in pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(jpeg)) as image:
        size = image.size
        image.draft("L", (THUMBNAIL, THUMBNAIL))  # decodes at a fraction of the size
        small = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    return np.asarray(small), size
