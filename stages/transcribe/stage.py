"""transcribe: the words of a video with their times, by speech recognition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from schemas.row import Row
from schemas.rows import MediaRow, Segment, TextSource, TranscriptRow
from stages.align.sentences import TERMINAL
from stages.base import Context, Input, Stage, Video, VideoDropped, VideoFailed
from stages.media import ffmpeg
from stages.media.audio import SAMPLE_RATE, Audio, decode
from stages.media.sandbox import Limits
from stages.media.source import reading
from stages.media.subtitles import tracks
from stages.transcribe.agreement import Fitted, fitted
from stages.transcribe.backends import load_aligner, load_recognizer, recognizer_revision
from stages.transcribe.forced import LANGUAGES, ForcedAligner
from stages.transcribe.prefetch import prefetched
from stages.transcribe.recognizer import (
    DECIMALS,
    Recognition,
    RecognizedSegment,
    Recognizer,
    Request,
    bcp47_language,
    segments_of,
    whisper_language,
)
from stages.transcribe.settings import TranscribeConfig
from stages.transcribe.speech_segments import SpeechSegment, find_speech
from storyloom.format.model import to_milliseconds

MIN_SENTENCE_ENDS = 0.25
"""Least share of the recognizer's sentence ends that a subtitle track must mark (our choice)."""


@dataclass(frozen=True)
class _Decoded:
    """The data of a video that is kept while its words are recognized.

    Attributes:
        duration: Seconds.
        speech: Its speech segments.
        singing: Seconds of singing and music that are left out.
        warnings: So far.
        audio: Where its words are aligned afterwards.
    """

    duration: float
    speech: list[SpeechSegment]
    singing: float
    warnings: list[str]
    audio: Audio | None


class Transcribe(Stage[TranscribeConfig, TranscriptRow]):
    """Decodes a video's first audio track and transcribes it with a Whisper model.

    The text comes from a subtitle track that agrees with the recognizer; times always come from the recognizer.
    """

    name = "transcribe"
    version = 3
    reads = (Input("download"),)
    manifest_fields = ("language",)
    row = TranscriptRow
    Config = TranscribeConfig

    def __init__(self, config: TranscribeConfig, context: Context) -> None:
        super().__init__(config, context)
        self._recognizer: Recognizer | None = None
        self._aligner: ForcedAligner | None = None
        self._limits = Limits(config.seconds, config.memory)

    def revision(self) -> str:
        return f"{recognizer_revision(self.config)}; ffmpeg {ffmpeg.version()}"

    def setup(self) -> None:
        ffmpeg.program()
        self._recognizer = load_recognizer(self.config, self.timings)
        self._aligner = load_aligner(self.config, self.timings)

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        """Fill the recognizer's batches across videos, and decode the next video meanwhile."""
        assert self._recognizer is not None, "setup() comes first"
        waiting: dict[str, tuple[Video, _Decoded]] = {}
        ended: list[Row] = []

        def requests() -> Iterator[Request]:
            for video, outcome in prefetched(self._decoded_or_ended, videos):
                if isinstance(outcome, Exception):
                    ended.append(self.guarded(video, partial(_raise, outcome)))
                    continue
                decoded, request = outcome
                waiting[video.key] = video, decoded
                yield request

        for key, recognition in self._recognizer.recognize(requests()):
            video, decoded = waiting.pop(key)
            yield self.guarded(video, partial(self._finished, decoded=decoded, recognition=recognition))
            yield from ended
            ended.clear()
        yield from ended

    def one(self, video: Video) -> TranscriptRow:
        assert self._recognizer is not None, "setup() comes first"
        decoded, request = self._decoded(video)
        [(_, recognition)] = self._recognizer.recognize([request])
        return self._finished(video, decoded, recognition)

    def _decoded_or_ended(self, video: Video) -> tuple[Video, tuple[_Decoded, Request] | VideoFailed | VideoDropped]:
        """The video with its decoded audio, or with its failure or drop."""
        try:
            return video, self._decoded(video)
        except (VideoFailed, VideoDropped) as reason:
            return video, reason

    def _decoded(self, video: Video) -> tuple[_Decoded, Request]:
        """Decode the video's audio and find its speech segments."""
        assert self._recognizer is not None
        media = video[MediaRow]
        if not media.has_audio:
            raise VideoDropped("no_audio", f"streams: {media.video_codec or 'none'}")
        with self.timings.on("decode"), reading(self.context.media, media) as path:
            audio = decode(path, self._limits)
        duration = len(audio) / SAMPLE_RATE
        warnings = []
        language = whisper_language(video.manifest.language or self.config.language)
        if language and language not in self._recognizer.languages:
            warnings.append("language_not_supported")
            language = ""
        with self.timings.on("decode"), reading(self.context.media, media) as path:
            if ffmpeg.ends_early(path, duration, media.duration, self._limits):
                warnings.append("audio_ends_early")
        with self.timings.on("model"):
            speech = find_speech(audio, self.config.vad)
        kept = audio if self._aligner else None
        decoded = _Decoded(duration, speech.bare, speech.singing, warnings, kept)
        return decoded, Request(video.key, audio, speech, language)

    def _finished(self, video: Video, decoded: _Decoded, recognition: Recognition) -> TranscriptRow:
        """The row of the recognized words, or of a subtitle track that agrees with them."""
        duration = decoded.duration
        recognized = recognition.segments
        if self._aligner and decoded.audio is not None:
            recognized = self._aligner.timed(decoded.audio, recognized, decoded.speech)
        segments = segments_of(recognized, decoded.speech, duration)
        if not segments:
            raise VideoDropped("no_speech", _nothing_heard(decoded, recognition))
        source: TextSource = "asr"
        nearest, problems = self._nearest_track(video[MediaRow], segments, duration)
        if nearest and nearest.agreement < self.config.min_agreement:
            problems.append("subtitles_disagree")
        elif nearest and _loses_sentences(nearest, segments):
            problems.append("subtitles_unpunctuated")
        elif nearest:
            source = "subtitles"
            cues = [RecognizedSegment(cue, 0.0, 0.0, 0.0) for cue in nearest.cues]
            segments = segments_of(cues, decoded.speech, duration)
        return TranscriptRow(
            video=video.key,
            warnings=decoded.warnings + _doubts(decoded, recognition) + problems,
            language=bcp47_language(recognition.spoken.language),
            language_probability=round(recognition.spoken.probability, DECIMALS),
            heard_language=bcp47_language(recognition.doubted.language),
            heard_seconds=to_milliseconds(recognition.doubted.seconds),
            duration=to_milliseconds(duration),
            singing=to_milliseconds(decoded.singing),
            looped_words=recognition.left_out.get("repetition", 0),
            doubted_words=recognition.left_out.get("not_speech", 0),
            source=source,
            agreement=nearest.agreement if nearest else -1.0,
            segments=segments,
        )

    def _nearest_track(
        self, media: MediaRow, recognized: list[Segment], duration: float
    ) -> tuple[Fitted | None, list[str]]:
        """The first subtitle track that agrees enough, otherwise the one that agrees most; and warnings of others."""
        nearest: Fitted | None = None
        problems: list[str] = []
        if self.config.subtitles == "ignore":
            return nearest, problems
        for cues in tracks(media, self.context.media, self._limits):
            if not cues:
                problems = ["subtitles_unreadable"]
                continue
            track = fitted(cues, recognized, duration)
            if nearest is None or track.agreement > nearest.agreement:
                nearest = track
            if nearest.agreement >= self.config.min_agreement:
                break
        return nearest, problems


def _doubts(decoded: _Decoded, recognition: Recognition) -> list[str]:
    """Warnings of what was left out, and of a language that seems to be another one than the given."""
    found = {
        "singing_left_out": decoded.singing > 0,
        "words_left_out": any(recognition.left_out.values()),
        "other_language_heard": recognition.doubted.language,
        "words_not_aligned": decoded.audio is not None
        and any(segment.language not in LANGUAGES for segment in recognition.segments),
    }
    return [code for code, applies in found.items() if applies]


def _nothing_heard(decoded: _Decoded, recognition: Recognition) -> str:
    left_out = sum(recognition.left_out.values())
    singing = f", {decoded.singing:.1f} s of it singing or music" if decoded.singing else ""
    doubted = f"; {left_out} words are not believed" if left_out else ""
    return f"not a word in {decoded.duration:.1f} s of audio{singing}{doubted}"


def _raise(reason: Exception, _video: Video) -> NoReturn:
    raise reason


def _loses_sentences(track: Fitted, recognized: list[Segment]) -> bool:
    """Whether a track marks far fewer sentence ends than the recognizer, as machine-made captions do."""
    marked = sum(bool(TERMINAL.search(word.text.strip())) for cue in track.cues for word in cue)
    expected = sum(bool(TERMINAL.search(word.text.strip())) for segment in recognized for word in segment.words)
    return marked < MIN_SENTENCE_ENDS * expected
