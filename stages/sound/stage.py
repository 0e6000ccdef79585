"""sound: the sound of each text of a video's documents, as Ogg Opus files."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import numpy as np
from pydantic import Field

from schemas.config import LEAST_MEMORY, LONGEST, MOST_MEMORY, OPERATIONAL, StageConfig
from schemas.media import MediaRow
from schemas.rows import DocumentDraft, DocumentsRow, SoundsRow, TextSound, TranscriptRow
from stages.base import Input, Stage, StageSetupError, Video, VideoFailed
from stages.media.audio import Audio, Samples, decode
from stages.media.decoder import track_of
from stages.media.sandbox import Limits
from stages.media.source import reading
from stages.models.revision import library_versions
from stages.sound.opus import opus
from storyloom.format.opus import RATE
from storyloom.format.sample import MOST_SOUNDS

CRASHED_EARLIER = 0.1
"""Seconds by which a decoder may crash before the place where it crashed for `transcribe` (our choice)."""


class SoundConfig(StageConfig):
    """Settings of the sound of texts.

    Attributes:
        enabled: Whether the shards hold the sound of each text, too.
        bitrate: Bits a second (RFC 6716, 2.1.1: 28 to 40 kbit/s for speech in full band).
        seconds: Wall-clock limit of decoding one video's audio.
        memory: Most bytes of address space for decoding it.
    """

    enabled: bool = False
    bitrate: Annotated[int, Field(ge=6_000, le=256_000)] = 32_000
    seconds: Annotated[float, Field(gt=0, le=LONGEST), OPERATIONAL] = 1800.0
    memory: Annotated[int, Field(ge=LEAST_MEMORY, le=MOST_MEMORY), OPERATIONAL] = 4 * 1024**3


class Sound(Stage[SoundConfig, SoundsRow]):
    """Decodes the audio track that was transcribed, and cuts out the interval of each text of the documents.

    Every text gets a file, of its interval's length: where the track has no sound it is silence, so that documents
    differ in nothing that a trainer would have to look for.
    """

    name = "sound"
    version = 1
    reads = (Input("filter"), Input("transcribe", without=("segments",)), Input("download"))
    row = SoundsRow
    Config = SoundConfig

    def revision(self) -> str:
        return library_versions("av", "numpy")

    def missing(self, urls: Collection[str]) -> list[str]:
        del urls
        import av

        if "libopus" in av.codecs_available:
            return []
        return ["sound needs PyAV with libopus (pip install --force-reinstall av brings it)"]

    def setup(self) -> None:
        if missing := self.missing(()):
            raise StageSetupError("; ".join(missing))

    def one(self, video: Video) -> SoundsRow:
        documents = video[DocumentsRow].documents
        _check_number(documents)
        with self.timings.on("decode"):
            audio = self._audio(video)
        texts = [
            TextSound(document=document.number, text=number, start=text.start, end=text.end)
            for document in documents
            for number, text in enumerate(document.texts)
        ]
        files = [opus(interval(audio, text.start, text.end), self.config.bitrate) for text in texts]
        return SoundsRow(
            video=video.key,
            documents=len(documents),
            frames=sum(len(document.frames) for document in documents),
            texts=texts,
            opus=files,
        )

    def _audio(self, video: Video) -> Audio:
        """The samples of the track that was transcribed, at `RATE`.

        Raises:
            VideoFailed: It cannot be decoded, or not as far as it was transcribed.
        """
        media, transcript = video[MediaRow], video[TranscriptRow]
        heard = transcript.audio_stream
        track = next((one for one in media.audio_tracks if one.stream == heard), None)
        if track is None:
            raise VideoFailed("audio_undecodable", f"the file has no audio track in its stream {heard}")
        limits = Limits(self.config.seconds, self.config.memory)
        with reading(self.context.media, media) as path:
            decoded = decode(track_of(media, [track.stream, *track.followers], path), limits, RATE)
        found = len(decoded.audio) / RATE
        if decoded.crashed and found < transcript.duration - CRASHED_EARLIER:
            message = f"the decoder crashed after {found:.1f} of {transcript.duration:.1f} s that were transcribed"
            raise VideoFailed("decoder_crashed", message, retryable=True)
        return decoded.audio


def interval(audio: Audio, start: float, end: float) -> Samples:
    """The samples from one time to another, in seconds, with silence after the track's end."""
    first, last = round(start * RATE), round(end * RATE)
    found = audio[first:last]
    return np.pad(found, (0, last - first - len(found)))


def _check_number(documents: list[DocumentDraft]) -> None:
    """Refuse a document with more texts than names of members can count.

    Raises:
        VideoFailed: ``too_many_texts``.
    """
    for document in documents:
        if len(document.texts) > MOST_SOUNDS:
            message = f"document {document.number} has {len(document.texts)} texts, with sound at most {MOST_SOUNDS}"
            raise VideoFailed("too_many_texts", f"{message}: lower filter.max_words")
