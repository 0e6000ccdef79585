"""transcribe: the words of a video with their times, by speech recognition."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from schemas.media import AudioTrack, MediaRow
from schemas.row import Row
from schemas.rows import Segment, TranscriptRow
from stages.base import Context, Input, Stage, StageSetupError, Video, VideoDropped, VideoFailed
from stages.media import ffmpeg
from stages.media.audio import Audio, Decoded, decode
from stages.media.decoder import track_of
from stages.media.sandbox import Limits
from stages.media.sound import SAMPLE_RATE
from stages.media.source import reading
from stages.media.subtitles.tracks import tracks
from stages.media.track import TAIL_SECONDS
from stages.models.revision import library_versions
from stages.transcribe.agreement import heard_words, plain
from stages.transcribe.backends import (
    ENGLISH_ONLY,
    load_aligner,
    load_recognizer,
    missing_for,
    recognizer_revision,
    unknown_language,
)
from stages.transcribe.forced import LANGUAGES, ForcedAligner
from stages.transcribe.merging import Merged, merged
from stages.transcribe.prefetch import prefetched
from stages.transcribe.recognizer import (
    DECIMALS,
    Recognition,
    RecognizedSegment,
    Recognizer,
    Request,
    bcp47_language,
    believed,
    segments_of,
    whisper_language,
)
from stages.transcribe.settings import TranscribeConfig
from stages.transcribe.speech_segments import Speech, SpeechSegment, find_speech
from storyloom.format.model import to_milliseconds

LEAST_BELIEVED = -0.6
"""Mean log probability of the words below which an English-only model has most likely not heard English (our choice;
docs/hearing.md has what English and other speech measure)."""

MIN_SENTENCE_ENDS = 0.25
"""Least share of the recognizer's sentence ends that a subtitle track must mark (our choice)."""

MAX_FILLED = 1.0
"""Seconds of silence put into a track without a warning (our choice)."""

LEAST_SHARED = 0.2
"""Least share of words in common, of the fewer words of track and recognizer, for a track to be used at all: in a track
of other speech or free wording, a few short lines may agree (our choice)."""

MANY_LEFT_OUT = 0.2
"""Share of a used track's words that nobody heard from which there is a warning (our choice)."""

MAX_CUT = 0.3
"""Seconds of overlapping sound left out without a warning (our choice: joints of files overlap by their padding)."""


@dataclass(frozen=True)
class _Decoded:
    """The data of a video that is kept while its words are recognized.

    Attributes:
        duration: Seconds.
        sound: The row's fields about its sound.
        speech: Its speech segments.
        singing: Seconds of singing and music that are left out.
        warnings: So far.
        audio: Where its words are aligned afterwards.
    """

    duration: float
    sound: dict[str, Any]
    speech: list[SpeechSegment]
    singing: float
    warnings: list[str]
    audio: Audio | None


class Transcribe(Stage[TranscribeConfig, TranscriptRow]):
    """Decodes a video's first audio track with speech and transcribes it with a Whisper model.

    Where a subtitle track agrees with the recognizer, the text is the track's; times always come from the recognizer.
    """

    name = "transcribe"
    version = 5
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
        return f"{recognizer_revision(self.config)}; {library_versions('av')}, ffmpeg {ffmpeg.version()}"

    def missing(self, urls: Collection[str]) -> list[str]:
        del urls
        return missing_for(self.config)

    def setup(self) -> None:
        ffmpeg.program()
        config = self.config
        self._recognizer = load_recognizer(config, self.timings)
        known = self._recognizer.languages
        if config.language and whisper_language(config.language) not in known:
            raise StageSetupError(unknown_language("transcribe.language", config.language, config.model, known))
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
        language, warnings = self._language(video), list[str]()
        track, decoded, speech = self._heard(media)
        duration = len(decoded.audio) / SAMPLE_RATE
        if media.cut_off:
            warnings.append("audio_ends_early")
        missing = track.end - duration + (decoded.filled if decoded.errors else 0.0)
        if decoded.crashed or missing > TAIL_SECONDS:
            warnings.append("audio_damaged")
        if decoded.filled > MAX_FILLED:
            warnings.append("audio_gaps")
        if decoded.cut > MAX_CUT:
            warnings.append("audio_overlaps")
        sound = {
            "audio_stream": track.stream,
            "audio_end": track.end,
            "gain": round(decoded.gain, 1),
            "silence_filled": decoded.filled,
            "overlap_cut": decoded.cut,
        }
        kept = decoded.audio if self._aligner else None
        found = _Decoded(duration, sound, speech.bare, speech.singing, warnings, kept)
        return found, Request(video.key, decoded.audio, speech, language)

    def _heard(self, media: MediaRow) -> tuple[AudioTrack, Decoded, Speech]:
        """The first audio track with speech, otherwise the first that can be decoded; its sound, and its speech."""
        first: tuple[AudioTrack, Decoded, Speech] | None = None
        failed: VideoFailed | None = None
        for track in media.audio_tracks:
            try:
                with self.timings.on("decode"), reading(self.context.media, media) as path:
                    decoded = decode(track_of(media, [track.stream, *track.followers], path), self._limits)
            except VideoFailed as reason:
                if reason.retryable:  # which track is heard must not hang on this machine or moment
                    raise
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

    def _language(self, video: Video) -> str:
        """Whisper's code of the given language; empty to detect it.

        Raises:
            VideoFailed: ``language_not_supported``.
        """
        assert self._recognizer is not None
        given, known = video.manifest.language, self._recognizer.languages
        if whisper_language(given) and whisper_language(given) not in known:
            message = unknown_language("the manifest's language", given, self.config.model, known)
            raise VideoFailed("language_not_supported", message)
        return self._given(video)

    def _given(self, video: Video) -> str:
        """Whisper's code of the language that somebody gives, empty where nobody does."""
        return whisper_language(video.manifest.language) or whisper_language(self.config.language)

    @property
    def _other_language(self) -> str:
        """What a model of English alone cannot tell; empty for any other."""
        assert self._recognizer is not None
        if self._recognizer.languages != ENGLISH_ONLY:
            return ""
        return f"; transcribe.model {self.config.model!r} knows English only, and this may be another language"

    def _check_language(self, video: Video, heard: Sequence[RecognizedSegment]) -> None:
        """Refuse words that a model of English alone hardly believes, unless somebody says that it is English.

        A subtitle track that agrees with them says so too.

        Raises:
            VideoFailed: ``language_unknown``.
        """
        if self._given(video) or not self._other_language or believed(heard) >= LEAST_BELIEVED:
            return
        raise VideoFailed(
            "language_unknown",
            f"the recognizer hardly believes its words (mean log probability {believed(heard):.2f}, under"
            f" {LEAST_BELIEVED}){self._other_language}: name a multilingual model, e.g. large-v3-turbo; if it is"
            " English, say so in the manifest's `language`, or with transcribe.language: en",
        )

    def _finished(self, video: Video, decoded: _Decoded, recognition: Recognition) -> TranscriptRow:
        """The row of the recognized words, merged with a subtitle track that agrees with them."""
        duration = decoded.duration
        recognized = recognition.segments
        if self._aligner and decoded.audio is not None:
            recognized = self._aligner.timed(decoded.audio, recognized, decoded.speech)
        segments = segments_of(recognized, decoded.speech, duration)
        if not segments:
            hint = self._other_language if not self._given(video) and recognition.left_out else ""
            raise VideoDropped("no_speech", _nothing_heard(decoded, recognition) + hint)
        track, problems = self._nearest_track(video[MediaRow], segments, decoded)
        problem = _problem(track) if track else ""
        used = None if problem else track
        if used is None:
            self._check_language(video, recognition.segments)
        if used and used.left_out > MANY_LEFT_OUT * used.words:
            problem = "subtitles_left_out"
        problems += [problem] if problem else []
        return TranscriptRow(
            video=video.key,
            warnings=decoded.warnings + _doubts(decoded, recognition) + problems,
            language=bcp47_language(recognition.spoken.language),
            language_probability=round(recognition.spoken.probability, DECIMALS),
            heard_language=bcp47_language(recognition.doubted.language),
            heard_seconds=to_milliseconds(recognition.doubted.seconds),
            duration=to_milliseconds(duration),
            **decoded.sound,
            singing=to_milliseconds(decoded.singing),
            looped_words=recognition.left_out.get("repetition", 0),
            doubted_words=recognition.left_out.get("not_speech", 0),
            agreement=track.agreement if track else -1.0,
            lag=track.clock.lag if track else 0.0,
            stretch=track.clock.stretch if track else 1.0,
            left_out=used.left_out if used else 0,
            segments=used.segments if used else segments,
        )

    def _nearest_track(
        self, media: MediaRow, recognized: list[Segment], decoded: _Decoded
    ) -> tuple[Merged | None, list[str]]:
        """The first subtitle track that may be used and agrees enough, otherwise the one that agrees most.

        Returns:
            The track, and the warning that one could not be read.
        """
        nearest: Merged | None = None
        problems: list[str] = []
        if self.config.subtitles == "ignore":
            return nearest, problems
        heard = {plain(word.text) for word in heard_words(recognized)}
        for cues in tracks(media, self.context.media, self._limits, heard):
            if not cues:
                problems = ["subtitles_unreadable"]
                continue
            track = merged(cues, recognized, decoded.speech, decoded.duration, self.config.min_agreement)
            if nearest is None or (not _problem(track), track.agreement) > (not _problem(nearest), nearest.agreement):
                nearest = track
            if not _problem(nearest) and nearest.agreement >= self.config.min_agreement:
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


def _problem(track: Merged) -> str:
    """Why a track is not used; empty when it can be.

    It agrees in too few places, or marks far fewer sentence ends than the recognizer, as machine-made captions do.
    """
    if track.shared < LEAST_SHARED:
        return "subtitles_disagree"
    return "subtitles_unpunctuated" if track.ends_shown < MIN_SENTENCE_ENDS * track.ends_heard else ""
