"""Speech recognition by openai-whisper: the reference implementation, on torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from stages.media.audio import floats
from stages.media.sound import SAMPLE_RATE
from stages.media.words import TimedWord
from stages.timing import Timings
from stages.transcribe.languages import Spoken
from stages.transcribe.recognizer import Doubt, Recognition, RecognizedSegment, Request, torch_threads


class OpenaiWhisper:
    """A Whisper model on torch. Checkpoints load as weights only; decoding never falls back to sampling.

    A video has one language, that of its first 30 s of speech where none is given.

    Args:
        model: A name that openai-whisper knows, or a checkpoint file.
        device: ``cpu`` or ``cuda``.
        compute_type: ``float16`` or ``float32``.
        cpu_threads: torch's threads on a CPU.
        beam_size: Of the search.
        timings: Collects the seconds of the model.

    Raises:
        ValueError: It does not support the compute type.
    """

    def __init__(
        self, model: str, *, device: str, compute_type: str, cpu_threads: int, beam_size: int, timings: Timings
    ) -> None:
        import whisper

        if compute_type not in ("float16", "float32"):
            raise ValueError(f"openai-whisper computes in float16 or float32, not in {compute_type!r}")
        name = str(Path(model).expanduser()) if Path(model).expanduser().is_file() else model
        self._model = whisper.load_model(name, device=device)
        self._fp16 = compute_type == "float16"
        self._cpu_threads = cpu_threads
        self._beam_size = beam_size
        self._timings = timings
        self._turn = Lock()  # a worker may process two parts at once; the model takes one at a time

    @property
    def languages(self) -> frozenset[str]:
        """Whisper's codes of the languages the model knows."""
        from whisper.tokenizer import LANGUAGES

        return (
            frozenset(list(LANGUAGES)[: self._model.num_languages])
            if self._model.is_multilingual
            else frozenset({"en"})
        )

    def recognize(self, requests: Iterable[Request]) -> Iterator[tuple[str, Recognition]]:
        """See `stages.transcribe.recognizer.Recognizer`; one video at a time."""
        for request in requests:
            yield request.video, self._recognized(request)

    def _recognized(self, request: Request) -> Recognition:
        spans = [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in request.speech.padded]
        language = request.language
        if not spans:
            return Recognition([], Spoken(language, 1.0 if language else 0.0))
        audio = floats(request.audio[:])
        with self._turn, self._timings.on("model"), torch_threads(self._cpu_threads):
            probability = 1.0
            if not language:
                language, probability = self._detect(audio[int(spans[0][0] * SAMPLE_RATE) :])
            found = self._model.transcribe(
                audio,
                language=language,
                beam_size=self._beam_size,
                temperature=0.0,  # any other value samples
                condition_on_previous_text=False,
                word_timestamps=True,
                clip_timestamps=[time for span in spans for time in span],
                fp16=self._fp16,
                verbose=None,
            )
        segments = [
            RecognizedSegment(
                words=[
                    TimedWord(float(word["start"]), float(word["end"]), word["word"], float(word["probability"]))
                    for word in segment["words"]
                ],
                avg_logprob=segment["avg_logprob"],
                no_speech_prob=segment["no_speech_prob"],
                compression_ratio=segment["compression_ratio"],
                language=language,
            )
            for segment in found["segments"]
        ]
        left_out: Counter[Doubt] = Counter()
        for segment in segments:
            if segment.doubt:
                left_out[segment.doubt] += len(segment.words)
        believed = [segment for segment in segments if not segment.doubt]
        return Recognition(believed, Spoken(language, probability), left_out)

    def _detect(self, audio: npt.NDArray[np.float32]) -> tuple[str, float]:
        """The most likely language of the first 30 s, and its probability."""
        import whisper

        if not self._model.is_multilingual:
            return "en", 1.0
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(audio), self._model.dims.n_mels)
        _, probabilities = self._model.detect_language(mel.to(self._model.device))
        likeliest = max(probabilities, key=probabilities.__getitem__)
        return str(likeliest), float(probabilities[likeliest])
