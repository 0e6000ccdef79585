"""pixeltable's frames, whisper and CLIP functions as computed columns. Runs in its own environment.

Usage: python pixeltable_tables.py JOB.json. Starting its database and loading the models is measured apart.
"""

# mypy: ignore-errors
# ruff: noqa: INP001, T201

import json
import os
import sys
import time
from pathlib import Path

began = time.perf_counter()
job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
os.environ["PIXELTABLE_HOME"] = job["home"]  # before it is imported; kept between rounds, since it starts a database

import pixeltable  # noqa: E402 - loading libraries is part of the set-up
import torch  # noqa: E402
from pixeltable.functions import whisper  # noqa: E402
from pixeltable.functions.huggingface import clip  # noqa: E402
from pixeltable.functions.video import extract_audio, frame_iterator  # noqa: E402


def main() -> None:
    """Do the job and print its times as JSON."""
    torch.set_num_threads(job["threads"])
    tables("warm")[0].insert([{"video": job["warm"]}])  # loads the models
    videos, frames = tables("bench")
    ready = time.perf_counter()
    videos.insert([{"video": video} for video in job["videos"]])
    transcripts = [row["transcript"] for row in videos.select(videos.transcript).collect()]
    count = len(frames.select(frames.similar).collect())
    ended = time.perf_counter()
    counts = {"frames": count, "words": sum(len(one["words"]) for video in transcripts for one in video["segments"])}
    print(json.dumps({"setup_seconds": ready - began, "work_seconds": ended - ready, "counts": counts}))


def tables(name: str) -> tuple:
    """A table of videos with their speech, and a view of their frames with embeddings of frame and speech."""
    pixeltable.drop_dir(name, force=True, if_not_exists="ignore")
    pixeltable.create_dir(name)
    videos = pixeltable.create_table(f"{name}/videos", {"video": pixeltable.Video})
    videos.add_computed_column(audio=extract_audio(videos.video, format="wav"))
    options = {"beam_size": job["beam_size"], "fp16": False}
    options |= {"language": job["language"]} if job["language"] else {}
    transcript = whisper.transcribe(
        videos.audio,
        model=job["whisper"],
        temperature=[0.0],
        condition_on_previous_text=False,
        word_timestamps=True,
        decode_options=options,
    )
    videos.add_computed_column(transcript=transcript)
    videos.add_computed_column(text=videos.transcript.text.astype(pixeltable.String))
    videos.add_computed_column(words=clip(videos.text, model_id=job["clip"]))
    frames = pixeltable.create_view(
        f"{name}/frames", videos, iterator=frame_iterator(videos.video, fps=1 / job["interval"])
    )
    frames.add_computed_column(similar=clip(frames.frame, model_id=job["clip"]))
    return videos, frames


if __name__ == "__main__":
    main()
