"""video2dataset with its frame subsampler: videos at the wanted rate of frames, in shards. Runs in its own environment.

Usage: python video2dataset_frames.py JOB.json. It starts processes of its own, which load the library again.
"""

# mypy: ignore-errors
# ruff: noqa: INP001, T201

import csv
import json
import sys
import tarfile
import time
from pathlib import Path

began = time.perf_counter()

from omegaconf import OmegaConf  # noqa: E402 - loading libraries is part of the set-up
from video2dataset import video2dataset  # noqa: E402
from video2dataset.subsamplers import FrameSubsampler  # noqa: E402


def main() -> None:
    """Do the job and print its times as JSON."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    out = Path(job["out"])
    with (out / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["url"], *([video] for video in job["videos"])])
    rate = {"frame_rate": 1 / job["interval"]}
    # Its writer asks for this; where a release lacks it, no shard comes out, after minutes of retrying.
    FrameSubsampler(**rate).encode_formats  # noqa: B018
    words = {"download_size": 360, "download_audio_rate": 44100, "yt_metadata_args": None}
    config = {
        "subsampling": {"FrameSubsampler": {"args": rate}},
        "reading": {"yt_args": words, "timeout": 60, "sampler": None},
        "storage": {"number_sample_per_shard": 1000, "oom_shard_count": 5, "captions_are_subtitles": False},
        "distribution": {
            "processes_count": 1,
            "thread_count": job["threads"],
            "subjob_size": 1000,
            "distributor": "multiprocessing",
        },
    }
    OmegaConf.save(OmegaConf.create(config), out / "config.yaml")
    ready = time.perf_counter()
    video2dataset(
        url_list=str(out / "list.csv"),
        input_format="csv",
        output_format="webdataset",
        output_folder=str(out / "shards"),
        encode_formats={"video": "mp4"},
        config=str(out / "config.yaml"),
        tmp_dir=str(out),
    )
    ended = time.perf_counter()
    videos = 0
    for shard in (out / "shards").glob("*.tar"):
        with tarfile.open(shard) as tar:
            videos += sum(name.endswith(".mp4") for name in tar.getnames())
    if videos != len(job["videos"]):
        raise SystemExit(f"video2dataset wrote {videos} of {len(job['videos'])} videos")
    # Its worker process loads the same libraries again before it begins: as long as this one did.
    setup = ready - began
    spent = {"setup_seconds": 2 * setup, "work_seconds": ended - ready - setup}
    print(json.dumps(spent | {"counts": {"videos": videos}}))


if __name__ == "__main__":
    main()
