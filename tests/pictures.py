"""Pictures of shards held against the media that they are said to be of."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.media import ffmpeg

Picture = npt.NDArray[np.float64]
"""Shape (height, width, 3), 0 to 255."""

HALF_A_MILLISECOND = 0.0005
"""Seconds by which a time that is rounded to 1 ms may lie after the frame's own."""


def frame_at(media: Path, time: float, size: tuple[int, int]) -> Picture:
    """The first frame of a file that is shown at or after a time in seconds, scaled to a width and height."""
    shown = f"select='gte(t,{time - HALF_A_MILLISECOND:.4f})',scale={size[0]}:{size[1]}"
    options = ["-v", "error", "-nostdin", "-i", str(media), "-vf", shown, "-frames:v", "1"]
    raw = subprocess.run(
        [ffmpeg.program(), *options, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], check=True, capture_output=True
    ).stdout
    return np.frombuffer(raw, np.uint8).reshape(size[1], size[0], 3).astype(np.float64)


def pictures(output: Path) -> Iterator[tuple[str, float, Image.Image]]:
    """Every picture of a dataset, with the id of its video and the time in seconds that its document states."""
    import json

    for shard in sorted(output.glob("data/*/*.tar")):
        with tarfile.open(shard) as tar:
            members = {member.name: tar.extractfile(member) for member in tar}
            contents = {name: file.read() for name, file in members.items() if file is not None}
        for name, content in contents.items():
            if name.endswith(".json"):
                document = json.loads(content)
                names = [image for image in document["images"] if image]
                for image, time in zip(names, document["image_time"], strict=True):
                    yield document["video_id"], time, Image.open(io.BytesIO(contents[image]))


def largest_difference(output: Path, folder: Path) -> float:
    """Mean absolute difference of the worst picture from the frame that `folder` has at its time, 0 to 255."""
    differences = []
    for video, time, image in pictures(output):
        shown = frame_at(folder / video, time, image.size)
        differences.append(float(np.abs(np.asarray(image, np.float64) - shown).mean()))
    return max(differences)
