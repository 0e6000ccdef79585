"""Media files of several containers and codecs, mutated, through `download`, `sample` and the decoding of sound."""

from __future__ import annotations

import functools
import hashlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from schemas.manifest import ManifestRow
from schemas.media import MediaRow
from stages.base import Context, Video, VideoFailed
from stages.download.settings import DownloadConfig
from stages.download.stage import Download
from stages.media import ffmpeg
from stages.media.audio import decode
from stages.media.decoder import track_of
from stages.media.sandbox import Limits
from stages.media.source import reading
from stages.media.subtitles.tracks import tracks
from stages.sample.stage import SampleConfig, SampleFrames
from storyloom.fs.files import files_at
from tests.fuzz._mutation import mutated
from tests.fuzz.subtitles import TRACKS

LIMITS = Limits(20.0, 4 * 2**30)

KINDS = {
    "mp4": "-map 2 -c:v libx264 -c:a aac -c:s mov_text",
    "mkv": "-map 2 -c:v libx264 -bf 2 -c:a flac -c:s ass",
    "webm": "-map 2 -c:v libvpx -c:a libopus -c:s webvtt",
    "ts": "-c:v mpeg2video -c:a mp2",
    "avi": "-c:v mpeg4 -c:a pcm_s16le",
    "flv": "-c:v flv -c:a aac",
    "wmv": "-c:v wmv2 -c:a wmav2",
    "ogg": "-c:v libtheora -c:a libvorbis",
    "mpg": "-c:v mpeg1video -c:a mp2",
    "wav": "-c:a pcm_s16le",
}


class Case(NamedTuple):
    """A file's content; `kind` is what it was made as."""

    kind: str
    content: bytes


@functools.cache
def whole(kind: str) -> bytes:
    """A second of moving picture, a tone and a cue."""
    with TemporaryDirectory(prefix="storyloom-fuzz-") as folder:
        track, out = Path(folder) / "track.srt", Path(folder) / f"whole.{kind}"
        track.write_bytes(TRACKS[1])
        given = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=1", "-f", "lavfi", "-i", "sine=duration=1"]
        command = [str(ffmpeg.program()), *ffmpeg.QUIET, *given, "-i", str(track), "-map", "1"]
        deterministic = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]
        command += [] if kind == "wav" else ["-map", "0"]
        command += [*KINDS[kind].split(), *deterministic, str(out)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return out.read_bytes()


def cases(rng: random.Random) -> Iterator[Case]:
    """Files with damage."""
    while True:
        kind = rng.choice(tuple(KINDS))
        yield Case(kind, mutated(whole(kind), rng, [whole(other) for other in KINDS]))


def check(case: Case) -> None:
    """Every stage gives a row or a typed failure of the video; what is kept lies within the video."""
    with TemporaryDirectory(prefix="storyloom-fuzz-") as folder:
        file, media = Path(folder) / f"video.{case.kind}", Path(folder) / "media"
        file.write_bytes(case.content)
        key = hashlib.sha256(case.content).hexdigest()[:20]
        line = ManifestRow(video=key, url=str(file), source_id="fuzz")
        context = Context(seed=0, media=files_at(media))
        fetched = _download(context).guarded(Video(line, []))
        assert isinstance(fetched, MediaRow)
        if not fetched.live:
            assert not fetched.error or fetched.error.code not in ("internal", "probe_crashed"), fetched.error
            return
        frames = SampleFrames(SampleConfig(seconds=LIMITS.seconds), context).guarded(Video(line, [fetched]))
        assert not frames.error or frames.error.code != "internal", frames.error
        for track in fetched.audio_tracks:
            try:
                with reading(context.media, fetched) as path:
                    sound = decode(track_of(fetched, [track.stream, *track.followers], path), LIMITS)
            except VideoFailed:
                continue
            assert len(sound.audio) <= (fetched.duration + 10.0) * 16_000, (len(sound.audio), fetched.duration)
        list(tracks(fetched, context.media, LIMITS))


def _download(context: Context) -> Download:
    found = Download(DownloadConfig(probe_seconds=LIMITS.seconds), context)
    found.setup()
    return found
