"""transcribe: the words of a video with their times, by speech recognition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from schemas.row import Row
from schemas.rows import TAIL_SECONDS, AudioTrack, MediaRow, Segment, TextSource, TranscriptRow
from stages.align.sentences import TERMINAL
from stages.base import Context, Input, Stage, Video, VideoDropped, VideoFailed
from stages.media import ffmpeg
from stages.media.audio import Decoded, decode
from stages.media.decoder import track_of
from stages.media.sandbox import Limits
from stages.media.sound import SAMPLE_RATE
from stages.media.source import reading
from stages.media.subtitles import tracks
from stages.transcribe.agreement import Fitted, fitted
from stages.transcribe.backends import load_recognizer, recognizer_revision
from stages.transcribe.prefetch import prefetched
from stages.transcribe.recognizer import (
    Recognition,
    RecognizedSegment,
    Recognizer,
    Request,
    bcp47_language,
    segments_of,
    whisper_language,
)
from stages.transcribe.settings import TranscribeConfig
from stages.transcribe.speech_segments import Speech, SpeechSegment, find_speech
from storyloom.format.model import to_milliseconds

MIN_SENTENCE_ENDS = 0.25
"""Least share of the recognizer's sentence ends that a subtitle track must mark (our choice)."""

MAX_FILLED = 1.0
"""Seconds of silence put into a track without a warning (our choice)."""


@dataclass(frozen=True)
class _Decoded:
    """The data of a video that is kept while its words are recognized.

    Attributes:
        duration: Seconds.
        sound: The row's fields about its sound.
        speech: Its speech segments.
        warnings: So far.
    """

    duration: float
    sound: dict[str, Any]
    speech: list[SpeechSegment]
    warnings: list[str]


class Transcribe(Stage[TranscribeConfig, TranscriptRow]):
    """Decodes a video's first audio track with speech and transcribes it with a Whisper model.

    The text comes from a subtitle track that agrees with the recognizer; times always come from the recognizer.
    """

    name = "transcribe"
    version = 2
    reads = (Input("download"),)
    manifest_fields = ("language",)
    row = TranscriptRow
    Config = TranscribeConfig

    def __init__(self, config: TranscribeConfig, context: Context) -> None:
        super().__init__(config, context)
        self._recognizer: Recognizer | None = None
        self._limits = Limits(config.seconds, config.memory)

    def revision(self) -> str:
        return f"{recognizer_revision(self.config)}; ffmpeg {ffmpeg.version()}"

    def setup(self) -> None:
        ffmpeg.program()
        self._recognizer = load_recognizer(self.config, self.timings)

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
        language, warnings = self._language(video)
        track, decoded, speech = self._heard(media)
        duration = len(decoded.audio) / SAMPLE_RATE
        if media.cut_off:
            warnings.append("audio_ends_early")
        if decoded.crashed or duration + decoded.cut - decoded.filled < track.end - TAIL_SECONDS:
            warnings.append("audio_damaged")
        if decoded.filled > MAX_FILLED:
            warnings.append("audio_gaps")
        sound = {
            "audio_stream": track.stream,
            "gain": round(decoded.gain, 1),
            "silence_filled": decoded.filled,
            "overlap_cut": decoded.cut,
        }
        return _Decoded(duration, sound, speech.bare, warnings), Request(video.key, decoded.audio, speech, language)

    def _heard(self, media: MediaRow) -> tuple[AudioTrack, Decoded, Speech]:
        """The first audio track with speech, otherwise the first that can be decoded; its sound, and its speech."""
        first: tuple[AudioTrack, Decoded, Speech] | None = None
        failed: VideoFailed | None = None
        for track in media.audio_tracks:
            try:
                with self.timings.on("decode"), reading(self.context.media, media) as path:
                    decoded = decode(track_of(media, track.stream, path), self._limits)
            except VideoFailed as reason:
                failed = failed or reason
                continue
            with self.timings.on("model"):
                speech = find_speech(decoded.audio, self.config.vad)
            if speech.bare:
                return track, decoded, speech
            first = first or (track, decoded, speech)
        if first is None:
            raise failed or VideoFailed("audio_undecodable", "the file has no audio track")
        return first

    def _language(self, video: Video) -> tuple[str, list[str]]:
        """Whisper's code of the given language, empty to detect it, and warnings."""
        assert self._recognizer is not None
        language = whisper_language(video.manifest.language or self.config.language)
        if language and language not in self._recognizer.languages:
            return "", ["language_not_supported"]
        return language, []

    def _finished(self, video: Video, decoded: _Decoded, recognition: Recognition) -> TranscriptRow:
        """The row of the recognized words, or of a subtitle track that agrees with them."""
        duration = decoded.duration
        segments = segments_of(recognition.segments, decoded.speech, duration)
        if not segments:
            raise VideoDropped("no_speech", f"not a word in {duration:.1f} s of audio")
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
            warnings=decoded.warnings + problems,
            language=bcp47_language(recognition.language),
            language_probability=recognition.language_probability,
            duration=to_milliseconds(duration),
            **decoded.sound,
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


def _raise(reason: Exception, _video: Video) -> NoReturn:
    raise reason


def _loses_sentences(track: Fitted, recognized: list[Segment]) -> bool:
    """Whether a track marks far fewer sentence ends than the recognizer, as machine-made captions do."""
    marked = sum(bool(TERMINAL.search(word.text.strip())) for cue in track.cues for word in cue)
    expected = sum(bool(TERMINAL.search(word.text.strip())) for segment in recognized for word in segment.words)
    return marked < MIN_SENTENCE_ENDS * expected
