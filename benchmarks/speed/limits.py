"""The limits of the speed bench: the libraries called directly, which our stages can hardly outperform."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.speed.rounds import timed
from stages.media import ffmpeg
from stages.models.demo import DEMO, photo_sentence_folder, whisper_folder
from stages.score.image_text import without_bars
from stages.score.stage import ScoreConfig
from stages.transcribe.recognizer import whisper_language
from stages.transcribe.settings import TranscribeConfig
from storyloom.errors import RunFailed, UsageError

if TYPE_CHECKING:
    import torch

BATCHES = (4, 8, 16, 32, 64)
"""Batch sizes from which the image-text model's best one is chosen."""

TRIES = 3
"""Tries of each batch size; the median counts (our choice)."""


def decode_command(video: Path) -> list[str]:
    """The command with which ffmpeg decodes the stream of `sample`, on one thread as it does, and discards it."""
    picture = ["-map", "0:V:0", "-f", "null", "-"]
    return [str(ffmpeg.program()), *ffmpeg.QUIET, "-threads", "1", "-i", str(video), *picture]


def decode_only(videos: Sequence[Path]) -> float:
    """Seconds that ffmpeg takes to decode the pictures of the videos, one after the other.

    Raises:
        RunFailed: It cannot decode one of them.
    """
    return timed(lambda: _run([decode_command(video) for video in videos]))


def _run(commands: Sequence[Sequence[str]]) -> None:
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a list, no shell
        if done.returncode:
            raise RunFailed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")


class BareRecognizer:
    """faster-whisper's batched pipeline on decoded audio, one call per video.

    Raises:
        UsageError: The config has another back end.
    """

    def __init__(self, config: TranscribeConfig) -> None:
        from faster_whisper import WhisperModel

        if config.backend != "faster-whisper":
            raise UsageError("the limit of transcribe is faster-whisper's pipeline: set transcribe.backend to it")
        self._config = config
        model = str(whisper_folder()) if config.model == DEMO else str(Path(config.model).expanduser())
        self._model = WhisperModel(
            model if Path(model).exists() else config.model,
            device=config.device,
            compute_type=config.compute_type,
            cpu_threads=config.cpu_threads,
        )

    def seconds(self, sounds: Sequence[npt.NDArray[np.float32]]) -> float:
        """Wall time of transcribing decoded audio with the config's settings; each array is (samples,) at 16 kHz."""
        return timed(lambda: [self._words(sound) for sound in sounds])

    def _words(self, sound: npt.NDArray[np.float32]) -> int:
        from faster_whisper import BatchedInferencePipeline

        config = self._config
        segments, _ = BatchedInferencePipeline(self._model).transcribe(
            sound,
            language=whisper_language(config.language) or None,
            beam_size=config.beam_size,
            batch_size=config.batch_size,
            temperature=0.0,
            word_timestamps=True,
            vad_filter=True,
            vad_parameters={
                "threshold": config.vad.threshold,
                "min_silence_duration_ms": round(config.vad.min_silence * 1000),
                "speech_pad_ms": round(config.vad.pad * 1000),
            },
            chunk_length=config.vad.window,
        )
        return sum(len(segment.words or []) for segment in segments)


def decoded_sounds(videos: Sequence[Path]) -> list[npt.NDArray[np.float32]]:
    """The audio of each video by faster-whisper's own decoder, shape (samples,) at 16 kHz."""
    from faster_whisper import decode_audio

    return [decode_audio(str(video), sampling_rate=16_000) for video in videos]


class BareImageText:
    """The image-text model on prepared tensors, at its best batch size and the config's threads and precision."""

    def __init__(self, config: ScoreConfig) -> None:
        import open_clip
        import torch

        torch.set_num_threads(config.threads)
        name = f"local-dir:{photo_sentence_folder()}" if config.model == DEMO else config.model
        gpu = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
        self._device = torch.device("cuda" if gpu else "cpu")
        self._bf16 = config.precision == "bf16" or (
            config.precision == "auto" and gpu and torch.cuda.is_bf16_supported()
        )
        model, _, self._preprocess = open_clip.create_model_and_transforms(
            name, pretrained=config.pretrained or None, device=self._device, weights_only=True
        )
        self._model: Any = model.eval().to(memory_format=torch.channels_last)
        self._tokenizer: Any = open_clip.get_tokenizer(name)
        self._threads = config.threads

    def tensors(self, jpegs: Sequence[bytes], texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Preprocessed pictures, shape (n, 3, height, width), and tokens, shape (m, context), on the model's device."""
        import io

        import torch
        from PIL import Image

        pictures = [self._preprocess(without_bars(Image.open(io.BytesIO(jpeg)).convert("RGB"))) for jpeg in jpegs]
        pixels = torch.stack(pictures).contiguous(memory_format=torch.channels_last)
        return pixels.to(self._device), self._tokenizer(list(texts)).to(self._device)

    def batch_seconds(self, encode: str, tensors: torch.Tensor) -> dict[int, float]:
        """Seconds by batch size of `BATCHES`, after a warm-up."""
        self._encode(encode, tensors[: BATCHES[0]], BATCHES[0])
        tried: dict[int, list[float]] = {batch: [] for batch in BATCHES}
        for _ in range(TRIES):
            for batch, seconds in tried.items():
                seconds.append(timed(partial(self._encode, encode, tensors, batch)))
        return {batch: statistics.median(seconds) for batch, seconds in tried.items()}

    def seconds(self, pixels: torch.Tensor, tokens: torch.Tensor, batches: Sequence[int]) -> float:
        """Wall time of encoding all pictures and all texts, with a batch size for each of the two."""
        import torch

        torch.set_num_threads(self._threads)
        images, texts = batches
        return timed(lambda: (self._encode("image", pixels, images), self._encode("text", tokens, texts)))

    def _encode(self, what: str, tensors: torch.Tensor, batch: int) -> Any:
        import torch

        encode = self._model.encode_image if what == "image" else self._model.encode_text
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            outputs = [encode(tensors[start : start + batch]) for start in range(0, len(tensors), batch)]
            return torch.cat(outputs).float().cpu()  # waits for a GPU


def copy_shards(shards: Sequence[Path], scratch: Path) -> float:
    """Seconds of copying the bytes of shards to the disk, with fsync."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        return timed(lambda: _copy(shards, Path(folder)))


def _copy(shards: Sequence[Path], folder: Path) -> None:
    for number, shard in enumerate(shards):
        target = folder / f"{number}.tar"
        shutil.copyfile(shard, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())
