"""data-juicer's frame-text similarity filter, its operator called directly. Runs in its own environment.

Usage: python data_juicer_filter.py JOB.json. Its rate of frames is a number per video, and one text belongs to a video.
"""

# mypy: ignore-errors
# ruff: noqa: INP001, T201

import json
import sys
import time
from pathlib import Path

began = time.perf_counter()

import torch  # noqa: E402 - loading libraries is part of the set-up
from data_juicer.ops.filter.video_frames_text_similarity_filter import VideoFramesTextSimilarityFilter  # noqa: E402
from data_juicer.utils.constant import Fields  # noqa: E402
from data_juicer.utils.mm_utils import SpecialTokens  # noqa: E402
from data_juicer.utils.model_utils import get_model  # noqa: E402


def main() -> None:
    """Do the job and print its times as JSON."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    operator = VideoFramesTextSimilarityFilter(hf_clip=job["clip"], frame_sampling_method="uniform", frame_num=1)
    get_model(operator.model_key, None, operator.use_cuda())
    frames = 0
    with torch.no_grad():
        compare(operator, job["warm"], "warm")  # not counted
        ready = time.perf_counter()
        for video, seconds, text in zip(job["videos"], job["seconds"], job["texts"], strict=True):
            operator.frame_num = max(1, round(seconds / job["interval"]))
            compare(operator, video, text)
            frames += operator.frame_num
    ended = time.perf_counter()
    print(json.dumps({"setup_seconds": ready - began, "work_seconds": ended - ready, "counts": {"frames": frames}}))


def compare(operator: VideoFramesTextSimilarityFilter, video: str, text: str) -> None:
    """Whether the filter would keep a video."""
    sample = {"text": f"{SpecialTokens.video} {text} {SpecialTokens.eoc}", "videos": [video], Fields.stats: {}}
    operator.process_single(operator.compute_stats_single(sample))


if __name__ == "__main__":
    main()
