"""Speech recognition by Whisper on CTranslate2, in batches that are filled across videos.

faster-whisper loads the model and brings its spectrograms and tokenizer; `ctranslate2.models.Whisper` does the rest.
Tests compare the words with those of faster-whisper's own `BatchedInferencePipeline`.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from ctranslate2 import StorageView, get_supported_compute_types
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.vad import SpeechTimestampsMap
from threadpoolctl import ThreadpoolController

from stages.align.sentences import MAX_COMPRESSION_RATIO, MIN_LOGPROB
from stages.media.audio import floats
from stages.media.sound import SAMPLE_RATE
from stages.media.words import TimedWord
from stages.timing import Timings
from stages.transcribe.batches import Batches, Progress
from stages.transcribe.languages import ENOUGH, Probabilities, first_language
from stages.transcribe.recognizer import Recognition, RecognizedSegment, Request
from stages.transcribe.speech_segments import Span, VadConfig
from stages.transcribe.word_times import FRAMES_PER_SECOND, timed_words

MAX_LENGTH = 448
"""Most tokens of a window, prompt included; Whisper's own bound."""

NO_REPEAT = 5
"""So many tokens in a row may not come twice in a window that is decoded again, since it looped (our choice: 3 changed
what is said, 5 did not; docs/hearing.md)."""

_FEATURES_TURN = Lock()
"""Serializes feature extraction: the number of BLAS threads is global to the process."""


@dataclass(frozen=True)
class _Window:
    """Speech of at most `VadConfig.window` seconds; its offset and duration, in seconds, leave the pauses out.

    Attributes:
        features: Shape (mels, frames), not yet padded.
        clock: Maps times without the pauses to times of the audio.
        language: Whisper's code; empty until it is known.
        encoded: The encoder's output of shape (positions, width), where it was needed to detect the language and can
            be kept.
        heard: The probability of each language; empty where it was not detected.
    """

    features: npt.NDArray[np.float32]
    offset: float
    duration: float
    clock: SpeechTimestampsMap
    language: str = ""
    encoded: npt.NDArray[np.float32] | None = None
    heard: Probabilities = field(default_factory=dict)


@dataclass(frozen=True)
class _Prompt:
    """The decoder's prompt for a language: it requests a transcript without timestamps.

    Attributes:
        tokenizer: For that language.
        tokens: The prompt.
        suppressed: Tokens that must not be generated; the same in all languages.
    """

    tokenizer: Tokenizer
    tokens: list[int]
    suppressed: list[int]


@dataclass(frozen=True)
class _Text:
    """The text of a window, as tokens, and what Whisper thinks of it; see `schemas.rows.Segment`."""

    tokens: list[int]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float

    @property
    def loops(self) -> bool:
        return self.compression_ratio > MAX_COMPRESSION_RATIO


class FasterWhisper:
    """A Whisper model on CTranslate2.

    The words of a window depend on its own video alone: the search runs over a whole batch, but its results do not
    depend on the batch. On a CPU, steps in which a batch is no faster or changes the result run window by window.

    A window that loops is decoded again without repetitions. Without a given language every window has its own, see
    `stages.transcribe.languages`.

    Args:
        model: A folder with a converted model and its ``tokenizer.json``, or a repository of the Hugging Face hub.
        revision: The repository's commit; None for the newest, and for a folder.
        device: ``cpu`` or ``cuda``.
        compute_type: CTranslate2's, e.g. ``int8`` or ``float16``.
        cpu_threads: Threads of one worker on a CPU.
        beam_size: Of the search.
        batch_size: Windows that are recognized at once.
        vad: Voice activity detection.
        timings: Collects the seconds of the model.

    Raises:
        ValueError: The device does not support the compute type; the message names the supported ones.
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
        timings: Timings,
        revision: str | None = None,
    ) -> None:
        _require(compute_type, device)
        self._loaded = WhisperModel(
            model, device=device, compute_type=compute_type, cpu_threads=cpu_threads, revision=revision
        )
        self._whisper = self._loaded.model
        self._beam_size = beam_size
        self._batch_size = batch_size
        self._vad = vad
        self._timings = timings
        self._turn = Lock()  # a worker may process two parts at once; the model takes one at a time
        self._threads = ThreadpoolController()
        self._prompt = functools.cache(self._prompt_in)

    @property
    def languages(self) -> frozenset[str]:
        """Whisper's codes of the languages the model knows."""
        return frozenset(self._loaded.supported_languages)

    def recognize(self, requests: Iterable[Request]) -> Iterator[tuple[str, Recognition]]:
        """See `stages.transcribe.recognizer.Recognizer`; at most the windows of two batches are queued."""
        return Batches(self, self._batch_size).recognize(requests)

    def windows(self, request: Request, progress: Progress) -> Iterator[_Window]:
        """See `stages.transcribe.batches.WindowModel`."""
        windows = self._windows(request)
        if not self._whisper.is_multilingual:
            progress.languages.given = "en"
        return windows if progress.languages.given else self._with_languages(progress, windows)

    def _windows(self, request: Request) -> Iterator[_Window]:
        """The audio's windows, cut between speech segments, in the order of time."""
        spans = request.speech.padded
        clock = SpeechTimestampsMap([{"start": start, "end": end} for start, end in spans], SAMPLE_RATE)
        offset = 0
        for group in _grouped(spans, self._vad.window * SAMPLE_RATE):
            speech = floats(np.concatenate([request.audio[start:end] for start, end in group]))
            # Spectrograms use numpy's BLAS, whose sums depend on its threads; with int8 models that changes words.
            with _FEATURES_TURN, self._timings.on("model"), self._threads.limit(limits=1, user_api="blas"):
                features = self._loaded.feature_extractor(speech)[..., :-1]
            yield _Window(features, offset / SAMPLE_RATE, len(speech) / SAMPLE_RATE, clock)
            offset += len(speech)

    def _with_languages(self, progress: Progress, windows: Iterator[_Window]) -> Iterator[_Window]:
        """The same windows, after hearing their languages; the first `ENOUGH` seconds have one."""
        first: list[_Window] = []
        for window in map(self._heard, windows):
            if progress.languages.current:
                yield window
                continue
            first.append(window)
            if sum(one.duration for one in first) >= ENOUGH:
                progress.languages.current = first_language([(one.heard, one.duration) for one in first])
                yield from first
        if not progress.languages.current:
            progress.languages.current = first_language([(one.heard, one.duration) for one in first])
            yield from first

    def _heard(self, window: _Window) -> _Window:
        """The window with the languages heard in it. The encoder's output is kept on a CPU; elsewhere it is fast."""
        with self._turn, self._timings.on("model"):
            encoded = self._encoded(pad_or_trim(window.features)[None])
            (heard,) = self._languages(encoded)
        return replace(window, heard=heard, encoded=np.asarray(encoded)[0] if self._one_by_one else None)

    def _languages(self, encoded: StorageView) -> list[dict[str, float]]:
        """The probability of each language in windows."""
        if self._one_by_one:
            each = [StorageView.from_array(window[None]) for window in np.asarray(encoded)]
            found = [self._whisper.detect_language(window)[0] for window in each]
        else:
            found = self._whisper.detect_language(encoded)
        return [{token[2:-2]: float(probability) for token, probability in window} for window in found]

    def recognize_batch(self, batch: Sequence[tuple[Progress, _Window]]) -> None:
        """See `stages.transcribe.batches.WindowModel`."""
        frames = [ceil(window.duration) * FRAMES_PER_SECOND for _, window in batch]
        with self._turn, self._timings.on("model"):
            encoded = self._encoding([window for _, window in batch])
            prompts = [self._prompt(language) for language in self._languages_of(batch, encoded)]
            texts = self._decoded(encoded, prompts)
            self._mend_loops(texts, [window for _, window in batch], prompts)
            alignments = self._aligned(encoded, prompts, [text.tokens for text in texts], frames)
        for (progress, window), prompt, text, aligned in zip(batch, prompts, texts, alignments, strict=True):
            words, last_speech = timed_words(
                text.tokens,
                aligned,
                prompt.tokenizer,
                offset=window.offset,
                duration=window.duration,
                last_speech=progress.last_speech,
            )
            segment = RecognizedSegment(
                words=[_in_audio(word, window.clock) for word in words],
                avg_logprob=text.avg_logprob,
                no_speech_prob=text.no_speech_prob,
                compression_ratio=text.compression_ratio,
                language=prompt.tokenizer.language_code,
            )
            if segment.doubt:
                progress.left_out[segment.doubt] += len(words)
                continue
            progress.last_speech = last_speech
            progress.segments.append(segment)

    def _languages_of(self, batch: Sequence[tuple[Progress, _Window]], encoded: StorageView) -> list[str]:
        """The language of each window, in the order of time."""
        heard: list[Probabilities] = [window.heard for _, window in batch]
        if self._whisper.is_multilingual and not all(heard):
            heard = [mine or found for mine, found in zip(heard, self._languages(encoded), strict=True)]
        return [
            progress.languages.add(found, window.duration)
            for (progress, window), found in zip(batch, heard, strict=True)
        ]

    def _mend_loops(self, texts: list[_Text], windows: Sequence[_Window], prompts: Sequence[_Prompt]) -> None:
        """Decode windows whose text loops again without repetitions, unless the model hardly believes the result."""
        loops = [index for index, text in enumerate(texts) if text.loops]
        if not loops:
            return
        encoded = self._encoding([windows[index] for index in loops])
        again = self._decoded(encoded, [prompts[index] for index in loops], no_repeat_ngram_size=NO_REPEAT)
        for index, text in zip(loops, again, strict=True):
            if text.avg_logprob >= MIN_LOGPROB:
                texts[index] = text

    def _decoded(self, encoded: StorageView, prompts: Sequence[_Prompt], **options: Any) -> list[_Text]:
        results = self._whisper.generate(
            encoded,
            [prompt.tokens for prompt in prompts],
            beam_size=self._beam_size,
            max_length=MAX_LENGTH,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=prompts[0].suppressed,
            sampling_temperature=0.0,  # any other value samples
            **options,
        )
        return [_text(result, prompt.tokenizer) for result, prompt in zip(results, prompts, strict=True)]

    def _encoding(self, windows: Sequence[_Window]) -> StorageView:
        """The encoder's output for windows, where it was not kept."""
        if all(window.encoded is None for window in windows):
            return self._encoded(np.stack([pad_or_trim(window.features) for window in windows]))
        alone = (
            self._encoded(pad_or_trim(one.features)[None]) if one.encoded is None else [one.encoded] for one in windows
        )
        return StorageView.from_array(np.concatenate([np.asarray(encoded) for encoded in alone]))

    def _encoded(self, features: npt.NDArray[np.float32]) -> StorageView:
        """The encoder's output for windows; on a CPU a batch is slower than single windows, with the same result."""
        if not self._one_by_one:
            return self._whisper.encode(StorageView.from_array(features))
        encoded = [np.asarray(self._whisper.encode(StorageView.from_array(window[None]))) for window in features]
        return StorageView.from_array(np.concatenate(encoded))

    def _aligned(
        self, encoded: StorageView, prompts: Sequence[_Prompt], texts: list[list[int]], frames: list[int]
    ) -> list[Any]:
        """CTranslate2's alignments, one by one on a CPU: padding in a batch changes probabilities and times."""
        starts = [prompt.tokenizer.sot_sequence for prompt in prompts]
        if not self._one_by_one:
            return self._aligned_together(encoded, starts, texts, frames)
        return [
            self._whisper.align(StorageView.from_array(window[None]), start, [text], [length])[0]
            for window, start, text, length in zip(np.asarray(encoded), starts, texts, frames, strict=True)
        ]

    def _aligned_together(
        self, encoded: StorageView, starts: list[list[int]], texts: list[list[int]], frames: list[int]
    ) -> list[Any]:
        """CTranslate2's alignments of a batch, once per language: a call has one start sequence for all windows."""
        found: dict[tuple[int, ...], list[Any]] = {
            start: self._whisper.align(encoded, list(start), texts, frames)
            for start in dict.fromkeys(map(tuple, starts))
        }
        return [found[tuple(start)][index] for index, start in enumerate(starts)]

    @property
    def _one_by_one(self) -> bool:
        """Whether windows are encoded one by one: on a CPU, where numpy can split and join the encoder's output."""
        return self._whisper.device == "cpu" and "float16" not in self._whisper.compute_type

    def _prompt_in(self, language: str) -> _Prompt:
        tokenizer = Tokenizer(
            self._loaded.hf_tokenizer, self._whisper.is_multilingual, task="transcribe", language=language
        )
        suppressed = {
            *tokenizer.non_speech_tokens,
            tokenizer.transcribe,
            tokenizer.translate,
            tokenizer.sot,
            tokenizer.sot_prev,
            tokenizer.sot_lm,
            tokenizer.no_speech,
        }
        return _Prompt(tokenizer, [*tokenizer.sot_sequence, tokenizer.no_timestamps], sorted(suppressed))


def _require(compute_type: str, device: str) -> None:
    able = get_supported_compute_types(device)
    if compute_type not in ("default", "auto", *able):
        where = "GPU" if device == "cuda" else "CPU"
        raise ValueError(
            f"compute_type {compute_type!r} is nothing that CTranslate2 does on this machine's {where};"
            f" set transcribe.compute_type to one of {', '.join(sorted(able))}, or to default"
        )


def _grouped(spans: list[Span], most: int) -> list[list[Span]]:
    """As many spans per window as fit into `most` samples, as in faster-whisper's `collect_chunks`."""
    groups: list[list[Span]] = []
    samples = 0
    for start, end in spans:
        if not groups or samples + end - start > most:
            groups.append([])
            samples = 0
        groups[-1].append((start, end))
        samples += end - start
    return groups


def _in_audio(word: TimedWord, clock: SpeechTimestampsMap) -> TimedWord:
    """The word at its time in the audio; both its ends are in one speech segment."""
    span = clock.get_chunk_index((word.start + word.end) / 2)
    start, end = (float(clock.get_original_time(time, span)) for time in (word.start, word.end))
    return TimedWord(start, end, word.text, word.probability)


def _text(result: Any, tokenizer: Tokenizer) -> _Text:
    """The likeliest text of CTranslate2's `WhisperGenerationResult`."""
    tokens = [token for token in result.sequences_ids[0] if token < tokenizer.eot]
    length = len(result.sequences_ids[0])
    return _Text(
        tokens,
        avg_logprob=result.scores[0] * length / (length + 1),  # the end-of-text token counts
        no_speech_prob=result.no_speech_prob,
        compression_ratio=_compression_ratio(tokenizer.decode(tokens)),
    )


def _compression_ratio(text: str) -> float:
    """Bytes of a text over its compressed bytes: high for repeated words."""
    content = text.encode()
    return len(content) / len(zlib.compress(content))
