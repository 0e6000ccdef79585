"""sample: frames as JPEG with their presentation times, selected by scenes, without near-duplicates."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from schemas.config import OPERATIONAL, StageConfig
from schemas.rows import FramesRow, MediaRow, SampledFrame
from stages.base import Input, Stage, StageSetupError, Video, VideoDropped, VideoFailed
from stages.media import ffmpeg
from stages.media.sandbox import ChildFailed, Limits
from stages.media.source import reading
from stages.models.revision import library_versions
from stages.sample.candidates import CandidateSettings, candidates
from stages.sample.selector import FrameSelector, SelectedFrame
from storyloom.format.model import to_milliseconds

CANDIDATES_PER_INTERVAL = 8
"""Finds the middle of a scene to 1/16 of an interval at a low cost (our choice)."""

COARSE = 2.0
"""Least interval, in seconds, at which an offset of some frames does not matter (our choice: reference frames of common
encoders are 0.03 to 0.3 s apart)."""

SKIPPED: dict[str, Literal["default", "noref", "nokey"]] = {
    "all": "default",
    "references": "noref",
    "keyframes": "nokey",
}
"""ffmpeg's `skip_frame` by our `decode`."""

BLACK_LEVEL = 19
"""Luma up to which a pixel is black, of full range 0 to 255: ffmpeg blackframe's default of 32 in limited range."""

THUMBNAIL = 96
"""Side in pixels of the thumbnails that are compared (our choice: text on slides is still visible)."""

LIBRARIES = ("numpy", "pillow", "scikit-image", "scipy")
"""Packages whose versions may change the selection and the measures of frames."""

Luma = npt.NDArray[np.uint8]
"""Brightness, 0 to 255, shape (height, width)."""


class SampleConfig(StageConfig):
    """Settings of the selection and encoding of frames.

    Attributes:
        interval: Seconds; a longer scene gives a frame per interval (Emu3.5's t, not published; 4 s is our choice:
            0.25 frames a second against Emu3.5's mean of 0.27).
        decode: Which frames are decoded: ``all``; ``references``, those that other frames are predicted from, the
            fewer ones in streams with B-frames; ``keyframes``, seconds apart. A frame keeps its own time in each.
            ``auto`` is ``references`` for intervals of `COARSE` seconds and more, ``all`` below.
        scene_threshold: ffmpeg's scene score above which a scene begins, 0 to 1 (0.3 to 0.5 are its documentation's).
        min_scene: Least seconds of a scene, against flashes (our choice; PySceneDetect's default is 15 frames).
        near_duplicate: A frame whose structural similarity with the last kept one is above this is left out
            (Multimodal Textbook, Algorithm 1, publishes no value; ours is from inspecting talks and slides). 1.0 keeps
            every frame.
        max_side: Pixels of a JPEG's longer side; smaller pictures are not enlarged (our choice).
        jpeg_qscale: ffmpeg's JPEG scale, 2 (best) to 31 (our choice).
        hwaccel: ``cuda`` decodes on the GPU's decoder (NVDEC), where ffmpeg and the stream support it; its worker needs
            a GPU. Filters and JPEGs stay on the CPU. Damaged pictures differ from those of a CPU.
        seconds: Wall-clock limit of decoding one video.
        memory: Most bytes of address space for decoding one video.
    """

    interval: Annotated[float, Field(gt=0)] = 4.0
    decode: Literal["auto", "all", "references", "keyframes"] = "auto"
    scene_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.3
    min_scene: Annotated[float, Field(ge=0)] = 0.5
    near_duplicate: Annotated[float, Field(ge=0, le=1)] = 0.95
    max_side: Annotated[int, Field(ge=16)] = 640
    jpeg_qscale: Annotated[int, Field(ge=2, le=31)] = 3
    hwaccel: Literal["none", "cuda"] = "none"
    seconds: Annotated[float, Field(gt=0), OPERATIONAL] = 3600.0
    memory: Annotated[int, Field(gt=0), OPERATIONAL] = 4 * 1024**3

    @property
    def uses_gpu(self) -> bool:
        return self.hwaccel == "cuda"


class SampleFrames(Stage[SampleConfig, FramesRow]):
    """Decodes a video's picture once, from start to end, and keeps the frames that `FrameSelector` selects."""

    name = "sample"
    version = 4
    reads = (Input("download"),)
    row = FramesRow
    Config = SampleConfig

    def revision(self) -> str:
        return f"ffmpeg {ffmpeg.version()}, {library_versions(*LIBRARIES)}"

    def setup(self) -> None:
        ffmpeg.program()
        if self.config.hwaccel == "cuda" and (reason := ffmpeg.missing_device("cuda")):
            raise StageSetupError(f"sample.hwaccel cuda cannot be used here ({reason}); set it to none")

    def one(self, video: Video) -> FramesRow:
        media = video[MediaRow]
        if not media.has_video:
            raise VideoDropped("no_picture", f"streams: {media.audio_codec or 'none'}")
        with reading(self.context.media, media) as path:
            return self._frames(video, media, path)

    def _frames(self, video: Video, media: MediaRow, path: Path) -> FramesRow:
        """The row of frames of a media file."""
        limits = Limits(self.config.seconds, self.config.memory)
        kept, selector, covered = self._select(path, limits)
        if covered < 0:
            raise VideoFailed("picture_undecodable", f"no frame of the {media.video_codec} picture could be decoded")
        cut_off = ffmpeg.ends_early(path, covered, media.duration, limits)
        # The picture after the last keyframe was not decoded, but it exists.
        unseen = self._decode == "keyframes" and not cut_off
        kept.extend(selector.finish(max(covered, media.duration) if unseen else covered))
        return FramesRow(
            video=video.key,
            warnings=["picture_ends_early"] if cut_off else [],
            frames=kept.frames,
            jpegs=kept.jpegs,
            near_duplicates=kept.near_duplicates,
            covered=covered,
        )

    def _select(self, path: Path, limits: Limits) -> tuple[_Kept, FrameSelector, float]:
        """Decode the file; returns the frames so far, the selector, and the last decoded time in seconds."""
        kept = _Kept(self.config.near_duplicate)
        selector = FrameSelector(self.config.interval, self.config.min_scene)
        covered = -1.0
        try:
            with self.timings.on("decode"), closing(candidates(path, self._settings(), limits)) as stream:
                for candidate in stream:
                    covered = max(covered, candidate.time)
                    kept.extend(selector.add(candidate))
        except ChildFailed as failed:
            raise ffmpeg.video_failed(failed, "picture_undecodable", limits) from failed
        return kept, selector, covered

    def _settings(self) -> CandidateSettings:
        config = self.config
        step = config.interval / CANDIDATES_PER_INTERVAL
        return CandidateSettings(
            step, config.scene_threshold, config.max_side, config.jpeg_qscale, SKIPPED[self._decode], config.hwaccel
        )

    @property
    def _decode(self) -> str:
        if self.config.decode != "auto":
            return self.config.decode
        return "references" if self.config.interval >= COARSE else "all"


class _Kept:
    """Collects the frames that differ from the last kept one."""

    def __init__(self, near_duplicate: float) -> None:
        self._near_duplicate = near_duplicate
        self._last: Luma | None = None
        self.frames: list[SampledFrame] = []
        self.jpegs: list[bytes] = []
        self.near_duplicates = 0

    def extend(self, selected: list[SelectedFrame]) -> None:
        for one in selected:
            luma = _luma(one.candidate.jpeg)
            small = _thumbnail(luma)
            if self._last is not None and similarity(self._last, small) > self._near_duplicate:
                self.near_duplicates += 1
                continue
            self._last = small
            self.jpegs.append(one.candidate.jpeg)
            self.frames.append(
                SampledFrame(
                    time=one.candidate.time,
                    start=to_milliseconds(min(one.start, one.candidate.time)),
                    scene=one.scene,
                    width=luma.shape[1],
                    height=luma.shape[0],
                    black=round(float(np.mean(luma <= BLACK_LEVEL)), 2),
                    sharpness=sharpness(luma),
                )
            )


def sharpness(luma: Luma) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al., ICPR 2000), to one decimal."""
    from scipy.ndimage import laplace

    return round(float(np.var(laplace(luma, output=np.int16), dtype=np.float64)), 1)


def similarity(one: Luma, other: Luma) -> float:
    """Structural similarity of two grey thumbnails, shape (THUMBNAIL, THUMBNAIL), -1 to 1."""
    from skimage.metrics import structural_similarity

    return float(structural_similarity(one, other, data_range=255))  # type: ignore[no-untyped-call]


def _luma(jpeg: bytes) -> Luma:
    from PIL import Image

    with Image.open(io.BytesIO(jpeg)) as image:
        image.draft("L", image.size)  # skips decoding the colours
        return np.asarray(image.convert("L"))


def _thumbnail(luma: Luma) -> Luma:
    """A grey thumbnail of shape (THUMBNAIL, THUMBNAIL)."""
    from PIL import Image

    return np.asarray(Image.fromarray(luma).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR))
