"""The script that a user would write: ffmpeg, openai-whisper, open_clip, webdataset. Runs in its own environment.

Usage: python user_script.py JOB.json. Frames at a fixed rate, words with times, the similarity of each frame with the
sentence at its time, and a shard with one sample per video.
"""

# mypy: ignore-errors
# ruff: noqa: ANN001, INP001, S603, T201

import json
import subprocess
import sys
import time
from pathlib import Path

began = time.perf_counter()

import open_clip  # noqa: E402 - loading libraries is part of the set-up
import torch  # noqa: E402
import webdataset  # noqa: E402
import whisper  # noqa: E402
from PIL import Image  # noqa: E402


def main() -> None:
    """Do the job and print its times as JSON."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    hearing = whisper.load_model(job["whisper"])
    model, _, preprocess = open_clip.create_model_and_transforms(job["open_clip"], pretrained=job["pretrained"] or None)
    model.eval()
    tokenizer = open_clip.get_tokenizer(job["open_clip"])
    hear(hearing, job, job["warm"])  # warm-up: the first call with word times compiles code
    ready = time.perf_counter()
    counts = {"frames": 0, "words": 0, "pairs": 0}
    out = Path(job["out"])
    with webdataset.ShardWriter(str(out / "shard-%06d.tar"), maxsize=512 * 2**20, verbose=0) as shards:
        for number, video in enumerate(job["videos"]):
            frames = extract(job, video, out / f"frames-{number}")
            transcript = hear(hearing, job, video)
            scores = []
            for index, frame in enumerate(frames):
                second = index * job["interval"]
                near = [one["text"] for one in transcript["segments"] if one["start"] <= second < one["end"]]
                if near:
                    scores.append([index, similarity(model, preprocess, tokenizer, frame, near[0])])
            sample = {"__key__": f"{number:06d}", "json": {"segments": transcript["segments"], "scores": scores}}
            sample |= {f"{index:04d}.jpg": frame.read_bytes() for index, frame in enumerate(frames)}
            shards.write(sample)
            counts["frames"] += len(frames)
            counts["words"] += sum(len(one["words"]) for one in transcript["segments"])
            counts["pairs"] += len(scores)
    ended = time.perf_counter()
    print(json.dumps({"setup_seconds": ready - began, "work_seconds": ended - ready, "counts": counts}))


def extract(job: dict, video: str, folder: Path) -> list[Path]:
    """A JPEG for each interval."""
    folder.mkdir()
    rate = ["-vf", f"fps=1/{job['interval']}", "-q:v", "3"]
    threads = ["-threads", str(job["threads"])]
    command = [job["ffmpeg"], "-v", "error", *threads, "-i", video, "-map", "0:V:0", *rate, str(folder / "%04d.jpg")]
    subprocess.run(command, check=True)
    return sorted(folder.iterdir())


def hear(model, job: dict, video: str) -> dict:
    """Segments with words and their times."""
    return model.transcribe(
        video,
        language=job["language"] or None,
        beam_size=job["beam_size"],
        temperature=0.0,
        condition_on_previous_text=False,
        word_timestamps=True,
        fp16=torch.cuda.is_available(),
    )


def similarity(model, preprocess, tokenizer, frame: Path, text: str) -> float:
    """Cosine similarity of one frame and one text."""
    with torch.no_grad():
        image = model.encode_image(preprocess(Image.open(frame).convert("RGB")).unsqueeze(0))
        words = model.encode_text(tokenizer([text]))
    return float(torch.nn.functional.cosine_similarity(image, words)[0])


if __name__ == "__main__":
    main()
