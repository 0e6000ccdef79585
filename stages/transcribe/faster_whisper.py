"""Speech recognition by faster-whisper: Whisper on CTranslate2, in batches that are filled across videos.

The batches go through the pieces of faster-whisper's `BatchedInferencePipeline`, some of which are not public; the lock
file pins its version, and tests hold the words of videos that share a batch against those that its `transcribe` gives.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from ctranslate2 import StorageView, get_cuda_device_count, get_supported_compute_types
from faster_whisper import BatchedInferencePipeline, WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.vad import SpeechTimestampsMap
from threadpoolctl import ThreadpoolController

from stages.models.turn import ModelTurn
from stages.timing import spent
from stages.transcribe.batches import Batches, Hearing
from stages.transcribe.recognizer import Heard, HeardSegment, Sound
from stages.transcribe.vad import SAMPLE_RATE, HeardWord, VadConfig, floats

NO_SOUND = -1.5
"""A column of this value after the spectrogram is part of what faster-whisper detects a language by."""

_FEATURES_TURN = ModelTurn()
"""The number of BLAS threads is the whole process's."""


@dataclass(frozen=True)
class _Window:
    """Speech of at most `VadConfig.window` seconds; its offset and duration leave the pauses out.

    Attributes:
        features: Shape (mels, frames), not yet padded.
        clock: Maps times without the pauses to times of the sound.
    """

    features: npt.NDArray[np.float32]
    offset: float
    duration: float
    clock: SpeechTimestampsMap


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

    Raises:
        ValueError: The device cannot compute in that type; the message names those in which it can.
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
        _require(compute_type, device)
        self._model = _Model(model, device=device, compute_type=compute_type, cpu_threads=cpu_threads)
        self._beam_size = beam_size
        self._batch_size = batch_size
        self._vad = vad
        self._turn = ModelTurn()
        self._threads = ThreadpoolController()
        self._asked = functools.cache(self._ask)

    @property
    def languages(self) -> frozenset[str]:
        """Whisper's codes of the languages the model knows."""
        return frozenset(self._model.supported_languages)

    def heard(self, sounds: Iterable[Sound]) -> Iterator[tuple[str, Heard | Exception]]:
        """See `stages.transcribe.recognizer.Recogniser`; at most the windows of two batches wait."""
        return Batches(self, self._batch_size).heard(sounds)

    def windows(self, sound: Sound, hearing: Hearing) -> Iterator[_Window]:
        """See `stages.transcribe.batches.WindowModel`."""
        windows = self._windows(sound)
        return windows if sound.language else self._detect_language(hearing, windows)

    def _windows(self, sound: Sound) -> Iterator[_Window]:
        """The sound's windows, cut between stretches of speech, in the order of time."""
        extractor = self._model.feature_extractor
        clock = SpeechTimestampsMap([{"start": start, "end": end} for start, end in sound.speech.padded], SAMPLE_RATE)
        offset = 0
        for group in _grouped(sound.speech.padded, self._vad.window * SAMPLE_RATE):
            audio = floats(np.concatenate([sound.audio[start:end] for start, end in group]))
            # Spectrograms come from numpy's BLAS, whose sums depend on its threads; int8 models turn that into other
            # words.
            with _FEATURES_TURN, spent("model"), self._threads.limit(limits=1, user_api="blas"):
                features = extractor(audio)[..., :-1]
            yield _Window(features, offset / SAMPLE_RATE, len(audio) / SAMPLE_RATE, clock)
            offset += len(audio)

    def _detect_language(self, hearing: Hearing, windows: Iterator[_Window]) -> Iterator[_Window]:
        """The same windows, once the language of the first 30 s of speech is known."""
        if not self._model.model.is_multilingual:
            hearing.language = "en"
            return windows
        first: list[_Window] = []
        for window in windows:
            first.append(window)
            if sum(w.features.shape[1] for w in first) >= self._model.feature_extractor.nb_max_frames:
                break
        if first:
            end = np.full((self._model.model.n_mels, 1), NO_SOUND, np.float32)
            features = np.concatenate([*(window.features for window in first), end], axis=1)
            with self._turn, spent("model"):
                hearing.language, hearing.probability, _ = self._model.detect_language(features=features)
        return chain(first, windows)

    def recognise(self, batch: Sequence[tuple[Hearing, _Window]]) -> None:
        """See `stages.transcribe.batches.WindowModel`."""
        tokenizer, options = self._asked(batch[0][0].language)
        features = np.stack([pad_or_trim(window.features) for _, window in batch])
        metadata = [{"offset": window.offset, "duration": window.duration} for _, window in batch]
        pipeline = BatchedInferencePipeline(self._model)
        last_speech = {hearing.video: hearing.last_speech for hearing, _ in batch}
        pipeline.last_speech_timestamp = [hearing.video for hearing, _ in batch], last_speech
        with self._turn, spent("model"):
            found = pipeline.forward(features, tokenizer, metadata, options)
        for (hearing, window), segments in zip(batch, found, strict=True):
            hearing.segments += [_segment(segment, window.clock) for segment in segments]
            hearing.last_speech = last_speech[hearing.video]

    def _ask(self, language: str) -> tuple[Tokenizer, Any]:
        """The prompt's language, and what faster-whisper makes of our settings; that recognises nothing yet."""
        _, info = BatchedInferencePipeline(self._model).transcribe(
            np.zeros(SAMPLE_RATE, np.float32),
            language=language,
            beam_size=self._beam_size,
            temperature=0.0,  # any other would sample
            word_timestamps=True,
            vad_filter=False,
        )
        tokenizer = Tokenizer(
            self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=info.language
        )
        return tokenizer, info.transcription_options


class _Model(WhisperModel):  # type: ignore[misc]  # faster-whisper has no types
    """faster-whisper's, for batches of several videos: what is heard in a window depends on its own video alone.

    The search goes over the whole batch; its results do not depend on that. Where a batch gains nothing or changes
    something, on a CPU, windows go through one by one.
    """

    def encode(self, features: npt.NDArray[np.float32]) -> StorageView:
        """As the library's; on a CPU a batch takes longer than its windows, and gives the same bytes."""
        if not self._one_by_one:
            return super().encode(features)
        encoded = [
            np.asarray(super(_Model, self).encode(window)) for window in features.reshape(-1, *features.shape[-2:])
        ]
        return StorageView.from_array(np.concatenate(encoded))

    def find_alignment(
        self, tokenizer: Tokenizer, text_tokens: list[list[int]], encoded: StorageView, num_frames: list[int]
    ) -> list[Any]:
        """As the library's; CTranslate2 pads the texts of a batch, and that moves probabilities and times."""
        if not self._one_by_one:
            found: list[Any] = super().find_alignment(tokenizer, text_tokens, encoded, num_frames)
            return found
        windows = np.asarray(encoded)
        return [
            super(_Model, self).find_alignment(tokenizer, [text], StorageView.from_array(window[None]), [frames])[0]
            for text, window, frames in zip(text_tokens, windows, num_frames, strict=True)
        ]

    def add_word_timestamps(
        self,
        segments: list[Any],
        tokenizer: Tokenizer,
        encoded: StorageView,
        num_frames: list[int],
        prepended: str,
        appended: str,
        last_speech: tuple[list[str], dict[str, float]],
    ) -> Any:
        """As the library's, with the video of each window, and when the last word of each video ended.

        It shortens a first word by how long ago the last one ended, and takes all windows of a batch for one video's.
        """
        tokens = [[t for part in window for t in part["tokens"] if t < tokenizer.eot] for window in segments]
        alignments = self.find_alignment(tokenizer, tokens, encoded, num_frames)
        videos, ended = last_speech
        for window, words, video in zip(segments, alignments, videos, strict=True):
            aligned = SimpleNamespace(
                find_alignment=lambda *_, words=words: [words], frames_per_second=self.frames_per_second
            )
            ended[video] = WhisperModel.add_word_timestamps(
                aligned, [window], tokenizer, encoded, num_frames, prepended, appended, ended[video]
            )
        return last_speech

    @property
    def _one_by_one(self) -> bool:
        """Whether it computes on a CPU, and what it encodes is numpy's to cut and join."""
        return self.model.device == "cpu" and "float16" not in self.model.compute_type


def _require(compute_type: str, device: str) -> None:
    on_gpu = device == "cuda" or (device == "auto" and get_cuda_device_count() > 0)
    able = get_supported_compute_types("cuda" if on_gpu else "cpu")
    if compute_type not in ("default", "auto", *able):
        where = "GPU" if on_gpu else "CPU"
        raise ValueError(
            f"compute_type {compute_type!r} is nothing that CTranslate2 does on this machine's {where};"
            f" set transcribe.compute_type to one of {', '.join(sorted(able))}, or to default"
        )


def _grouped(stretches: list[tuple[int, int]], most: int) -> list[list[tuple[int, int]]]:
    """As many stretches to a window as fit into so many samples, as faster-whisper's `collect_chunks` has it."""
    groups: list[list[tuple[int, int]]] = []
    samples = 0
    for start, end in stretches:
        if not groups or samples + end - start > most:
            groups.append([])
            samples = 0
        groups[-1].append((start, end))
        samples += end - start
    return groups


def _segment(found: dict[str, Any], clock: SpeechTimestampsMap) -> HeardSegment:
    """A segment with its words at their times in the sound; both ends of a word lie in one stretch of speech."""
    words = []
    for word in found["words"]:
        stretch = clock.get_chunk_index((word["start"] + word["end"]) / 2)
        start, end = (float(clock.get_original_time(word[side], stretch)) for side in ("start", "end"))
        words.append(HeardWord(start, end, word["word"], float(word["probability"])))
    return HeardSegment(words, found["avg_logprob"], found["no_speech_prob"], found["compression_ratio"])
