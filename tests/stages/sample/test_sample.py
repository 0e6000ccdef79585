from __future__ import annotations

import io
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from schemas.rows import FramesRow
from stages.base import StageSetupError, Video
from stages.media.source import MediaMissing
from stages.sample.stage import THUMBNAIL, SampleConfig, SampleFrames, sharpness, similarity
from tests.stages.real_media import (
    NARRATED,
    TRUTH,
    context,
    cut_off,
    linked,
    made,
    picture_shorter_than_sound,
    run,
    shared,
)
from tests.stages.rows import MANIFEST


def sample(media: Path, *, config: SampleConfig | None = None, **fields: Any) -> FramesRow:
    stage = SampleFrames(config or SampleConfig(), context())
    stage.setup()
    row = run(stage, media, **fields)
    assert isinstance(row, FramesRow)
    return row


def live(row: FramesRow) -> FramesRow:
    assert row.live, row.error or row.dropped
    return row


def shape_of(jpeg: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(jpeg)) as image:
        return image.size


@pytest.fixture(scope="module")
def narrated() -> FramesRow:
    return live(sample(NARRATED))


def test_the_revision_names_the_libraries_that_decode_and_look_at_pictures() -> None:
    revision = SampleFrames(SampleConfig(), context()).revision()
    for package in ("av", "numpy", "pillow"):
        assert f"{package} {version(package)}" in revision


def test_every_shot_of_the_demo_gives_a_frame(narrated: FramesRow) -> None:
    shots = json.loads(TRUTH.read_text())["segments"]
    for shot in shots:
        assert any(shot["start"] <= frame.time < shot["end"] for frame in narrated.frames), shot["shown_image"]


def test_a_picture_that_stands_still_is_kept_once(tmp_path: Path) -> None:
    still = made(
        tmp_path / "still.mp4", "-t", "2", "-i", NARRATED, "-an", "-vf", "tpad=stop_mode=clone:stop_duration=10"
    )
    row = live(sample(still))
    assert (len(row.frames), row.near_duplicates) == (1, 2)


def test_jpegs_are_baseline_and_have_the_sizes_said(narrated: FramesRow) -> None:
    for frame, jpeg in zip(narrated.frames, narrated.jpegs, strict=True):
        with Image.open(io.BytesIO(jpeg)) as image:
            image.load()
            assert image.format == "JPEG"
            assert not image.info.get("progressive")
            assert image.size == (frame.width, frame.height) == (640, 360)


def test_two_runs_give_the_same_bytes(narrated: FramesRow) -> None:
    assert live(sample(NARRATED)) == narrated


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of moving picture with B-frames, a keyframe every 3 s and a cut at 6.4 s."""
    parts = "testsrc=s=320x240:r=25:d=6.4[a];mandelbrot=s=320x240:r=25,trim=duration=5.6,setsar=1[b];[a][b]concat"
    codec = ("-c:v", "libx264", "-bf", "3", "-g", "75", "-sc_threshold", "0", "-pix_fmt", "yuv420p")
    return made(tmp_path_factory.mktemp("moving") / "moving.mp4", "-filter_complex", parts, *codec)


def times(media: Path, decode: str, interval: float = 4.0) -> list[float]:
    config = SampleConfig.model_validate({"decode": decode, "interval": interval, "near_duplicate": 1.0})
    return [frame.time for frame in live(sample(media, config=config)).frames]


def test_reference_frames_give_the_same_pictures_within_half_a_second(moving: Path) -> None:
    every, references = times(moving, "all"), times(moving, "references")
    assert len(every) == len(references) == 3
    assert references == pytest.approx(every, abs=0.5)


def test_with_keyframes_each_frame_is_a_keyframe_at_its_own_time(moving: Path) -> None:
    assert times(moving, "keyframes") == [3.0, 6.0, 9.0]


def test_every_frame_is_decoded_only_where_the_interval_is_short(moving: Path) -> None:
    assert times(moving, "auto") == times(moving, "references")
    assert times(moving, "auto", 1.0) == times(moving, "all", 1.0) != times(moving, "references", 1.0)


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU")
def test_decoding_on_a_gpu_that_is_not_there_is_refused_at_the_start() -> None:
    with pytest.raises(StageSetupError, match=r"sample\.hwaccel cuda cannot be used .*set it to none"):
        SampleFrames(SampleConfig(hwaccel="cuda"), context()).setup()


def test_near_duplicates_are_kept_when_the_threshold_is_one(tmp_path: Path) -> None:
    still = made(tmp_path / "still.mp4", "-f", "lavfi", "-i", "color=red:s=64x64:d=12")
    row = live(sample(still, config=SampleConfig(near_duplicate=1.0)))
    assert (len(row.frames), row.near_duplicates) == (3, 0)


def test_colours_come_out_as_they_went_in(tmp_path: Path) -> None:
    orange = made(tmp_path / "o.mp4", "-f", "lavfi", "-i", "color=0xE08020:s=320x240:d=2", "-pix_fmt", "yuv420p")
    with Image.open(io.BytesIO(live(sample(orange)).jpegs[0])) as image:
        assert np.abs(np.asarray(image).mean((0, 1)) - (0xE0, 0x80, 0x20)).max() < 4


def test_a_black_picture_is_all_black_and_has_nothing_sharp(tmp_path: Path) -> None:
    black = made(tmp_path / "b.mp4", "-f", "lavfi", "-i", "color=black:s=320x240:d=2", "-pix_fmt", "yuv420p")
    (frame,) = live(sample(black)).frames
    assert (frame.black, frame.sharpness) == (1.0, 0.0)


def test_a_blurred_picture_is_less_sharp(tmp_path: Path) -> None:
    sharp, blurred = (
        made(tmp_path / f"{name}.mp4", "-f", "lavfi", "-i", f"testsrc=s=320x240:d=2,{effect}", "-pix_fmt", "yuv420p")
        for name, effect in (("sharp", "null"), ("blurred", "gblur=3"))
    )
    (crisp,), (soft,) = live(sample(sharp)).frames, live(sample(blurred)).frames
    assert crisp.sharpness > 20 * soft.sharpness > 0


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    dot = np.zeros((5, 5), dtype=np.uint8)
    dot[2, 2] = 100
    assert sharpness(dot) == (400**2 + 4 * 100**2) / 25  # its own mean is 0


def test_times_are_those_of_the_frames_when_the_rate_varies(tmp_path: Path) -> None:
    # Every frame is late by the square of its number: no count of frames says when one is shown.
    varying = made(
        tmp_path / "v.mp4",
        *("-f", "lavfi", "-i", "testsrc=s=64x64:d=8:r=5"),
        *("-vf", "settb=1/1000,setpts=N*N*0.01/TB", "-fps_mode", "passthrough", "-enc_time_base", "1:1000"),
    )
    row = live(sample(varying, config=SampleConfig(near_duplicate=1.0)))
    squares = {round(n * n * 0.01, 3) for n in range(40)}
    assert len(row.frames) >= 3
    assert {frame.time for frame in row.frames} <= squares


def test_a_late_hour_keeps_its_milliseconds(tmp_path: Path) -> None:
    options = ("-vf", "settb=1/1000,setpts=PTS+9000.527/TB", "-fps_mode", "passthrough", "-enc_time_base", "1:1000")
    slides = made(tmp_path / "s.mkv", "-f", "lavfi", "-i", "testsrc=s=64x64:d=900:r=1/100", *options)
    sound = ("-f", "lavfi", "-i", "anullsrc=r=8000:d=9100")
    both = made(tmp_path / "both.mkv", "-copyts", "-i", slides, *sound, "-c:v", "copy", "-c:a", "pcm_u8")
    times = [frame.time for frame in live(sample(both, config=SampleConfig(near_duplicate=1.0))).frames]
    assert times[0] == 9000.527


def test_frames_and_sound_of_a_transport_stream_share_a_clock(tmp_path: Path) -> None:
    # The picture starts 2 s after the sound; the file starts at 10 s.
    late = made(
        tmp_path / "late.ts",
        *("-t", "6", "-i", NARRATED, "-itsoffset", "2", "-t", "6", "-i", NARRATED),
        *("-map", "0:a", "-map", "1:v", "-c", "copy", "-output_ts_offset", "10"),
    )
    plain = made(tmp_path / "plain.ts", "-t", "6", "-i", NARRATED, "-c", "copy")
    first = [live(sample(file, config=SampleConfig(decode="all"))).frames[0].time for file in (late, plain)]
    assert first[0] == pytest.approx(first[1] + 2, abs=0.1)


def test_a_cover_picture_is_not_the_picture(tmp_path: Path) -> None:
    cover = made(tmp_path / "c.png", "-f", "lavfi", "-i", "color=red:s=100x100", "-frames:v", "1")
    covered = made(
        tmp_path / "c.mp4",
        *("-i", cover, "-t", "3", "-i", NARRATED, "-map", "0", "-map", "1", "-c:v:0", "png", "-c:v:1", "copy"),
        *("-c:a", "copy", "-disposition:v:0", "attached_pic"),
    )
    assert {shape_of(jpeg) for jpeg in live(sample(covered)).jpegs} == {(640, 360)}


def test_a_video_without_a_picture_is_dropped() -> None:
    row = sample(NARRATED, has_video=False)
    assert row.dropped
    assert row.dropped.reason == "no_picture"


def test_a_web_page_fails_as_undecodable(tmp_path: Path) -> None:
    page = tmp_path / "page.mp4"
    page.write_text("<html><body>404 Not Found</body></html>")
    row = sample(page, duration=5.0)
    assert row.error
    assert row.error.code == "picture_undecodable"
    assert not row.error.retryable


def test_a_file_cut_off_in_the_middle_keeps_its_frames_and_says_so(tmp_path: Path, narrated: FramesRow) -> None:
    half = live(sample(cut_off(NARRATED, tmp_path / "half.mp4", 0.5)))
    assert half.warnings == ["picture_ends_early"]
    assert 0 < half.covered < 50
    whole = [(frame.time, jpeg) for frame, jpeg in zip(narrated.frames, narrated.jpegs, strict=True)]
    kept = [(frame.time, jpeg) for frame, jpeg in zip(half.frames, half.jpegs, strict=True)]
    assert kept[:-1] == whole[: len(kept) - 1]


def test_a_picture_shorter_than_its_sound_is_no_fault(tmp_path: Path) -> None:
    short = picture_shorter_than_sound(tmp_path)
    assert live(sample(short)).warnings == []


def test_decoding_that_takes_too_long_fails_and_may_be_tried_again() -> None:
    row = sample(NARRATED, config=SampleConfig(seconds=0.01))
    assert row.error
    assert (row.error.code, row.error.retryable) == ("decode_timeout", True)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("edge/SAR-2by3.mp4", (427, 360)),
        ("edge/nasa_rot.mp4", (270, 480)),
        ("edge/video_90.mov", (320, 568)),
        ("edge/nasa_odd_427x241.webm", (428, 241)),
        ("edge/h265_10bits.mp4", (200, 200)),
        ("edge/sample.avi", (640, 267)),
        ("edge/av1_video.mkv", (640, 360)),
        ("edge/h264-mjpeg.mkv", (640, 360)),
        ("edge/unordered.mov", (50, 50)),
        ("edge/no_duration.webm", (640, 360)),
    ],
)
def test_real_files_give_frames_as_they_are_displayed(name: str, size: tuple[int, int]) -> None:
    assert {shape_of(jpeg) for jpeg in live(sample(shared(name))).jpegs} == {size}


def test_a_talk_with_slides_gives_one_frame_a_slide() -> None:
    row = live(sample(shared("narrated/flickr_narrated_12.mp4"), duration=59.72))
    starts = [s["start"] for s in json.loads(shared("narrated/flickr_narrated_12.mp4.gt.json").read_text())["segments"]]
    assert [sum(start <= frame.time for start in starts) for frame in row.frames] == list(range(1, 13))


def test_a_video_that_was_replaced_since_it_was_downloaded_is_not_sampled(tmp_path: Path) -> None:
    talk = tmp_path / "talk.mp4"
    talk.write_bytes(NARRATED.read_bytes())
    row = linked(talk)
    talk.write_bytes(NARRATED.read_bytes() + b"x")
    found = SampleFrames(SampleConfig(), context()).guarded(Video(MANIFEST, [row]))
    assert found.error
    assert (found.error.code, found.error.retryable) == ("media_changed", True)


def test_a_video_that_has_gone_is_for_the_machine_to_bring_back(tmp_path: Path) -> None:
    talk = tmp_path / "talk.mp4"
    talk.write_bytes(NARRATED.read_bytes())
    row = linked(talk)
    talk.unlink()
    with pytest.raises(MediaMissing) as missing:
        SampleFrames(SampleConfig(), context()).one(Video(MANIFEST, [row]))
    assert (missing.value.video, missing.value.path) == (row.video, f"{context().media.address}/{row.media}")


@pytest.mark.parametrize("noise", [0, 3, 40, 255])
def test_structural_similarity_is_scikit_images(noise: int) -> None:
    random = np.random.default_rng(noise)
    one = random.integers(0, 256, (THUMBNAIL, THUMBNAIL), dtype=np.uint8)
    other = np.clip(one.astype(int) + random.integers(-noise, noise + 1, one.shape), 0, 255).astype(np.uint8)
    expected = structural_similarity(one, other, data_range=255)  # type: ignore[no-untyped-call]
    assert similarity(one, other) == pytest.approx(expected, abs=1e-10)
