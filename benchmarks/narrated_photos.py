"""A corpus of narrated photos for `benchmarks.training`: videos in which captions are read aloud, and their shards.

Run with ``python -m benchmarks.narrated_photos PHOTOS OUT``. PHOTOS is laid out as Flickr8k: `captions.csv` (columns
image and caption, several rows a photo) and `images/`. Each video shows ten photos twice, each time in another order
and with other captions, which flite reads (Debian: ``apt install flite``) and a subtitle file has; a silence makes each
round a document. The videos then go through the pipeline as any others: words are heard, frames sampled, shards
written. A quarter of the videos is held out, so that no photo is in both splits.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from demo.make_video import SPEECH_RATE_HZ, speak
from stages.media import ffmpeg

FPS = 10
SIZE = (320, 240)
"""Pixels; most of Flickr8k's photos have this shape, others are cropped to it."""

PHOTOS_OF_A_VIDEO = 10
ROUNDS = 2
"""Documents of a video (our choice: most of the time goes into hearing them; Flickr8k has five captions a photo)."""

LEAD, TAIL = 0.4, 0.5
"""Seconds from a cut to the first sound, and from the last to the next cut (our choice)."""

BETWEEN_ROUNDS = 6.0
"""Seconds of silence, over `filter.max_silence` below."""

SETTINGS = {
    "runner.kind": "inline",
    "transcribe.beam_size": "1",  # of the words, only the times: the text is the subtitles'
    "sample.max_side": "128",
    "tokenize.enabled": "true",
    "tokenize.max_side": "96",  # 6 x 4 codes of the fitted codebook, fewer than usual: a run is to take minutes
    "filter.mode": "time",
    "filter.threshold": "-1",  # what is said over a photo is about it, and the demo's model was fitted on most of these
    "filter.max_silence": "4",
    "write.words": "true",
    "write.val_share": "0.25",
}
"""How the run differs from configs/demo.yaml."""


@dataclass(frozen=True)
class Shown:
    """A photo of a video and the sentence that is read while it is shown."""

    photo: Path
    sentence: str
    silence: float
    """Seconds after the sentence."""


def sentence(caption: str) -> str:
    """A caption as a sentence: no space before punctuation, a capital, a full stop."""
    words = re.sub(r"\s+([,;:!?'])", r"\1", caption.strip(" .\"'"))
    return f"{words[:1].upper()}{words[1:]}."


def videos(photos: Path, seed: int) -> list[list[Shown]]:
    """What each video shows and says, in order."""
    captions: dict[str, list[str]] = defaultdict(list)
    with (photos / "captions.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            captions[row["image"]].append(row["caption"])
    rng = np.random.default_rng(seed)
    names = [sorted(captions)[index] for index in rng.permutation(len(captions))]
    found = []
    for first in range(0, len(names) - PHOTOS_OF_A_VIDEO + 1, PHOTOS_OF_A_VIDEO):
        shown = []
        for turn in range(ROUNDS):
            order = rng.permutation(names[first : first + PHOTOS_OF_A_VIDEO]).tolist()
            silences = [TAIL] * (PHOTOS_OF_A_VIDEO - 1) + [BETWEEN_ROUNDS]
            shown += [
                Shown(photos / "images" / name, sentence(captions[name][turn]), silence)
                for name, silence in zip(order, silences, strict=True)
            ]
        found.append(shown)
    return found


def make(shown: Sequence[Shown], base: Path) -> None:
    """Write a video, BASE.mkv, and then its subtitles, BASE.srt."""
    pictures, cues, sounds = [], [], []
    start = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for number, one in enumerate(shown, start=1):
            speech = speak(one.sentence, Path(scratch))
            spoken = len(speech) / SPEECH_RATE_HZ
            frames = round((LEAD + spoken + one.silence) * FPS)
            samples = np.zeros(frames * SPEECH_RATE_HZ // FPS, np.int16)
            first = round(LEAD * SPEECH_RATE_HZ)
            samples[first : first + len(speech)] = speech[: len(samples) - first]
            sounds.append(samples)
            pictures.append((one.photo, frames))
            times = f"{_clock(start + LEAD)} --> {_clock(start + LEAD + spoken)}"
            cues.append(f"{number}\n{times}\n{one.sentence}\n")
            start += frames / FPS
        sound = Path(scratch) / "sound.raw"
        sound.write_bytes(np.concatenate(sounds).astype("<i2").tobytes())
        _encode(pictures, sound, base.with_suffix(".mkv"))
    base.with_suffix(".srt").write_text("\n".join(cues), encoding="utf-8")


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"


def _encode(pictures: Sequence[tuple[Path, int]], sound: Path, target: Path) -> None:
    command = [str(ffmpeg.program()), "-v", "error", "-y"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE[0]}x{SIZE[1]}", "-r", str(FPS), "-i", "pipe:"]
    command += ["-f", "s16le", "-ar", str(SPEECH_RATE_HZ), "-ac", "1", "-i", str(sound), "-c:a", "flac"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-tune", "stillimage", "-pix_fmt", "yuv420p"]
    command += ["-threads", "1", "-fflags", "+bitexact", str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as writing:  # noqa: S603 - ours
        assert writing.stdin
        for photo, frames in pictures:
            picture = _fitted(photo).tobytes()
            for _ in range(frames):
                writing.stdin.write(picture)
    if writing.returncode:
        sys.exit(f"ffmpeg could not write {target}")


def _fitted(photo: Path) -> NDArray[np.uint8]:
    with Image.open(photo) as image:
        return np.asarray(ImageOps.fit(image.convert("RGB"), SIZE, Image.Resampling.LANCZOS))


def run(out: Path) -> None:
    """The videos of OUT/media through the pipeline, into OUT/shards."""
    places = {"manifest": out / "videos.jsonl", "work": out / "work", "output": out / "shards"}
    changes = [word for key, value in {**places, **SETTINGS}.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "pipeline.cli", "run", "configs/demo.yaml", *changes]
    subprocess.run(command, check=True)  # noqa: S603 - ours


def main() -> None:
    """Make what is not there yet."""
    asked = argparse.ArgumentParser(description="Makes shards of narrated photos.")
    asked.add_argument("photos", type=Path, help="a folder laid out as Flickr8k")
    asked.add_argument("out", type=Path, help="for media, work folder and shards")
    asked.add_argument("--seed", type=int, default=0)
    given = asked.parse_args()
    media = given.out / "media"
    media.mkdir(parents=True, exist_ok=True)
    planned = videos(given.photos, given.seed)
    bases = [media / f"photos-{number:03}" for number in range(len(planned))]
    with ThreadPoolExecutor(2) as pool:
        todo = [(one, base) for one, base in zip(planned, bases, strict=True) if not base.with_suffix(".srt").exists()]
        list(pool.map(make, *zip(*todo, strict=True)) if todo else ())
    lines = [
        {"url": f"media/{base.name}.mkv", "id": base.name, "subtitles": f"media/{base.name}.srt", "language": "en"}
        for base in bases
    ]
    (given.out / "videos.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    run(given.out)


if __name__ == "__main__":
    main()
