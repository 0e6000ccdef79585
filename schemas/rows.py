"""The rows of the stages, in the order of the pipeline: one row per video."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.row import KEY_DIGITS, Row, Similarity, VideoKey
from storyloom.format.model import Model, Seconds, to_milliseconds


class ManifestRow(Model):
    """One line of the manifest, with its derived key.

    Attributes:
        video: Key of the video.
        url: Location of the media as in the manifest: a URL or a local path.
        folder: The manifest's folder, against which relative paths are resolved; it never enters a shard.
        source_id: The manifest's `id`, or the published URL where it has none.
        published_url: `url` without userinfo and query but for `url_parameters`; a path as it is.
        subtitles: Path or URL of a subtitle track, on the clock of the whole file; empty when there is none.
        other_subtitles: Paths of further subtitle files beside a local video, the likeliest first.
        title: Title, for the shard; empty when unknown.
        language: BCP 47 code of the speech, when known; empty to have it detected.
        license: Licence of the media, for the shard; empty when unknown.
        start: Seconds of the file at which the video starts, of a clip; -1.0 for the file's start.
        end: Seconds of the file at which it ends; -1.0 for the file's end.
        extra: The manifest's other columns, for the shard: a JSON object with sorted keys, without spaces.
        member: Name of the member of the tar at `url` that is the video, or number of the row of the Parquet file there
            that holds it; empty for a file of its own.
        offset: Bytes before it in the tar, or number of the row; -1 for a file of its own.
        size: Its bytes in the tar; -1 otherwise.
        problem: Why the line cannot be used, with the remedy; empty for one that can.
    """

    video: VideoKey
    url: str
    folder: str = ""
    source_id: str
    published_url: str = ""
    subtitles: str = ""
    other_subtitles: list[str] = []
    title: str = ""
    language: str = ""
    license: str = ""
    start: Annotated[float, Field(allow_inf_nan=False)] = -1.0
    end: Annotated[float, Field(allow_inf_nan=False)] = -1.0
    extra: str = "{}"
    member: str = ""
    offset: int = -1
    size: int = -1
    problem: str = ""

    @property
    def is_clip(self) -> bool:
        """Whether the video is a part of its file."""
        return self.start >= 0 or self.end >= 0

    @property
    def media_name(self) -> str:
        """The beginning of the names of its media files: its key; what clips of a URL or member share."""
        local = "://" not in self.url or self.url.lower().startswith("file://")
        if not self.is_clip or (local and not self.member):
            return self.video
        place = f"{self.url}\n{self.member}\n{self.offset}" if self.member else self.url
        return hashlib.sha256(place.encode()).hexdigest()[:KEY_DIGITS]

    @property
    def location(self) -> str:
        """Location from which to fetch the media: the URL unchanged, or an absolute path."""
        return self._absolute(self.url)

    @property
    def subtitles_location(self) -> str:
        """Location from which to fetch the subtitle track, as `location`; empty when there is none."""
        return self._absolute(self.subtitles) if self.subtitles else ""

    @property
    def other_subtitles_locations(self) -> list[str]:
        """Locations of the further subtitle files, as `location`."""
        return [self._absolute(file) for file in self.other_subtitles]

    def _absolute(self, url: str) -> str:
        if "://" in url:
            return url
        return str(Path(url).expanduser() if url.startswith("~/") else Path(self.folder, url))


class ClockCorrection(Model):
    """A place where the clock of a stream jumps, and what brings it back to the one clock of the file.

    Attributes:
        stream: Index of the stream in the file.
        packet: Number of its first corrected packet among those of the stream, from 0.
        offset: Seconds to add to the times of the packets from there on, up to the next correction.
    """

    stream: int
    packet: int
    offset: float


class AudioTrack(Model):
    """A decodable audio track.

    Attributes:
        stream: Its index in the file.
        language: As the file tags it, e.g. ``eng``; empty when it does not.
        reason: Why it has its place: ``only`` one, in the manifest's ``language``, by the ``default`` flag, by its
            ``order`` in the file, or last because it is an ``aside``: commentary, or a description for the blind.
        end: Seconds at which its packets end.
        followers: Indexes of the streams that go on where it ends, as after a programme's change of streams.
    """

    stream: int
    followers: list[int] = []
    language: str = ""
    reason: Literal["only", "language", "default", "order", "aside"]
    end: Seconds


class Chapter(Model):
    """A chapter of a video: its times in seconds, and its title, empty where it has none."""

    start: Seconds
    end: Seconds
    title: str = ""


class SiteTrack(Model):
    """A subtitle track of a site.

    Attributes:
        file: Its path, relative to the work folder's `media/`.
        language: BCP 47 code, as the site states it.
        automatic: Whether the site's speech recognition made it; otherwise people did.
    """

    file: str
    language: str
    automatic: bool


class SitePage(Model):
    """What a site says about a video. Texts are cleaned and cut; those that it does not give are empty.

    Attributes:
        site: yt-dlp's name of the site, e.g. ``Youtube``.
        id: The site's own id of the video.
        title: Title.
        channel: Who published it.
        language: BCP 47 code of the speech.
        license: Licence.
        upload_date: When it was published, as ``2024-05-31``.
        description: Description.
        tags: Tags.
        chapters: In time order.
        tracks: The subtitle tracks that were fetched, the likeliest first.
    """

    site: str
    id: str
    title: str = ""
    channel: str = ""
    language: str = ""
    license: str = ""
    upload_date: str = ""
    description: str = ""
    tags: list[str] = []
    chapters: list[Chapter] = []
    tracks: list[SiteTrack] = []


class MediaRow(Row):
    """The output of `download`: the media file and its streams.

    Attributes:
        media: Path of the media file, relative to the work folder's `media/`.
        sha256: Of the file's content.
        size: Bytes.
        duration: Seconds up to the end of the last packet of its picture or sound, on one clock.
        stated_duration: Seconds as the container states them; -1.0 where it does not.
        cut_off: Whether the file was cut off: it ends over `TAIL_SECONDS` before the end that its container states.
        unread: Bytes at the end of the file that the demuxer did not come to.
        container: The demuxer's name, e.g. ``mov,mp4,m4a,3gp,3g2,mj2``.
        has_audio: Whether there is a decodable audio stream.
        has_video: Whether there is a moving picture (a cover image does not count).
        width: Pixels as displayed (rotation and sample aspect ratio applied); 0 without a picture.
        height: Pixels as displayed; 0 without a picture.
        fps: Average frames per second; 0.0 without a picture.
        video_codec: Codec's name; empty without a picture.
        audio_codec: Codec's name; empty without sound.
        subtitles: Path of the subtitle track that is tried first, the manifest's or else a site's, relative to the work
            folder's `media/`; empty without one.
        other_subtitles: Paths of the further ones, as `subtitles`, the likeliest first.
        subtitle_tracks: Indexes of the first text tracks among the file's own subtitle tracks.
        video_stream: Index of the picture's stream; -1 without a picture.
        video_followers: Indexes of the streams that go on where the picture ends, as after a programme's change.
        video_end: Seconds at which the picture's packets end.
        longest_picture: Most seconds for which one picture stays, the last one up to the end of the video.
        audio_tracks: The audio tracks in order of preference; the first one with speech is used.
        origin: Seconds of the file's own clock at which the video starts; a clip starts there later than its file.
        clip: Whether the video is a part of the file; `duration` and the ends of its tracks are those of the clip.
        clip_start: Seconds of the file's video at which the clip starts; 0.0 for a whole file.
        corrections: Where its streams leave that clock, by stream, then packet.
        site: What the site says about the video; None for one that is from no site.
    """

    media: str = ""
    sha256: str = ""
    size: int = 0
    duration: float = -1.0
    stated_duration: float = -1.0
    cut_off: bool = False
    unread: int = 0
    container: str = ""
    has_audio: bool = False
    has_video: bool = False
    width: int = 0
    height: int = 0
    fps: float = 0.0
    video_codec: str = ""
    audio_codec: str = ""
    subtitles: str = ""
    other_subtitles: list[str] = []
    subtitle_tracks: list[int] = []
    video_stream: int = -1
    video_followers: list[int] = []
    video_end: Seconds = 0.0
    longest_picture: Seconds = 0.0
    audio_tracks: list[AudioTrack] = []
    origin: float = 0.0
    clip: bool = False
    clip_start: Seconds = 0.0
    corrections: list[ClockCorrection] = []
    site: SitePage | None = None

    @property
    def chapters(self) -> list[Chapter]:
        """The chapters that the site states, on the video's clock, as far as they are within the video or clip."""
        stated = self.site.chapters if self.site else []
        shift = self.clip_start
        return [
            Chapter(
                start=to_milliseconds(max(0.0, chapter.start - shift)),
                end=to_milliseconds(min(self.duration, chapter.end - shift)),
                title=chapter.title,
            )
            for chapter in stated
            if chapter.end > shift and chapter.start - shift < self.duration
        ]

    def counts(self) -> dict[str, int]:
        return {"media_ms": max(0, round(self.duration * 1000)), "bytes": self.size}


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


class AlignedRow(Row):
    """The output of `align`: sentences and candidate pairs.

    Attributes:
        language: As transcribed.
        sentences: In time order, not overlapping.
        frame_times: Seconds, of all the video's frames.
        pairs: Candidates inside the window, ordered by frame, then sentence.
        null_pairs: Random pairs outside the window, samples of unrelated frames and texts.
        null_texts: Sentences of other videos of the part, for a video that has none of its own outside the window.
        null_text_pairs: Pairs of a frame and one of `null_texts`.
    """

    language: str = ""
    sentences: list[Sentence] = []
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
    """A sentence of a document: times in seconds, text, and its source."""

    start: Seconds
    end: Seconds
    text: str
    source: str


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
        content: SHA-256 of the video's file, which decides on the split of its documents; empty if unknown.
        threshold: Similarity below which a frame was dropped; in `clip` mode more was asked for.
        lag: Seconds by which speech follows the picture, as estimated in `clip` mode, the median over the frames;
            negative when it comes first, 0.0 when unclear and in `time` mode.
        lag_confidence: Probability that speech is about the picture, with a lag within a second of `frame_lags`, mean
            over the frames; 0.0 in `time` mode.
        frame_lags: The lag at each of the video's frames, as `lag`.
        documents: In time order.
        dropped_items: In time order.
    """

    content: str = ""
    threshold: float = 0.0
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
