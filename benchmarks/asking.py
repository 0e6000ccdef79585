"""What asking a model costs beside the model: `fuse` against a bare loop over OpenAI's client, on one simulated server.

``python -m benchmarks.asking [--latency 0.2] [--slots 64] [--concurrency 64] [--questions 7680]``: the server answers
each request after so many seconds, so many at a time. Both loops ask the same questions, with so many requests under
way; alternating rounds, the median of each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI

from schemas.manifest import ManifestRow
from schemas.rows import CaptionsRow, DocumentDraft, DocumentFrame, DocumentsRow, DocumentText, FrameCaption, FusedRow
from stages.base import Context, Video
from stages.fuse.stage import Fuse, FuseConfig
from stages.inference.question import REPLY, Question
from storyloom.fs.files import files_at

SHOWN = "A hand puts a thing on a wooden table."

FRAMES = 60
"""Frames of a video: four minutes at one each 4 s."""


def main() -> None:
    """Measure, and print a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--questions", type=int, default=7680)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    command = ["-m", "tests.chat_server", "--latency", str(asked.latency), "--slots", str(asked.slots)]
    server = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        config = FuseConfig(
            enabled=True,
            model="eyes",
            url=url,
            margin="off",
            concurrency=asked.concurrency,
            chunk=4 * asked.concurrency,
        )
        videos = _videos(asked.questions // FRAMES)
        questions = [_question(video, place, config) for video in videos for place in range(FRAMES)]
        bare, ours = list[float](), list[float]()
        for _ in range(asked.rounds):
            bare.append(asyncio.run(_bare(questions, config)))
            ours.append(_ours(videos, config))
    finally:
        server.terminate()
        server.wait()
    ideal = len(questions) * asked.latency / asked.slots
    found = {
        "questions": len(questions),
        "concurrency": asked.concurrency,
        "ideal_s": round(ideal, 2),
        "bare_s": [round(one, 2) for one in bare],
        "fuse_s": [round(one, 2) for one in ours],
        "overhead": round(statistics.median(ours) / statistics.median(bare) - 1, 4),
        "throughput_used": round(ideal / statistics.median(ours), 4),
        "throughput_used_bare": round(ideal / statistics.median(bare), 4),
    }
    print(json.dumps(found, indent=1))  # noqa: T201 - its output


def _videos(count: int) -> list[Video]:
    """Videos with one document each, whose frames all have a sentence and a caption."""
    return [_video(f"{number:020x}") for number in range(count)]


def _video(key: str) -> Video:
    numbers = range(FRAMES)
    texts = [
        DocumentText(start=4.0 * n, end=4.0 * n + 3, text=f"Now we put number {n} of {key} on the table.", source="asr")
        for n in numbers
    ]
    frames = [DocumentFrame(frame=n, time=4.0 * n, text=n, similarity=0.3, shift=0.0) for n in numbers]
    document = DocumentDraft(number=0, start=0.0, end=4.0 * FRAMES, language="en", frames=frames, texts=texts)
    captions = [FrameCaption(frame=n, caption=SHOWN, status="captioned") for n in numbers]
    rows = [DocumentsRow(video=key, documents=[document]), CaptionsRow(video=key, captions=captions)]
    return Video(ManifestRow(video=key, url=key, source_id=key), rows, "bench")


def _question(video: Video, place: int, config: FuseConfig) -> Question:
    (document,) = video[DocumentsRow].documents
    caption = video[CaptionsRow].captions[place].caption
    return Question(config.told, {"speech": document.texts[place].text, "caption": caption})


async def _bare(questions: Sequence[Question], config: FuseConfig) -> float:
    """Seconds of a loop that asks, and does nothing with the answers."""
    slots = asyncio.Semaphore(config.concurrency)
    began = time.perf_counter()
    async with AsyncOpenAI(base_url=config.url, api_key="none", max_retries=0) as client:

        async def ask(question: Question) -> None:
            async with slots:
                await client.chat.completions.create(**_body(question, config))

        await asyncio.gather(*(ask(question) for question in questions))
    return time.perf_counter() - began


def _body(question: Question, config: FuseConfig) -> dict[str, Any]:
    """A request as `fuse` makes it."""
    schema = {"name": "reply", "strict": True, "schema": REPLY}
    return {
        "model": config.model,
        "messages": question.turns(None),
        "temperature": 0,
        "seed": 0,
        "max_tokens": config.max_tokens,
        "response_format": {"type": "json_schema", "json_schema": schema},
    }


def _ours(videos: Sequence[Video], config: FuseConfig) -> float:
    """Seconds of the stage over the same questions, with its checks and remembered answers."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Fuse(config, Context(0, files_at(folder), answers=files_at(Path(folder) / "answers")))
        stage.setup()
        began = time.perf_counter()
        rows = list(stage.process(videos))
        seconds = time.perf_counter() - began
    statuses = [one.status for row in rows if isinstance(row, FusedRow) for one in row.frames]
    if statuses.count("fused") < len(statuses):
        raise SystemExit(f"not all were fused: {sorted(set(statuses))}")
    return seconds


if __name__ == "__main__":
    main()
