"""openai-whisper's command line over all videos in one call. Runs in its own environment.

Usage: python whisper_command.py JOB.json. Loading and compiling are left out: the time of a short
clip alone is taken from the time of this clip and the videos.
"""

# mypy: ignore-errors
# ruff: noqa: INP001, S603, T201

import json
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Do the job and print its times as JSON."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    options = {
        "model": job["whisper"],
        "beam_size": job["beam_size"],
        "temperature": 0,
        "temperature_increment_on_fallback": None,
        "condition_on_previous_text": False,
        "word_timestamps": True,
        "fp16": False,
        "threads": job["threads"],
        "output_format": "json",
        "output_dir": job["out"],
    } | ({"language": job["language"]} if job["language"] else {})
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    whisper = str(Path(sys.executable).with_name("whisper"))
    setup = seconds([whisper, job["warm"], *words])
    total = seconds([whisper, job["warm"], *job["videos"], *words])
    transcripts = [json.loads(file.read_text(encoding="utf-8")) for file in Path(job["out"]).glob("*.json")]
    counts = {"words": sum(len(one["words"]) for video in transcripts for one in video["segments"])}
    print(json.dumps({"setup_seconds": setup, "work_seconds": total - setup, "counts": counts}))


def seconds(command: list) -> float:
    """Wall time of a program."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
