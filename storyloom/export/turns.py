"""A document as a conversation, for trainers that learn from answers only and take images in questions only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from storyloom.export.images import TAG
from storyloom.format.sample import Sample

HUMAN = "human"
ANSWER = "gpt"

Turns = list[dict[str, str]]


def conversation(sample: Sample, *, closed: bool = False, tags: Sequence[str] = ()) -> Turns:
    """Frames as the human's turns and the sentences that follow them as the answers, in the document's order.

    Every text is in an answer, so that all of it is learnt; every image is in a human turn. A document that starts with
    a text starts with an empty human turn, because trainers drop an answer without a question.

    Args:
        sample: The document.
        tags: What stands for each image; by default its tag alone.
        closed: Whether frames at the end get an empty answer, for trainers that take pairs of turns only.
    """
    turns: Turns = []
    shown = iter(tags or [TAG] * len(sample.image_time))
    for spoken, group in groupby(sample.texts, key=lambda text: text is not None):
        words = [text or next(shown) for text in group]
        if spoken and not turns:
            turns.append({"from": HUMAN, "value": ""})
        turns.append({"from": ANSWER, "value": " ".join(words)} if spoken else {"from": HUMAN, "value": "".join(words)})
    if closed and turns[-1]["from"] == HUMAN:
        turns.append({"from": ANSWER, "value": ""})
    return turns
