"""A document as a storyboard: its frames in time order, each with the sentences up to the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import fmean

from storyloom.format.sample import Sample
from storyloom.format.words import count_words
from storyloom.view.text import LONGEST_NAME, LONGEST_SENTENCE, shown

PLAYABLE = ("https://", "http://")
"""Schemes that a title may link to; any other URL stays plain text."""


@dataclass(frozen=True)
class Picture:
    """A frame on a storyboard.

    Attributes:
        time: Seconds.
        width: Pixels.
        height: Pixels.
        source: Address of its JPEG; empty where the page had no room left.
        score: Similarity with its text; None without a text.
        shift: Seconds by which its text was moved.
        sentence: Its own text, if that is not the one right below it.
        reason: Why it was dropped; empty for a document's frame.
        caption: What a model says that it shows; empty without one.
        fused: What is said and shown, as one text; empty without one.
        fuse_status: What became of that; ``off`` where it was not asked for.
    """

    time: float
    width: int
    height: int
    source: str
    score: float | None = None
    shift: float = 0.0
    sentence: str = ""
    reason: str = ""
    caption: str = ""
    fused: str = ""
    fuse_status: str = "off"


@dataclass(frozen=True)
class Caption:
    """A sentence on a storyboard: seconds, text, and whether it is that of the frame above it."""

    start: float
    end: float
    text: str
    own: bool


@dataclass
class Beat:
    """A frame and the sentences up to the next one; no frame where a document starts with words."""

    picture: Picture | None
    lines: list[Caption] = field(default_factory=list)


@dataclass(frozen=True)
class Story:
    """A document on a page.

    Attributes:
        sample: As the shard holds it.
        shard: Path of its shard in the dataset.
        beats: In time order.
        dropped: How many of the beats are dropped frames.
    """

    sample: Sample
    shard: str
    beats: list[Beat]
    dropped: int = 0

    @property
    def title(self) -> str:
        """The document's heading."""
        sample = self.sample
        return sample.title or sample.video_url.rstrip("/").rsplit("/", 1)[-1] or sample.video_id or sample.sample_id

    @property
    def link(self) -> str:
        """URL of the video; empty when it is not a web page."""
        return self.sample.video_url if self.sample.video_url.lower().startswith(PLAYABLE) else ""

    @property
    def words(self) -> int:
        """Of its texts."""
        return sum(count_words(text) for text in self.sample.spoken)

    @property
    def score(self) -> float | None:
        """Mean similarity of its frames with a text; None without any."""
        pairs = zip(self.sample.image_clip_score, self.sample.image_text_index, strict=True)
        scores = [score for score, text in pairs if text >= 0]
        return fmean(scores) if scores else None


def beats(sample: Sample, source: Callable[[int], str]) -> Iterator[Beat]:
    """The beats of a document.

    Args:
        sample: The document.
        source: Gives the address of a picture by its number.
    """
    beat = Beat(None)
    spoken = [shown(one, LONGEST_SENTENCE) for one in sample.spoken]  # frames may quote it, up to a thousand times
    image = text = 0
    for position, sentence in enumerate(sample.texts):
        if sentence is not None:
            own = beat.picture is not None and sample.image_text_index[image - 1] == text
            beat.lines.append(Caption(sample.text_start[text], sample.text_end[text], spoken[text], own))
            text += 1
            continue
        if beat.picture or beat.lines:
            yield beat
        below = range(text, text + _texts_after(sample, position))
        own_text = sample.image_text_index[image]
        quoted = spoken[own_text] if own_text >= 0 and own_text not in below else ""
        beat = Beat(_picture(sample, image, source(image), quoted))
        image += 1
    yield beat


def _texts_after(sample: Sample, position: int) -> int:
    """How many texts stand between an image and the next one."""
    following = sample.images[position + 1 :]
    return next((n for n, image in enumerate(following) if image is not None), len(following))


def _picture(sample: Sample, image: int, source: str, sentence: str) -> Picture:
    return Picture(
        time=sample.image_time[image],
        width=sample.image_width[image],
        height=sample.image_height[image],
        source=source,
        score=sample.image_clip_score[image] if sample.image_text_index[image] >= 0 else None,
        shift=sample.image_shift[image],
        sentence=sentence,
        caption=shown(sample.image_caption[image], LONGEST_SENTENCE),
        fused=shown(sample.image_fused[image], LONGEST_SENTENCE),
        fuse_status=shown(sample.image_fuse_status[image], LONGEST_NAME),
    )
