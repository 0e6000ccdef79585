"""What the reasons and changes of a difference mean, in words."""

from __future__ import annotations

REASONS = {
    "no_video": "the other dataset has no document of the video",
    "no_document": "no document of the other dataset reaches to that time",
    "low_score": "its score is below that of every frame of the other dataset",
    "other_frame": "the other dataset has another frame within a second",
    "other_words": "the other dataset has other words at that time",
    "no_words": "nothing is said at that time in the other dataset",
    "unknown": "the datasets do not tell",
}
"""Why one dataset lacks a frame or a word of the other one. Reasons of a run stand in docs/errors.md."""

CHANGES = {
    "boundaries": "it starts or ends elsewhere",
    "frames": "it has other frames",
    "pictures": "frames at the same time show another picture",
    "codes": "frames at the same time have other codes, or codes in one dataset alone",
    "text": "its sentences are others, or cut otherwise",
    "pairing": "frames have another sentence as their own",
    "scores": "frames have another score or shift with the same sentence",
    "captions": "frames have another caption or fused text",
    "split": "it is in another split",
    "details": "what is said of it differs: title, licence, lag, whether words have times or the like",
}
"""What is different about a document."""


def in_words(reason: str) -> str:
    """A reason or change in words; a run's own reason stays as it is."""
    return REASONS.get(reason) or CHANGES.get(reason) or f"the run dropped it: {reason}"
