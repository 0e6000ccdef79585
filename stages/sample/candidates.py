"""The candidate frames of a video, from one streaming pass of ffmpeg in a child process."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Literal

from stages.media import ffmpeg
from stages.media.sandbox import Limits, child
from stages.sample.selector import Candidate
from storyloom.format.model import to_milliseconds

TICKS = 1_000_000
"""Times leave ffmpeg as whole microseconds: it prints seconds with six digits only, 0.1 s after three hours."""


@dataclass(frozen=True)
class CandidateSettings:
    """Settings of the candidates' selection and encoding.

    Attributes:
        step: Seconds between candidates inside a scene.
        scene_threshold: ffmpeg's scene score above which a scene begins, 0 to 1.
        max_side: Pixels of a JPEG's longer side; smaller pictures are not enlarged.
        qscale: ffmpeg's JPEG scale, 2 (best) to 31.
        skip_frame: Frames that the decoder skips, as ffmpeg's option: ``default`` decodes every frame, ``noref`` skips
            frames without references to them, ``nokey`` all but keyframes.
        hwaccel: Hardware decoder, as ffmpeg's option.
    """

    step: float
    scene_threshold: float
    max_side: int
    qscale: int
    skip_frame: Literal["default", "noref", "nokey"] = "default"
    hwaccel: Literal["none", "cuda"] = "none"


def candidates(media: Path, settings: CandidateSettings, limits: Limits) -> Generator[Candidate, None, None]:
    """Yield a frame every `step` seconds and the first frame of each scene, in the order of decoding.

    Scene changes are detected over all decoded frames. Times are on ffmpeg's filter clock: the container's start time
    is subtracted from every stream, so that audio and picture share it. Rotation and non-square pixels are applied.

    Raises:
        ChildFailed: ffmpeg failed; raised after its candidates were yielded.
    """
    readable, writable = os.pipe()
    notes: SimpleQueue[dict[str, str] | None] = SimpleQueue()
    with os.fdopen(readable, "rb") as lines, os.fdopen(writable, "wb") as theirs:
        reader = Thread(target=_read_notes, args=(lines, notes), daemon=True)
        try:
            with child(_command(media, settings, writable), limits, pass_fds=[writable]) as pictures:
                theirs.close()  # so that the pipe ends with ffmpeg
                reader.start()
                for jpeg in _jpegs(pictures):
                    note = notes.get()
                    if note is None:
                        raise RuntimeError("ffmpeg wrote a picture that it gave no time for")
                    yield _candidate(note, jpeg, settings)
        finally:
            if reader.is_alive():
                reader.join()
        if notes.get() is not None:
            raise RuntimeError("ffmpeg gave a time for a picture that it did not write")


def _command(media: Path, settings: CandidateSettings, notes: int) -> list[str]:
    tracks = ffmpeg.source(media, skip_frame=settings.skip_frame, hwaccel=settings.hwaccel)
    fit = f"min(1,{settings.max_side}/max(iw*sar,ih))"
    picture = (
        tracks["V:0"]
        .filter(
            "select",
            f"isnan(prev_selected_t)+gte(t-prev_selected_t,{settings.step})+gt(scene,{settings.scene_threshold})",
        )
        .filter(
            "scale",
            w=f"max(1,round(iw*sar*{fit}))",
            h=f"max(1,round(ih*{fit}))",
            flags="bicubic+accurate_rnd+bitexact",
            # The color space that JPEG decoders assume.
            out_range="full",
            out_color_matrix="bt601",
        )
        .filter("format", "yuvj420p")
        .filter("setsar", 1)
        .filter("settb", f"1/{TICKS}")
        .filter("metadata", mode="print", file=f"pipe:{notes}", direct=1)
    )
    output = picture.output(
        "pipe:",
        **{
            "f": "mpjpeg",
            "fps_mode": "passthrough",
            "enc_time_base": f"1:{TICKS}",  # a frame's own rate is too coarse when rates vary
            "c:v": "mjpeg",
            "q:v": settings.qscale,
            "threads:v": 1,
            "flags:v": "+bitexact",
            "map_metadata": -1,
        },
    )
    return ffmpeg.command(output)


def _jpegs(stream: IO[bytes]) -> Iterator[bytes]:
    """The pictures of a multipart stream; a truncated one is left out."""
    for line in stream:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            stream.readline()
            size = int(value)
            jpeg = stream.read(size)
            if len(jpeg) == size:
                yield jpeg


def _read_notes(lines: IO[bytes], notes: SimpleQueue[dict[str, str] | None]) -> None:
    """Put the metadata filter's output for each frame into a queue; None at the end."""
    note: dict[str, str] = {}
    for line in lines:
        text = line.decode("ascii", errors="replace").strip()
        if text.startswith("frame:"):
            note = dict(part.partition(":")[::2] for part in text.split())
        else:
            name, _, value = text.partition("=")
            note[name] = value
        if "lavfi.scene_score" in note:  # the note is complete
            notes.put(note)
            note = {}
    notes.put(None)


def _candidate(note: dict[str, str], jpeg: bytes, settings: CandidateSettings) -> Candidate:
    return Candidate(
        time=max(0.0, to_milliseconds(int(note["pts"]) / TICKS)),
        cut=float(note["lavfi.scene_score"]) > settings.scene_threshold,
        jpeg=jpeg,
    )
