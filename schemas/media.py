"""The row of `download`: a media file, its streams, and what its site says about it."""

from __future__ import annotations

from typing import Literal

from schemas.row import Row
from storyloom.format.model import Model, Seconds, to_milliseconds


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
