"""Speech recognition by openai-whisper: the reference implementation, on torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.models.turn import ModelTurn
from stages.timing import spent
from stages.transcribe.recognizer import DECIMALS, Heard, HeardSegment, Sound, torch_threads
from stages.transcribe.vad import SAMPLE_RATE, HeardWord, floats


class OpenaiWhisper:
    """A Whisper model on torch. Checkpoints load as weights only; decoding is without fallback to sampling.

    Args:
        model: A name that openai-whisper knows, or a checkpoint file.
        device: ``auto``, ``cpu`` or ``cuda``.
        compute_type: ``float16`` or ``float32``; ``default`` is the first on a GPU, the second on a CPU.
        cpu_threads: torch's threads on a CPU.
        beam_size: Of the search.
    """

    def __init__(self, model: str, *, device: str, compute_type: str, cpu_threads: int, beam_size: int) -> None:
        import torch
        import whisper

        if compute_type not in ("default", "float16", "float32"):
            raise ValueError(f"openai-whisper computes in float16 or float32, not in {compute_type!r}")
        on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        name = str(Path(model).expanduser()) if Path(model).expanduser().is_file() else model
        self._model = whisper.load_model(name, device="cuda" if on_gpu else "cpu")
        self._fp16 = compute_type == "float16" or (compute_type == "default" and on_gpu)
        self._cpu_threads = cpu_threads
        self._beam_size = beam_size
        self._turn = ModelTurn()

    @property
    def languages(self) -> frozenset[str]:
        """Whisper's codes of the languages the model knows."""
        from whisper.tokenizer import LANGUAGES

        return (
            frozenset(list(LANGUAGES)[: self._model.num_languages])
            if self._model.is_multilingual
            else frozenset({"en"})
        )

    def heard(self, sounds: Iterable[Sound]) -> Iterator[tuple[str, Heard | Exception]]:
        """See `stages.transcribe.recognizer.Recogniser`; one sound after the other."""
        for sound in sounds:
            try:
                outcome: Heard | Exception = self._heard(sound)
            except (MemoryError, OSError):
                raise
            except Exception as reason:  # noqa: BLE001 - its row says so
                outcome = reason
            yield sound.video, outcome

    def _heard(self, sound: Sound) -> Heard:
        stretches = [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in sound.speech.padded]
        language = sound.language
        if not stretches:
            return Heard([], language, 1.0 if language else 0.0)
        audio = floats(sound.audio[:])
        with self._turn, spent("model"), torch_threads(self._cpu_threads):
            probability = 1.0
            if not language:
                language, probability = self._detect(audio[int(stretches[0][0] * SAMPLE_RATE) :])
            said = self._model.transcribe(
                audio,
                language=language,
                beam_size=self._beam_size,
                temperature=0.0,  # any other would sample
                condition_on_previous_text=False,
                word_timestamps=True,
                clip_timestamps=[time for stretch in stretches for time in stretch],
                fp16=self._fp16,
                verbose=None,
            )
        heard = [
            HeardSegment(
                words=[
                    HeardWord(float(word["start"]), float(word["end"]), word["word"], float(word["probability"]))
                    for word in segment["words"]
                ],
                avg_logprob=segment["avg_logprob"],
                no_speech_prob=segment["no_speech_prob"],
                compression_ratio=segment["compression_ratio"],
            )
            for segment in said["segments"]
        ]
        return Heard(heard, language, round(probability, DECIMALS))

    def _detect(self, audio: npt.NDArray[np.float32]) -> tuple[str, float]:
        """The likeliest language of the first 30 s, and its probability."""
        import whisper

        if not self._model.is_multilingual:
            return "en", 1.0
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(audio), self._model.dims.n_mels)
        _, probabilities = self._model.detect_language(mel.to(self._model.device))
        likeliest = max(probabilities, key=probabilities.__getitem__)
        return str(likeliest), float(probabilities[likeliest])
