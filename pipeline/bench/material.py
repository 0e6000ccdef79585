"""Photos and sentences read aloud, from which the alignment bench makes its videos."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from storyloom.errors import UsageError

HELD_OUT_PHOTOS = 200
"""Photos that the demo model's fit held out; the same rule as `split_photos` in demo/fit_model.py."""

DESCRIBED_PER_VIDEO = 10
OFF_TOPIC_PER_VIDEO = 2
SILENT_PER_VIDEO = 2
"""Pictures of a video (our choice: with twelve sentences, a minute of narration)."""

SPOKEN_SHARE = 0.92
"""Of the photos; the others are unmentioned, in several videos each (our choice)."""

LEAST_DESCRIBED = 160
"""Pictures with a sentence over all videos; photos are used again, with another caption, until there are as many."""

KINDS = {
    "dogs": {"dog", "dogs", "puppy", "puppies"},
    "children": {"child", "children", "boy", "boys", "girl", "girls", "kid", "kids", "baby", "toddler"},
    "adults": {"man", "men", "woman", "women", "person", "people", "lady", "guy"},
}
"""Words of captions by kind of photo, for videos whose pictures are alike (our choice)."""

OF_A_KIND = 3
"""Captions of a photo's five that must have a word of its kind; the first kind with so many counts (our choice)."""

BenchKind = Literal["plain", "similar", "sections"]

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
    """A picture, the sentence about it, and a recording of the sentence, where there is one."""

    picture: Clip
    speech: Clip | None
    text: str


@dataclass(frozen=True)
class Script:
    """The pictures and sentences of one video, in no order.

    Attributes:
        described: Pictures with their sentences.
        off_topic: Sentences whose pictures are not shown.
        unmentioned: Pictures that no sentence is about, at least as many as sentences that are off topic.
    """

    described: list[Spoken]
    off_topic: list[Spoken]
    unmentioned: list[Clip]


@dataclass(frozen=True)
class Material:
    """What the bench's videos are made of.

    Attributes:
        name: For the report.
        kind: ``plain``; ``similar``: a video's pictures are all of one kind; ``sections``: unmentioned pictures in
            silence cut a video into sections, and some sentences change places with their neighbour.
        scripts: One a video.
    """

    name: str
    kind: BenchKind
    scripts: list[Script]

    @property
    def read_aloud(self) -> list[Spoken]:
        """The sentences of which there are recordings."""
        spoken = [one for script in self.scripts for one in [*script.described, *script.off_topic]]
        return [one for one in spoken if one.speech]


def bench_kind(name: str) -> BenchKind:
    """The kind of this name.

    Raises:
        UsageError: There is none.
    """
    for kind in get_args(BenchKind):
        if kind == name:
            found: BenchKind = kind
            return found
    raise UsageError(f"no kind {name!r}; the kinds are {', '.join(get_args(BenchKind))}")


def demo_material(folder: Path, kind: BenchKind = "plain") -> Material:
    """The shots of the demo's video; the demo model was not fitted on any of its pictures.

    Raises:
        UsageError: The folder does not hold the video and its ground truth, or its few pictures are not of that kind.
    """
    if kind == "similar":
        raise UsageError("the demo's pictures are all different: give photos with --photos for --kind similar")
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
    return Material("the demo's video", kind, [Script(described, off_topic, unmentioned)])


def photo_material(folder: Path, kind: BenchKind = "plain") -> Material:
    """Photos with captions, laid out as Flickr8k; only those that the demo model's fit never saw.

    The folder holds `captions.csv` (columns image and caption), `images/`, `speech/<image>.mp3` with the first caption
    of some of them, and `not_for_fitting.txt` (photos that the fit left out beside the held-out ones). Photos whose
    caption was read aloud come first, so that the first videos are narrated by a voice.

    Raises:
        UsageError: The folder lacks a file, or has too few photos.
    """
    captions: dict[str, list[str]] = defaultdict(list)
    try:
        with (folder / "captions.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                captions[row["image"]].append(row["caption"])
        left_out = set((folder / "not_for_fitting.txt").read_text(encoding="utf-8").split())
    except (OSError, KeyError) as reason:
        raise UsageError(f"{folder} does not hold photos with captions: {reason}") from reason
    by_hash = sorted(captions, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    fitted_on = set([name for name in by_hash if name not in left_out][HELD_OUT_PHOTOS:])
    unseen = [name for name in by_hash if name not in fitted_on]
    unseen.sort(key=lambda name: not _speech(folder, name).is_file())
    alike = [unseen]
    if kind == "similar":
        alike = [[name for name in unseen if _kind(captions[name]) == one] for one in KINDS]
    scripts: list[Script] = []
    for turn in range(min(len(captions[name]) for name in unseen) if unseen else 0):
        of_turn = [_spoken(folder, name, captions[name], turn) for name in unseen]
        by_name = dict(zip(unseen, of_turn, strict=True))
        scripts += [script for names in alike for script in _scripts([by_name[name] for name in names])]
        if len(scripts) * DESCRIBED_PER_VIDEO >= LEAST_DESCRIBED:
            break
    if kind == "sections":
        scripts = [_joined(one, other) for one, other in zip(scripts[::2], scripts[1::2], strict=False)]
    if not scripts:
        raise UsageError(
            f"{folder} has {len(unseen)} photos that the demo model was not fitted on, too few for a video"
        )
    return Material("photos with captions", kind, scripts)


def _scripts(photos: Sequence[Spoken]) -> list[Script]:
    """Spread photos over videos, each with a sentence in one; the rest of them are shown unmentioned in turn.

    A video is read aloud as a whole or not at all.
    """
    spoken = DESCRIBED_PER_VIDEO + OFF_TOPIC_PER_VIDEO
    unmentioned = OFF_TOPIC_PER_VIDEO + SILENT_PER_VIDEO
    videos = int(SPOKEN_SHARE * len(photos)) // spoken
    rest = [one.picture for one in photos[videos * spoken :]]
    scripts = []
    for number in range(videos):
        own = list(photos[number * spoken : (number + 1) * spoken])
        if not all(one.speech for one in own):
            own = [replace(one, speech=None) for one in own]
        shown = [rest[(number * unmentioned + i) % len(rest)] for i in range(unmentioned)]
        scripts.append(Script(own[:DESCRIBED_PER_VIDEO], own[DESCRIBED_PER_VIDEO:], shown))
    return scripts


def _joined(one: Script, other: Script) -> Script:
    return Script(one.described + other.described, one.off_topic + other.off_topic, one.unmentioned + other.unmentioned)


def _kind(captions: Sequence[str]) -> str:
    """The kind of a photo by its captions; empty when it is none of `KINDS`."""
    words = [set(caption.lower().split()) for caption in captions]
    counts = {kind: sum(bool(known & said) for said in words) for kind, known in KINDS.items()}
    return next((kind for kind, count in counts.items() if count >= OF_A_KIND), "")


def _spoken(folder: Path, name: str, captions: Sequence[str], turn: int) -> Spoken:
    """The photo with the caption of this turn; the recordings are of the first."""
    speech = _speech(folder, name)
    sentence = captions[turn].strip(" .")
    text = f"{sentence[:1].upper()}{sentence[1:]}."
    return Spoken(_picture(folder, name), Clip(speech) if turn == 0 and speech.is_file() else None, text)


def _picture(folder: Path, name: str) -> Clip:
    return Clip(folder / "images" / name)


def _speech(folder: Path, name: str) -> Path:
    return (folder / "speech" / name).with_suffix(".mp3")
