"""Qwen3-VL's time stamps, against transformers' processor and by the rules of Qwen-VL's fine-tuning code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyloom.export.names import FormatName
from storyloom.export.qwen3_vl import STAMP, stamp, without_stamps
from storyloom.export.run import export
from storyloom.export.turns import conversation
from storyloom.format.tokens import neutralised, special_token
from tests.storyloom.export.made import expected, made
from tests.storyloom.export.test_sequences import of


@pytest.mark.parametrize("second", [0, 2, 12, 3600])
def test_a_stamp_is_what_the_processor_writes_before_a_frame(second: int) -> None:
    from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

    of_video = SimpleNamespace(fps=10.0, frames_indices=[second * 10 + 3, second * 10 + 3])
    processor: Any = SimpleNamespace(
        video_processor=SimpleNamespace(merge_size=2, temporal_patch_size=2),
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
        video_token="<|video_pad|>",
        _calculate_timestamps=lambda *given: Qwen3VLProcessor._calculate_timestamps(processor, *given),
    )
    inputs = {"video_grid_thw": np.array([[1, 4, 4]]), "video_metadata": [of_video]}
    written = Qwen3VLProcessor.replace_video_token(processor, inputs, 0)
    assert written == stamp(second + 0.3) + "<|vision_start|>" + "<|video_pad|>" * 4 + "<|vision_end|>"


def test_a_stamp_is_no_special_token_and_stays_in_shards() -> None:
    said = "wait <12.3 seconds> please"
    assert not special_token(said)
    assert neutralised(said) == said


@given(st.text("<>123. seconds", max_size=40))
def test_no_text_keeps_what_looks_like_a_stamp(text: str) -> None:
    assert not re.search(r"<\d+(\.\d+)? seconds>", STAMP.sub(r"\1", text))


def test_two_texts_side_by_side_form_no_stamp() -> None:
    turns = conversation(of([None, "at <3.0", "seconds> or so"]).sample, tags=["<1.0 seconds><image>"])
    assert [turn["value"] for turn in without_stamps(turns)] == ["<1.0 seconds><image>", "at 3.0 seconds or so"]


def test_every_frame_stands_behind_its_time_and_texts_hold_no_stamp(tmp_path: Path) -> None:
    out = made(tmp_path)
    done = export(out, FormatName.QWEN3_VL, tmp_path / "dest")
    assert done.images["train"] > 3
    lines = (tmp_path / "dest/train.jsonl").read_text(encoding="utf-8").splitlines()
    for document, line in zip(expected(out, "train"), lines, strict=True):
        row = json.loads(line)
        pool = list(row["image"])
        order: list[str] = []
        for turn in row["conversations"]:  # `_build_messages`
            if turn["from"] == "human":
                for part in re.split("(<image>|<video>)", turn["value"]):
                    order += [pool.pop(0)] if part == "<image>" else [part.strip()] * bool(part.strip())
        assert not pool
        assert order[::2] == [stamp(time) for time in document.sample.image_time]
        assert [Path(path).name for path in order[1::2]] == document.sample.pictures
        assert all((tmp_path / "dest" / path).is_file() for path in row["image"])
        answers = [turn["value"] for turn in row["conversations"] if turn["from"] == "gpt"]
        assert " ".join(answers).split() == " ".join(document.sample.spoken).split()
