"""Photos and sentences read aloud, from which the alignment bench makes its videos."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from storyloom.errors import UsageError

HELD_OUT_PHOTOS = 200
"""Photos that the demo model's fit held out; the same rule as `split_photos` in demo/fit_model.py."""

SHOTS_PER_VIDEO = 12
"""Sentences per video (our choice: a minute of narration)."""

OFF_TOPIC_PER_VIDEO = 2
SILENT_PER_VIDEO = 2

EDGE = 0.15
"""Seconds around a sentence of the demo's video that are cut out with it; its pauses are longer."""


@dataclass(frozen=True)
class Clip:
    """A stretch of a media file.

    Attributes:
        file: Any file that ffmpeg reads; a photo counts as one.
        start: Seconds.
        seconds: Length; None up to the end.
    """

    file: Path
    start: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True)
class Spoken:
    """A picture, the sentence about it, and a recording of the sentence."""

    picture: Clip
    speech: Clip
    text: str


@dataclass(frozen=True)
class Material:
    """The pictures and sentences of the bench's videos.

    Attributes:
        name: For the report.
        described: Pictures with their sentences.
        off_topic: Sentences whose pictures are not shown in any video.
        unmentioned: Pictures that no sentence is about.
        videos: Number of videos over which they are spread.
    """

    name: str
    described: list[Spoken]
    off_topic: list[Spoken]
    unmentioned: list[Clip]
    videos: int


def demo_material(folder: Path) -> Material:
    """The shots of the demo's video; the demo model was not fitted on any of its pictures.

    Raises:
        UsageError: The folder does not hold the video and its ground truth.
    """
    video, truth = folder / "narrated.mp4", folder / "narrated.gt.json"
    if missing := [file.name for file in (video, truth) if not file.is_file()]:
        raise UsageError(
            f"no {' and no '.join(missing)} in {folder.absolute()}: run it in a checkout of the repository, or give"
            " photos with --photos"
        )
    described: list[Spoken] = []
    off_topic: list[Spoken] = []
    unmentioned: list[Clip] = []
    for shot in json.loads(truth.read_text(encoding="utf-8"))["segments"]:
        picture = Clip(video, (shot["start"] + shot["end"]) / 2)
        if shot["kind"] != "described":
            unmentioned.append(picture)
        if shot["text"]:
            speech = Clip(video, shot["speech_start"] - EDGE, shot["speech_end"] - shot["speech_start"] + 2 * EDGE)
            spoken = Spoken(picture, speech, shot["text"])
            (described if shot["kind"] == "described" else off_topic).append(spoken)
    return Material("the demo's video", described, off_topic, unmentioned, videos=1)


def photo_material(folder: Path) -> Material:
    """Photos with spoken captions, laid out as Flickr8k; only those that the demo model's fit never saw.

    The folder holds `captions.csv` (columns image and caption), `images/`, `speech/<image>.mp3` with the first caption
    of some of them, and `not_for_fitting.txt` (photos that the fit left out beside the held-out ones).

    Raises:
        UsageError: The folder lacks a file, or has too few spoken captions.
    """
    captions: dict[str, str] = {}
    try:
        with (folder / "captions.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                captions.setdefault(row["image"], row["caption"])
        left_out = set((folder / "not_for_fitting.txt").read_text(encoding="utf-8").split())
    except (OSError, KeyError) as reason:
        raise UsageError(f"{folder} does not hold photos with spoken captions: {reason}") from reason
    by_hash = sorted(captions, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    fitted_on = set([name for name in by_hash if name not in left_out][HELD_OUT_PHOTOS:])
    unseen = [name for name in by_hash if name not in fitted_on]
    spoken = [_spoken(folder, name, captions[name]) for name in unseen if _speech(folder, name).is_file()]
    if len(spoken) < SHOTS_PER_VIDEO:
        raise UsageError(f"{folder}/speech has {len(spoken)} captions of unseen photos; {SHOTS_PER_VIDEO} are needed")
    videos = len(spoken) // SHOTS_PER_VIDEO
    off_topic = videos * OFF_TOPIC_PER_VIDEO
    silent = [_picture(folder, name) for name in unseen if not _speech(folder, name).is_file()]
    needed = off_topic + videos * SILENT_PER_VIDEO
    return Material("photos with spoken captions", spoken[off_topic:], spoken[:off_topic], silent[:needed], videos)


def _spoken(folder: Path, name: str, caption: str) -> Spoken:
    return Spoken(_picture(folder, name), Clip(_speech(folder, name)), caption.strip())


def _picture(folder: Path, name: str) -> Clip:
    return Clip(folder / "images" / name)


def _speech(folder: Path, name: str) -> Path:
    return (folder / "speech" / name).with_suffix(".mp3")
