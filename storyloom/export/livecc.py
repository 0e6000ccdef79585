"""LiveCC and StreamingVLM: clips of videos with the times of their words, a JSON line each, and where each line begins.

The loaders decode the videos themselves and make turns of a second: its frames, then the words that end in it. Their
rules, from `data/lmm_dataset.py` and livecc_utils' `video_process_patch.py` in github.com/showlab/livecc and
`streaming_vlm/data/lmm_dataset.py` in github.com/mit-han-lab/streaming-vlm:

- LiveCC reads where lines begin from the last line of the file, StreamingVLM from a file beside it, whose name has
  ``_seeks`` where the first has ``_with_seeks``. Both write and read bytes.
- The first turn takes 3 s of frames, 2 a second; one with fewer fails, and another line is drawn for it unseen.
- A clip has at most 480 frames: words after 240 s are never given out.
- A word is given out at the first turn whose last frame is not before the word's end: the clip has to go on until then.
  LiveCC gives the last word again in every turn after the one in which it ended: the clip must not go on longer. A
  turn's last frame is a little later than by the clock, by up to two frames of the video: a last word that ends in that
  time would be given out in this turn or in the next. Such a clip starts so much later that it ends before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from storyloom.export.json_text import ascii_line
from storyloom.export.read import SourceDocument
from storyloom.format.model import to_milliseconds
from storyloom.format.sample import CONTROL, Sample, TimedWord
from storyloom.format.tokens import neutralised
from storyloom.view.counts import count_of

CLIP_SECONDS = 239.0
"""Most from a clip's start to its last word: 480 frames at 2 a second, less what follows the last word."""

FIRST_TURN, TURN = 2500, 1000
"""Milliseconds from a clip's first frame to the last one of the first turn, 6 frames at 2 a second, and between the
last frames of two turns."""

AFTER_TURN = 250
"""Milliseconds of a clip after a turn's last frame (our choice): the frames of a video stand not exactly where a clip
starts and ends, and the next turn begins half a second later. Two frames of a video of 8 a second or more."""

INEXACT = 1
"""Milliseconds by which the times of frames may be inexact (our choice)."""


class Clip(NamedTuple):
    """A part of a document: where it starts in the document's clock, its words, and the texts before it."""

    start: float
    words: list[TimedWord]
    previous: str


def write(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """Write ``SPLIT_with_seeks.jsonl``, whose last line is where the others begin, and that line in another file.

    Texts without word times stand as one long word.
    """
    del file_bytes  # a file is read through its last line, so a split is one
    seeks: list[int] = []
    remote = 0
    with (folder / f"{split}_with_seeks.jsonl").open("wb") as file:
        for document in documents:
            video = video_path(document.sample.video_url)
            remote += "://" in video
            for clip in clips(document.sample):
                seeks.append(file.tell())
                file.write(ascii_line(conversation(document.sample, video, clip)))
        file.write(ascii_line(seeks))
    (folder / f"{split}_seeks.jsonl").write_bytes(ascii_line(seeks))
    if not remote:
        return []
    named = f"{count_of(remote, 'documents')} of {split} name their video by URL"
    return [f"{named}: the loader opens files; docs/export.md says how to tell it where they are"]


def video_path(url: str) -> str:
    """What the loader opens: a path where the URL is one of this machine, else the URL."""
    return url2pathname(urlsplit(url).path) if url.startswith("file://") else url


def clips(sample: Sample) -> Iterator[Clip]:
    """Cut a document before a sentence after which it is longer than a loader reads; a longer sentence at a word.

    A clip starts with the document, or where the document's first sentence is farther than a loader reads, with that.
    """
    start, previous = sample.doc_start, ""
    words: list[TimedWord] = []
    told: list[str] = []
    for text, run in _runs(sample):
        if max(word.end for word in run) - start > CLIP_SECONDS:
            if words:
                yield Clip(start, words, previous)
            start, words, previous = run[0].start, [], " ".join(told)
        words += run
        told += [text] if text else []
    yield Clip(start, words, previous)


def _runs(sample: Sample) -> Iterator[tuple[str, list[TimedWord]]]:
    """Words that stay together, and their text: those of a sentence, or single ones of one that is too long."""
    columns = sample.spoken, sample.text_start, sample.text_end, sample.words_of_texts()
    for text, start, end, words in zip(*columns, strict=True):
        found = words or [TimedWord(text, start, end)]
        if end - start <= CLIP_SECONDS:
            yield text, found
        else:
            yield from ((word.text, [word]) for word in found)


def conversation(sample: Sample, video: str, clip: Clip) -> list[dict[str, Any]]:
    """A clip as the loaders take it; times are those of the file, of which the video may be a part.

    `title` and `previous` are in the prompt where LiveCC's `with_context` is on; `key` is ours.
    """
    words = [[_of_file(sample, word.start), _of_file(sample, word.end), word.text] for word in clip.words]
    start, end = _shown(clip)
    shown = {"video": video, "video_start": _of_file(sample, start), "video_end": _of_file(sample, end)}
    told = {"previous": clip.previous, "title": neutralised(CONTROL.sub(" ", sample.title)), "category": ""}
    return [
        {
            "role": "user",
            "content": [
                {"type": "video", **shown, "key": sample.sample_id},
                {"type": "text", "text": "", **told},
            ],
        },
        {"role": "assistant", "content": [{"type": "text_stream", "text_stream": words}]},
    ]


def _shown(clip: Clip) -> tuple[float, float]:
    """Seconds where a clip's frames start and end: with the turn in which its last word is given out.

    They start up to `AFTER_TURN` after the clip where its last word ends as little after a turn.
    """
    said = round(1000 * (max(word.end for word in clip.words) - clip.start))
    turns, later = divmod(max(0, said + INEXACT - FIRST_TURN), TURN)
    if later > AFTER_TURN:
        turns, later = turns + 1, 0
    start = clip.start + later / 1000
    return start, start + (FIRST_TURN + turns * TURN + AFTER_TURN) / 1000


def _of_file(sample: Sample, seconds: float) -> float:
    return to_milliseconds(sample.video_start + seconds)
