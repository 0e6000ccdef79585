"""Speech recognition by faster-whisper: Whisper on CTranslate2, batched, with voice activity detection."""

from __future__ import annotations

from dataclasses import asdict

from stages.asr import DECIMALS, Heard, HeardSegment
from stages.vad import Audio, HeardWord, VadConfig


class FasterWhisper:
    """A Whisper model on CTranslate2.

    Args:
        model: A name that faster-whisper knows, or a folder with a converted model and its ``tokenizer.json``.
        device: ``auto``, ``cpu`` or ``cuda``.
        compute_type: CTranslate2's, e.g. ``int8`` or ``float16``.
        cpu_threads: Threads of one worker on a CPU.
        beam_size: Of the search.
        batch_size: Windows that are recognised at once.
        vad: Voice activity detection.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str,
        compute_type: str,
        cpu_threads: int,
        beam_size: int,
        batch_size: int,
        vad: VadConfig,
    ) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(model, device=device, compute_type=compute_type, cpu_threads=cpu_threads)
        self._beam_size = beam_size
        self._batch_size = batch_size
        self._vad = vad

    @property
    def languages(self) -> frozenset[str]:
        """Whisper's codes of the languages the model knows."""
        return frozenset(self._model.supported_languages)

    def transcribe(self, audio: Audio, language: str) -> Heard:
        """Words with times; an empty language asks for detection."""
        from faster_whisper import BatchedInferencePipeline
        from threadpoolctl import threadpool_limits

        # Spectrograms come from numpy's BLAS, whose sums depend on its threads; int8 models turn that into other words.
        with threadpool_limits(1, user_api="blas"):
            # A pipeline carries the end of the last speech from call to call: each video gets its own.
            segments, info = BatchedInferencePipeline(self._model).transcribe(
                audio,
                language=language or None,
                beam_size=self._beam_size,
                batch_size=self._batch_size,
                temperature=0.0,  # any other would sample
                word_timestamps=True,
                vad_filter=True,
                vad_parameters=asdict(self._vad.options()),
                chunk_length=self._vad.window,
            )
            heard = [
                HeardSegment(
                    words=[
                        HeardWord(float(word.start), float(word.end), word.word, float(word.probability))
                        for word in segment.words or []
                    ],
                    avg_logprob=segment.avg_logprob,
                    no_speech_prob=segment.no_speech_prob,
                    compression_ratio=segment.compression_ratio,
                )
                for segment in segments
            ]
        return Heard(heard, info.language, round(info.language_probability, DECIMALS))
