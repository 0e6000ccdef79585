"""The rows of the stages behind `download`, in the order of the pipeline: one row per video."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.calibration import Basis
from schemas.row import Row, Similarity
from storyloom.format.model import Model, Seconds

TextSource = Literal["asr", "subtitles"]
"""Source of spoken text: a speech recognizer, or a subtitle track that agrees with one there."""


class Word(Model):
    """A spoken word.

    Attributes:
        start: Seconds.
        end: Seconds, not before `start`.
        text: The word with its punctuation, and the space before it if the language writes one.
        probability: The recognizer's confidence, 0 to 1; 0.0 for a subtitle's word that it did not recognize.
    """

    start: Seconds
    end: Seconds
    text: str
    probability: Annotated[float, Field(ge=0.0, le=1.0)]

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"word {self.text!r} ends at {self.end}, before it starts at {self.start}")
        return self


class Segment(Model):
    """A stretch of speech as the recognizer decoded it, or a subtitle's cue, whose measures are 0.0.

    Attributes:
        start: Seconds.
        end: Seconds.
        avg_logprob: Mean log-probability of the tokens.
        no_speech_prob: Probability of no speech, 0 to 1.
        compression_ratio: Length of the text over its gzipped length; loops score high.
        language: BCP 47 code of the language it was recognized in; empty for a subtitle's cue.
        words: In time order.
        source: Source of the words' text.
    """

    start: Seconds
    end: Seconds
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    language: str = ""
    words: list[Word]
    source: TextSource = "asr"


class TranscriptRow(Row):
    """The output of `transcribe`: the words of a video.

    Attributes:
        language: BCP 47 code of the language of most speech.
        language_probability: 0 to 1, mean over the speech in it; 1.0 when the language was given.
        heard_language: BCP 47 code of the language that is clearly heard where another one was given; empty for none.
        heard_seconds: Seconds of speech in which it is.
        duration: Seconds of decoded audio.
        audio_stream: Index of the audio track's stream in the file.
        audio_end: Seconds at which the track's packets end.
        gain: Decibels by which the audio was raised, because it was too low.
        silence_filled: Seconds of silence put in where the track has no sound, after its first sample.
        overlap_cut: Seconds of sound left out because its time was taken.
        singing: Seconds of singing and music that voice activity detection took for speech, which are left out.
        looped_words: Words of loops that are left out.
        doubted_words: Words that are left out since Whisper itself doubts that anybody speaks.
        agreement: Of the used or the nearest subtitle track with the recognized words, 0 to 1; -1.0 without a track.
        lag: Seconds by which that track is late against the speech, negative when it is early; 0.0 where unclear.
        stretch: Factor by which its times are multiplied, before the lag is taken off; 1.0 for a track without drift.
        left_out: Words of the used track that nobody heard.
        segments: In time order.
    """

    language: str = ""
    language_probability: float = 0.0
    heard_language: str = ""
    heard_seconds: Seconds = 0.0
    duration: Seconds = 0.0
    audio_stream: int = -1
    audio_end: Seconds = 0.0
    gain: float = 0.0
    silence_filled: Seconds = 0.0
    overlap_cut: Seconds = 0.0
    singing: Seconds = 0.0
    looped_words: int = 0
    doubted_words: int = 0
    agreement: Annotated[float, Field(ge=-1.0, le=1.0)] = -1.0
    lag: float = 0.0
    stretch: float = 1.0
    left_out: int = 0
    segments: list[Segment] = []

    def counts(self) -> dict[str, int]:
        return {
            "words": sum(len(segment.words) for segment in self.segments),
            "subtitle_words_left_out": self.left_out,
            "words_dropped.repetition": self.looped_words,
            "words_dropped.not_speech": self.doubted_words,
            "singing_ms": round(self.singing * 1000),
        }


class SampledFrame(Model):
    """A sampled frame.

    Attributes:
        time: Presentation time of the decoded frame, in seconds.
        start: Seconds from which what it shows is seen: the start of its scene, or of its interval of a long one.
        scene: Number of the scene it lies in, from 0.
        width: Pixels of the JPEG.
        height: Pixels of the JPEG.
        black: Share of black pixels, 0 to 1.
        sharpness: Variance of the Laplacian of the JPEG's luma; low for a blurred picture or a plain surface.
    """

    time: Seconds
    start: Seconds
    scene: int
    width: int
    height: int
    black: float
    sharpness: float


class FramesRow(Row):
    """The output of `sample`: the frames of a video.

    Attributes:
        frames: In time order, times strictly rising.
        jpegs: One baseline JPEG per frame, in the same order; empty where a reader left the column out.
        near_duplicates: Number of frames left out because they look like the last kept one.
        thinned: Number of frames left out because there were too many.
        covered: Seconds up to which the picture could be decoded.
    """

    frames: list[SampledFrame] = []
    jpegs: list[bytes] = []
    near_duplicates: int = 0
    thinned: int = 0
    covered: Seconds = 0.0

    @model_validator(mode="after")
    def _frames_match_jpegs_and_time(self) -> Self:
        if self.jpegs and len(self.jpegs) != len(self.frames):
            raise ValueError(f"{len(self.frames)} frames but {len(self.jpegs)} JPEGs")
        times = [frame.time for frame in self.frames]
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise ValueError("frame times must rise strictly")
        return self

    def counts(self) -> dict[str, int]:
        thinned = {"frames_dropped.thinned": self.thinned} if self.thinned else {}
        return {"frames": len(self.frames), "frames_dropped.near_duplicate": self.near_duplicates} | thinned


class Sentence(Model):
    """A sentence with its times.

    Attributes:
        start: Seconds, of its first word.
        end: Seconds, of its last word.
        text: Trimmed, without control characters or special tokens of trainers.
        words: Number of words (characters, in languages without spaces).
        source: Source of the text.
        flag: Why it should not be trusted, e.g. ``repetition``; empty when it can.
    """

    start: Seconds
    end: Seconds
    text: str
    words: int
    source: TextSource = "asr"
    flag: str = ""


class Pair(Model):
    """A frame and a sentence that are near in time.

    Attributes:
        frame: Index into the video's frames.
        sentence: Index into the video's sentences.
    """

    frame: int
    sentence: int


WORD_COLUMNS = ("sentence_words", "words", "word_start", "word_end")
"""Columns of an `AlignedRow` about single words, which most of its readers leave out."""


class AlignedRow(Row):
    """The output of `align`: sentences and candidate pairs.

    Attributes:
        language: As transcribed.
        sentences: In time order, not overlapping.
        sentence_words: How many of the words are each sentence's; empty where a reader left the columns of words out.
        words: Of all sentences, in time order, trimmed; those of a sentence spell its text, spaces aside.
        word_start: Seconds, of each word, in its sentence's interval.
        word_end: Seconds, of each word.
        frame_times: Seconds, of all the video's frames.
        pairs: Candidates inside the window, ordered by frame, then sentence.
        null_pairs: Random pairs outside the window, samples of unrelated frames and texts.
        null_texts: Sentences of other videos of the part, for a video that has none of its own outside the window.
        null_text_pairs: Pairs of a frame and one of `null_texts`.
    """

    language: str = ""
    sentences: list[Sentence] = []
    sentence_words: list[int] = []
    words: list[str] = []
    word_start: list[Seconds] = []
    word_end: list[Seconds] = []
    frame_times: list[Seconds] = []
    pairs: list[Pair] = []
    null_pairs: list[Pair] = []
    null_texts: list[str] = []
    null_text_pairs: list[Pair] = []

    def counts(self) -> dict[str, int]:
        return {"sentences": len(self.sentences), "pairs": len(self.pairs)}


class ScoresRow(Row):
    """The output of `score`: similarities of pairs.

    Attributes:
        model: Name of the image-text model.
        revision: Its revision or content hash.
        similarity: Of each of the aligned row's `pairs`, in order.
        null_similarity: Of each of its `null_pairs`, then of each of its `null_text_pairs`, in order.
        continuity: Similarity of the text before and after each boundary between sentences; one fewer than sentences.
    """

    model: str = ""
    revision: str = ""
    similarity: list[Similarity] = []
    null_similarity: list[Similarity] = []
    continuity: list[Similarity] = []


class DocumentFrame(Model):
    """A frame of a document.

    Attributes:
        frame: Index into the video's frames.
        time: Seconds.
        text: Index into the document's texts; -1 for a frame with no text of its own.
        similarity: With that text; -1.0 without one.
        shift: Seconds by which its sentence was moved against the clock; 0.0 in `time` mode.
    """

    frame: int
    time: Seconds
    text: int
    similarity: float
    shift: float


class DocumentText(Model):
    """A sentence of a document: times in seconds, text, its source, and its index into the video's sentences.

    The index is -1 for a text that is none of them.
    """

    start: Seconds
    end: Seconds
    text: str
    source: str
    sentence: int = -1


class DocumentDraft(Model):
    """An interleaved document, before it is written to a shard.

    Attributes:
        number: From 0, within its video.
        start: Seconds, of its first frame or word.
        end: Seconds, of its last frame or word.
        language: BCP 47 code.
        frames: In time order.
        texts: In time order.
    """

    number: int
    start: Seconds
    end: Seconds
    language: str
    frames: list[DocumentFrame]
    texts: list[DocumentText]


class DroppedItem(Model):
    """A frame, sentence or document that `filter` left out, and why.

    Attributes:
        kind: What it is.
        index: Into the video's frames or sentences; for a document, that of its first sentence.
        time: Seconds.
        reason: Short machine-readable reason; docs/errors.md lists them all.
    """

    kind: Literal["frame", "sentence", "document"]
    index: int
    time: Seconds
    reason: str


LEAST_LAG_CONFIDENCE = 0.5
"""Confidence below which a video is taken as having no lag: any other is more likely wrong than right."""


class DocumentsRow(Row):
    """The output of `filter`: documents and dropped items.

    Attributes:
        threshold: Similarity below which a frame was dropped; in `clip` mode more was asked for.
        threshold_from: What it rests on: the config, null scores, what is stated for the image-text model, or nothing.
        lag: Seconds by which speech follows the picture, as estimated in `clip` mode, the median over the frames;
            negative when it comes first, 0.0 when unclear and in `time` mode.
        lag_confidence: Probability that speech is about the picture, with a lag within a second of `frame_lags`, mean
            over the frames; 0.0 in `time` mode.
        frame_lags: The lag at each of the video's frames, as `lag`.
        documents: In time order.
        dropped_items: In time order.
    """

    threshold: float = 0.0
    threshold_from: Basis = "calibrated"
    lag: float = 0.0
    lag_confidence: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    frame_lags: list[float] = []
    documents: list[DocumentDraft] = []
    dropped_items: list[DroppedItem] = []

    def counts(self) -> dict[str, int]:
        kept = {
            "documents": len(self.documents),
            "frames": sum(len(document.frames) for document in self.documents),
            "sentences": sum(len(document.texts) for document in self.documents),
        }
        return kept | Counter(f"{item.kind}s_dropped.{item.reason}" for item in self.dropped_items)


class TextSound(Model):
    """Which text a sound is that of.

    Attributes:
        document: The document's number in its video.
        text: Index into the document's texts.
        start: Seconds, of the text.
        end: Seconds, of the text.
    """

    document: int
    text: int
    start: Seconds
    end: Seconds


class SoundsRow(Row):
    """The output of `sound`: the sound of each text of the documents.

    Attributes:
        documents: Number of the video's documents.
        frames: Number of their frames.
        texts: The texts, in the order of the documents.
        opus: An Ogg Opus file with one channel for each text, in the same order.
    """

    documents: int = 0
    frames: int = 0
    texts: list[TextSound] = []
    opus: list[bytes] = []

    @model_validator(mode="after")
    def _one_for_each_text(self) -> Self:
        if self.opus and len(self.opus) != len(self.texts):
            raise ValueError(f"{len(self.texts)} texts but {len(self.opus)} sounds")
        return self

    def counts(self) -> dict[str, int]:
        return {"documents": self.documents, "frames": self.frames, "sentences": len(self.texts)}


class FrameCodes(Model):
    """Which frame codes are those of.

    Attributes:
        frame: Index into the video's frames.
        time: Seconds, of the frame.
        rows: Rows of codes.
        columns: Columns of codes.
    """

    frame: int
    time: Seconds
    rows: int
    columns: int


class CodesRow(Row):
    """The output of `tokenize`: discrete codes of the frames of the documents.

    Attributes:
        documents: Number of the video's documents.
        sentences: Number of their texts.
        frames: Each frame of the documents once, in the order of the frames.
        npy: For each of them a file of NumPy's with codes, uint16, shape (rows, columns): see `storyloom.format.codes`.
    """

    documents: int = 0
    sentences: int = 0
    frames: list[FrameCodes] = []
    npy: list[bytes] = []

    @model_validator(mode="after")
    def _codes_for_each_frame(self) -> Self:
        if self.npy and len(self.npy) != len(self.frames):
            raise ValueError(f"{len(self.frames)} frames but codes of {len(self.npy)}")
        return self

    def counts(self) -> dict[str, int]:
        codes = sum(one.rows * one.columns for one in self.frames)
        return {
            "documents": self.documents,
            "frames": len(self.frames),
            "sentences": self.sentences,
            "codes": codes,
        }


class FrameCaption(Model):
    """What a model says that a frame shows.

    Attributes:
        frame: Index into the video's frames.
        caption: Trimmed, without control characters or special tokens of trainers; empty where there is none.
        status: ``captioned``, or ``failed:`` and a reason; docs/errors.md lists them all.
        retryable: Whether asking again may help.
    """

    frame: int
    caption: str
    status: str
    retryable: bool = False


class CaptionsRow(Row):
    """The output of `caption`: captions of the frames of a video's documents.

    Attributes:
        captions: In the order of the frames; each frame once.
    """

    captions: list[FrameCaption] = []

    def retryable_items(self) -> int:
        return sum(one.retryable for one in self.captions)

    def counts(self) -> dict[str, int]:
        return _by_status("captions", "captioned", [one.status for one in self.captions])


class FrameFusion(Model):
    """What is said and what is shown at a frame, as one text.

    Attributes:
        frame: Index into the video's frames.
        fused: The text; empty where the status is not ``fused``.
        status: ``fused``; ``kept:`` and why what was said stays as it is; or ``failed:`` and why no answer came;
            docs/errors.md lists them all.
        similarity: Of the frame and the fused text; -1.0 where it was not compared.
        retryable: Whether asking again may help.
    """

    frame: int
    fused: str
    status: str
    similarity: Similarity = -1.0
    retryable: bool = False


class FusedRow(Row):
    """The output of `fuse`.

    Attributes:
        replace: Whether the fused text stands in the document instead of what was said.
        frames: In the order of the frames; each frame of the video's documents once.
    """

    replace: bool = False
    frames: list[FrameFusion] = []

    def retryable_items(self) -> int:
        return sum(one.retryable for one in self.frames)

    def counts(self) -> dict[str, int]:
        return _by_status("fusions", "fused", [one.status for one in self.frames])


def _by_status(what: str, good: str, statuses: list[str]) -> dict[str, int]:
    """Counts of frames: the good ones, those that keep what they had, and those without an answer, by reason."""
    kinds = {"kept": "dropped", "failed": "failed"}
    others = (status.split(":", 1) for status in statuses if status != good)
    return {what: statuses.count(good)} | Counter(f"{what}_{kinds[kind]}.{reason}" for kind, reason in others)
