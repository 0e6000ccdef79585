"""Qwen3-VL's time stamps before every frame, in conversations that Qwen-VL's fine-tuning code reads.

Qwen3-VL was trained on videos whose frames stand behind their times, as text: ``<12.3 seconds>``, seconds with one
decimal (`replace_video_token` in transformers' models/qwen3_vl/processing_qwen3_vl.py). The code splits a human turn at
``<image>`` and keeps the text between (`_build_messages` in qwen-vl-finetune/qwenvl/data/data_processor.py of
github.com/QwenLM/Qwen3-VL), so that the model sees the same of single frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from storyloom.export.images import TAG, extract
from storyloom.export.json_text import write_lines
from storyloom.export.read import SourceDocument
from storyloom.export.turns import ANSWER, Turns, conversation

STAMP = re.compile(r"<+(\d+(?:\.\d+)? seconds)>+")
"""What a model would take for the time of a frame; a stamp is no special token, so shards keep it in what was said."""


def write(documents: Iterable[SourceDocument], folder: Path, split: str, file_bytes: int) -> list[str]:
    """Write ``SPLIT.jsonl`` and the images."""
    del file_bytes  # the lines are small: the images lie beside them
    write_lines(folder / f"{split}.jsonl", _rows(documents, folder, split))
    return []


def _rows(documents: Iterable[SourceDocument], folder: Path, split: str) -> Iterator[dict[str, Any]]:
    for document in documents:
        tags = [f"{stamp(time)}{TAG}" for time in document.sample.image_time]
        yield {
            "id": document.key,
            "image": extract(document, folder, split),
            "conversations": without_stamps(conversation(document.sample, tags=tags)),
            "metadata": document.metadata,
        }


def stamp(seconds: float) -> str:
    """The time of a frame as the model reads it."""
    return f"<{seconds:.1f} seconds>"


def without_stamps(turns: Turns) -> Turns:
    """Turns with what looks like a stamp in an answer without its brackets, ``3.0 seconds``; two texts may form one."""
    return [turn | {"value": STAMP.sub(r"\1", turn["value"])} if turn["from"] == ANSWER else turn for turn in turns]
