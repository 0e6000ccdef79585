"""Real media for the tests of `transcribe` and `sample`: the demo's video, and what ffmpeg makes of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from schemas.manifest import ManifestRow
from schemas.media import MediaRow
from schemas.row import Row
from stages.base import Context, Stage, Video, VideoFailed
from stages.download.files import record
from stages.download.probing import probe
from stages.media import ffmpeg
from stages.media.audio import Decoded, decode
from stages.media.decoder import track_of as stream_of
from stages.media.sandbox import Limits
from stages.media.source import MediaSource, content_name, digest
from stages.media.track import Decoder, opened
from stages.sample.pictures import PictureSettings, Seen, candidates
from storyloom.fs.files import files_at

ROOT = Path(__file__).resolve().parents[2]
NARRATED = ROOT / "demo" / "narrated.mp4"
TRUTH = ROOT / "demo" / "narrated.gt.json"
SHARED = ROOT.parent / "shared" / "data"
KEY = "0" * 20
LIMITS = Limits(60.0, 4 * 1024**3)
MEDIA = TemporaryDirectory(prefix="storyloom-media-")
"""The media folder of the tests' files, gone when they end."""


def shared(name: str) -> Path:
    """A file of the real data; the test is skipped where that is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the real data is not here: {name}")
    return path


def made(out: Path, *arguments: str | Path) -> Path:
    """What ffmpeg makes with these arguments, at `out`."""
    command = [ffmpeg.program(), "-nostdin", "-y", "-v", "error", *arguments, out]
    subprocess.run([str(part) for part in command], check=True)
    return out


def picture_shorter_than_sound(folder: Path) -> Path:
    """Nothing is missing in it: 4 s of the demo's picture beside 9 s of its sound."""
    inputs: list[str | Path] = ["-t", "4", "-i", NARRATED, "-t", "9", "-i", NARRATED]
    return made(folder / "short_picture.mp4", *inputs, "-map", "0:v", "-map", "1:a", "-c", "copy")


def cut_off(media: Path, out: Path, share: float) -> Path:
    """A copy of a video of which only the first bytes arrived; its index comes first, as on the web."""
    whole = made(out.with_suffix(".whole.mp4"), "-i", media, "-c", "copy", "-movflags", "+faststart").read_bytes()
    out.write_bytes(whole[: int(len(whole) * share)])
    return out


def linked(file: Path, key: str = KEY, **fields: Any) -> MediaRow:
    """The row of a file that the media folder links to, whatever it is, as `download` makes it but for `fields`."""
    source = MediaSource.of(file.stat(), digest(file), str(file))
    final = content_name(key, source.sha256, file.suffix[1:])
    files = files_at(MEDIA.name)
    files.link(final, file.absolute(), source.sha256)
    record(files, final, source)
    try:
        found = probe(file, LIMITS)
    except VideoFailed:  # for the tests of what cannot be decoded
        found = {"has_audio": True, "has_video": True, "video_stream": 0}
        found["audio_tracks"] = [{"stream": 1, "reason": "only", "end": 0.0}]
    return MediaRow(video=key, media=final, sha256=source.sha256, size=source.size, **found | fields)


def decoded(file: Path) -> Decoded:
    """The preferred audio track of a file."""
    row = linked(file)
    return decode(stream_of(row, [row.audio_tracks[0].stream, *row.audio_tracks[0].followers], file), LIMITS)


def cuts(file: Path) -> list[float]:
    """Seconds at which scenes of a file begin, other than the first."""
    row = linked(file)
    settings = PictureSettings(interval=60, min_scene=0.5, step=60, scene_threshold=0.3, max_side=64, qscale=5)
    with opened(file, row.container) as container:
        decoder = Decoder(container, stream_of(row, [row.video_stream, *row.video_followers], file))
        return [found.time for found in candidates(Seen().frames(decoder), settings) if found.cut]


def track_of(file: Path) -> str:
    """A subtitle track as a row names it, copied into the media folder."""
    final = Path(MEDIA.name) / content_name(f"{KEY}-subtitles", digest(file), file.suffix[1:])
    shutil.copyfile(file, final)
    return final.name


def run(stage: Stage[Any, Any], media: Path, *, language: str = "", **fields: Any) -> Row:
    """The stage's row of one file, as `download` describes it but for `fields`."""
    manifest = ManifestRow(video=KEY, url=str(media), source_id="x", language=language)
    return stage.guarded(Video(manifest, [linked(media, **fields)]))


def context() -> Context:
    return Context(seed=0, media=files_at(MEDIA.name))
