"""Word times by forced alignment with Qwen3-ForcedAligner, through transformers."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np

from stages.media.audio import Audio, floats
from stages.media.sound import SAMPLE_RATE
from stages.media.words import TimedWord
from stages.models.loading import never_run_model_code
from stages.timing import Timings
from stages.transcribe.recognizer import RecognizedSegment, torch_threads
from stages.transcribe.speech_segments import SpeechSegment

LANGUAGES = frozenset({"de", "en", "es", "fr", "it", "ja", "ko", "pt", "ru", "yue", "zh"})
"""Whisper's codes of the languages that it was trained on (its model card)."""

LONGEST = 300.0
"""Seconds of audio at once: the five minutes that the model card allows."""

MARGIN = 0.2
"""Seconds of audio before and after the speech of a window (our choice)."""


@dataclass
class _Window:
    """Words that are aligned at once.

    Attributes:
        words: Their places: number of the segment, number of the word in it.
        start: Seconds, at which the first speech begins.
        end: Seconds, at which the last speech ends.
    """

    words: list[tuple[int, int]]
    start: float
    end: float


class ForcedAligner:
    """Finds recognized words in the audio again.

    The prompt is the audio and then every word with two marks after it; for each mark the model tells the time, in
    steps of 80 ms, at which the word before it starts or ends, in one pass.

    Args:
        model: A local folder, or a repository of the Hugging Face hub.
        revision: The repository's commit or branch; ignored for a folder.
        device: ``cpu`` or ``cuda``.
        cpu_threads: torch's threads on a CPU.
        timings: Collects the seconds of the model.

    Raises:
        ImportError: The installed transformers do not know the model.
        OSError: The model is not there.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str,
        device: Literal["cpu", "cuda"],
        cpu_threads: int,
        timings: Timings,
    ) -> None:
        import torch
        from transformers import Qwen3ASRForTokenClassification, Qwen3ASRProcessor

        never_run_model_code()
        path = str(Path(model).expanduser())
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        network: Any = Qwen3ASRForTokenClassification.from_pretrained(
            path, revision=revision, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
        self._network = network.to(device).eval()
        self._processor: Any = Qwen3ASRProcessor.from_pretrained(path, revision=revision, trust_remote_code=False)
        self._cpu_threads = cpu_threads
        self._timings = timings
        self._turn = Lock()  # a worker may process two parts at once; the model takes one at a time

    def timed(
        self, audio: Audio, segments: Sequence[RecognizedSegment], speech: Sequence[SpeechSegment]
    ) -> list[RecognizedSegment]:
        """The segments with the aligned times of their words; segments of other languages are left as they are.

        Args:
            audio: All of it.
            segments: In time order.
            speech: The audio's speech segments; the audio is cut between them.
        """
        words = [list(segment.words) for segment in segments]
        for window in _windows(segments, speech):
            chosen = [words[segment][word] for segment, word in window.words]
            with self._turn, self._timings.on("model"):
                aligned = self._aligned(audio, window, chosen)
            for (segment, word), found in zip(window.words, aligned, strict=True):
                words[segment][word] = found
        return [replace(segment, words=mine) for segment, mine in zip(segments, words, strict=True)]

    def _aligned(self, audio: Audio, window: _Window, words: Sequence[TimedWord]) -> list[TimedWord]:
        """The words of a window at their aligned times; punctuation that stands alone keeps its own."""
        import torch

        pieces = [self._processor.split_words_for_alignment(word.text) for word in words]
        text = " ".join(piece for mine in pieces for piece in mine)
        edges = list(accumulate((len(mine) for mine in pieces), initial=0))
        begin = max(0, round((window.start - MARGIN) * SAMPLE_RATE))
        samples = floats(audio[begin : round((window.end + MARGIN) * SAMPLE_RATE)])
        if not text or not len(samples):
            return list(words)
        with torch.inference_mode(), torch_threads(self._cpu_threads):
            inputs, lists = self._processor.prepare_forced_aligner_inputs(audio=samples, transcript=text)
            inputs = inputs.to(self._network.device, self._network.dtype)
            logits = self._network(**inputs).logits
            (found,) = self._processor.decode_forced_alignment(
                logits.float(), inputs["input_ids"], lists, self._network.config.timestamp_token_id
            )
        assert len(found) == edges[-1], "the transcript is split as its words are"
        offset, last = begin / SAMPLE_RATE, (begin + len(samples)) / SAMPLE_RATE
        times = np.clip([(one["start_time"] + offset, one["end_time"] + offset) for one in found], offset, last)
        return [
            replace(word, start=float(times[first, 0]), end=float(times[following - 1, 1]))
            if following > first
            else word
            for word, first, following in zip(words, edges[:-1], edges[1:], strict=True)
        ]


def _windows(segments: Sequence[RecognizedSegment], speech: Sequence[SpeechSegment]) -> Iterator[_Window]:
    """The words of the aligner's languages, in windows of at most `LONGEST` seconds, cut between speech segments."""
    cuts = [(end + start) / 2 for (_, end), (start, _) in pairwise(speech)]
    window: _Window | None = None
    language = ""
    for number, segment in enumerate(segments if speech else ()):
        for place, word in enumerate(segment.words if segment.language in LANGUAGES else ()):
            start, end = speech[bisect(cuts, (word.start + word.end) / 2)]
            if window and segment.language == language and end - window.start <= LONGEST:
                window.words.append((number, place))
                window.end = max(window.end, end)
                continue
            if window:
                yield window
            window, language = _Window([(number, place)], start, end), segment.language
    if window:
        yield window
