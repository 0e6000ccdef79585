"""The row of the manifest: one line of a list, which every stage may look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from schemas.row import VideoKey, video_key
from storyloom.format.model import Model
from storyloom.fs.url import scheme_of


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
        if not self.is_clip or (scheme_of(self.url) == "file" and not self.member):
            return self.video
        place = f"{self.url}\n{self.member}\n{self.offset}" if self.member else self.url
        return video_key(place)

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
