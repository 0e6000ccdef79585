"""Settings of `transcribe`, in a file of their own: the back ends are loaded by them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.config import LEAST_MEMORY, LONGEST, MOST_MEMORY, OPERATIONAL, StageConfig
from stages.models.demo import DEMO
from stages.transcribe.speech_segments import VadConfig

ALIGNER = "Qwen/Qwen3-ForcedAligner-0.6B-hf"
"""The published model (Apache-2.0)."""


class TranscribeConfig(StageConfig):
    """Settings of the speech recognizer.

    Attributes:
        backend: The library behind it (faster-whisper: LiveCC, Emu3.5).
        model: ``demo``, a model name of the library, e.g. ``large-v3`` (Emu3.5), or a local folder or file.
        language: BCP 47 code of the speech; empty to detect it. The manifest's `language` takes precedence.
        word_times: ``recognizer`` takes the times of words from Whisper's attention; ``forced`` aligns the recognized
            words with the audio again, by `aligner` (published: 43 ms from the truth on average, WhisperX 133 ms;
            not measured here).
        aligner: Qwen3-ForcedAligner for transformers: a repository of the Hugging Face hub, or a local folder.
        beam_size: Width of the beam search (both libraries' paper default).
        compute_type: CTranslate2's; ``int8`` runs everywhere, ``float16`` on GPUs (LiveCC). openai-whisper supports
            ``float16`` and ``float32``. ``default`` is resolved by the library and the device.
        vad: Voice activity detection.
        subtitles: ``prefer`` takes the text of a subtitle track where it agrees with what was recognized; ``ignore``
            never does.
        min_agreement: Share of words that track and recognizer must have in common in a line or sentence of the track
            for its text to be taken, above 0, to 1 (our choice: tracks of the same speech measure over 0.8, of other
            speech under 0.2; tests/stages/transcribe/test_merging.py).
        batch_size: Windows of 30 s that are recognized at once (faster-whisper only; LiveCC's 16). Like the device, it
            changes probabilities by less than the kept decimals.
        device: ``auto``, ``cpu`` or ``cuda``.
        cpu_threads: Threads of one worker on a CPU; fixed, since Ray sets another default than a shell.
        seconds: Wall-clock limit of decoding one video's audio.
        memory: Most bytes of address space for decoding it.
    """

    backend: Literal["faster-whisper", "openai-whisper"] = "faster-whisper"
    model: Annotated[str, Field(min_length=1)] = DEMO
    language: str = ""
    word_times: Literal["recognizer", "forced"] = "recognizer"
    aligner: Annotated[str, Field(min_length=1)] = ALIGNER
    beam_size: Annotated[int, Field(ge=1, le=100)] = 5
    compute_type: str = "int8"
    vad: VadConfig = VadConfig()
    subtitles: Literal["prefer", "ignore"] = "prefer"
    min_agreement: Annotated[float, Field(gt=0, le=1)] = 0.6
    batch_size: Annotated[int, Field(ge=1, le=4096), OPERATIONAL] = 16
    device: Annotated[Literal["auto", "cpu", "cuda"], OPERATIONAL] = "auto"
    cpu_threads: Annotated[int, Field(ge=1, le=1024), OPERATIONAL] = 2
    seconds: Annotated[float, Field(gt=0, le=LONGEST), OPERATIONAL] = 1800.0
    memory: Annotated[int, Field(ge=LEAST_MEMORY, le=MOST_MEMORY), OPERATIONAL] = 4 * 1024**3

    @property
    def uses_gpu(self) -> bool:
        return self.device != "cpu"

    @property
    def packages(self) -> tuple[str, ...]:
        backend = ("whisper", "torch") if self.backend == "openai-whisper" else ()
        return backend + (("transformers", "torch") if self.word_times == "forced" else ())

    @property
    def for_trying(self) -> tuple[str, ...]:
        return ("model",) if self.model == DEMO else ()
