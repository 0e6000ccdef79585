"""Frames look as a player shows them: their shape, colours and lines."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from schemas.rows import FramesRow
from stages.sample.colour import HLG, PQ, to_srgb
from stages.sample.stage import SampleConfig, SampleFrames
from tests.stages.real_media import context, made, run, shared

PATCHES = [(200, 40, 40), (40, 180, 60), (40, 60, 200), (220, 170, 140), (230, 200, 40), (120, 60, 160), (30, 30, 30)]

Pixels = npt.NDArray[np.float64]


def sampled(media: Path) -> FramesRow:
    row = run(SampleFrames(SampleConfig(near_duplicate=1.0), context()), media)
    assert isinstance(row, FramesRow)
    assert row.live, row.error
    return row


def pictures(media: Path) -> list[Pixels]:
    return [np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), np.float64) for jpeg in sampled(media).jpegs]


def patches(folder: Path, width: int, height: int, *options: str) -> Path:
    """A video of the patches from left to right; options are of the encoding."""
    row = np.repeat(np.array(PATCHES, np.uint8), width // len(PATCHES) + 1, axis=0)[:width]
    Image.fromarray(np.broadcast_to(row, (height, width, 3)).copy()).save(folder / "p.png")
    return made(folder / "v.mkv", "-loop", "1", "-t", "2", "-r", "5", "-i", folder / "p.png", *options)


def assert_patches(picture: Pixels, within: float) -> None:
    height, width, _ = picture.shape
    side = width / len(PATCHES)
    for number, colour in enumerate(PATCHES):
        left, right = round((number + 0.3) * side), round((number + 0.7) * side)
        found = picture[height // 4 : height // 2, left:right].mean(axis=(0, 1))
        assert found == pytest.approx(colour, abs=within), number


def encoded(matrix: str, *, full: bool = False, pixels: str = "yuv420p", tags: bool = True) -> list[str]:
    names = {"bt709": "1", "bt601": "6", "bt2020": "9"}
    scale = (
        f"scale=out_color_matrix={matrix}:out_range={'full' if full else 'limited'}:flags=accurate_rnd+full_chroma_int"
    )
    tagged = f",setparams=colorspace={names[matrix]}:range={'pc' if full else 'tv'}" if tags else ""
    untagged = "" if tags else ",setparams=colorspace=2:color_primaries=2:color_trc=2:range=unspecified"
    return ["-vf", f"{scale},format={pixels}{tagged}{untagged}", "-c:v", "libx264", "-qp", "4"]


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((1280, 720), encoded("bt709")),
        ((1280, 720), encoded("bt709", tags=False)),
        ((640, 360), encoded("bt601", tags=False)),
        ((640, 360), encoded("bt709")),
        ((640, 360), encoded("bt601", full=True)),
        ((640, 360), encoded("bt709", pixels="yuv420p10le")),
        ((640, 360), encoded("bt709", pixels="yuv444p")),
        ((640, 360), ["-c:v", "ffv1", "-pix_fmt", "gbrp"]),
        ((640, 360), ["-c:v", "png", "-pix_fmt", "rgb48be"]),
    ],
    ids=["HD", "untagged HD", "untagged SD", "tagged SD", "full range", "10 bit", "4:4:4", "RGB", "16 bit"],
)
def test_colours_are_those_that_a_player_shows(tmp_path: Path, size: tuple[int, int], options: list[str]) -> None:
    assert_patches(pictures(patches(tmp_path, *size, *options))[0], within=5)


@pytest.mark.parametrize("codec", ["ffv1", "qtrle", "libvpx", "libvpx-vp9"])
def test_what_is_transparent_lies_over_black(tmp_path: Path, codec: str) -> None:
    Image.new("RGBA", (128, 64), (200, 100, 50, 128)).save(tmp_path / "p.png")
    encoder = ("-c:v", codec, *(("-pix_fmt", "yuva420p", "-auto-alt-ref", "0") if codec.startswith("libvpx") else ()))
    still = ("-loop", "1", "-t", "1", "-r", "5", "-i", tmp_path / "p.png")
    media = made(tmp_path / ("v.mov" if codec == "qtrle" else "v.mkv"), *still, *encoder)
    assert pictures(media)[0].mean(axis=(0, 1)) == pytest.approx((100, 50, 25), abs=4)


def test_a_matrix_that_nobody_can_convert_costs_no_picture(tmp_path: Path) -> None:
    odd = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bsf:v", "h264_metadata=matrix_coefficients=8")
    assert pictures(made(tmp_path / "v.mp4", "-f", "lavfi", "-i", "testsrc=s=64x64:d=1:r=5", *odd))


def test_a_picture_that_changes_its_size_keeps_its_shape_and_begins_a_scene(tmp_path: Path) -> None:
    wide = made(tmp_path / "a.ts", "-f", "lavfi", "-i", "color=gray:s=240x180:d=3:r=10", "-c:v", "libx264")
    options = ("-c:v", "libx264", "-output_ts_offset", "3")
    tall = made(tmp_path / "b.ts", "-f", "lavfi", "-i", "color=gray:s=136x240:d=3:r=10", *options)
    media = tmp_path / "v.ts"
    media.write_bytes(wide.read_bytes() + tall.read_bytes())
    row = sampled(media)
    assert [(frame.scene, frame.width, frame.height) for frame in row.frames] == [(0, 240, 180), (1, 136, 240)]
    assert row.frames[1].time == pytest.approx(4.5, abs=0.2)


def test_pixels_that_change_their_aspect_are_shown_square(tmp_path: Path) -> None:
    options = ("-c:v", "libx264", "-vf")
    square = made(tmp_path / "a.ts", "-f", "lavfi", "-i", "color=gray:s=240x180:d=3:r=10", *options, "setsar=1")
    offset = ("setsar=2", "-output_ts_offset", "3")
    oblong = made(tmp_path / "b.ts", "-f", "lavfi", "-i", "color=gray:s=240x180:d=3:r=10", *options, *offset)
    media = tmp_path / "v.ts"
    media.write_bytes(square.read_bytes() + oblong.read_bytes())
    row = sampled(media)
    assert [(frame.scene, frame.width, frame.height) for frame in row.frames] == [(0, 240, 180), (1, 480, 180)]


@pytest.mark.parametrize("flip", ["hflip", "vflip", "hflip,vflip", "transpose=1", "transpose=0"])
def test_a_display_matrix_is_applied(tmp_path: Path, flip: str) -> None:
    """The picture is stored turned or mirrored, with the matrix that undoes it."""
    rotation = {"hflip,vflip": ["-display_rotation", "180"], "hflip": ["-display_hflip"], "vflip": ["-display_vflip"]}
    undo = rotation.get(flip) or ["-display_rotation", "90", *(["-display_hflip"] if flip == "transpose=0" else [])]
    source = made(tmp_path / "s.mkv", "-f", "lavfi", "-i", "testsrc=s=128x64:d=1:r=5", "-c:v", "ffv1")
    stored = made(tmp_path / "t.mp4", "-i", source, "-vf", flip, "-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p")
    media = made(tmp_path / "v.mp4", *undo, "-i", stored, "-c", "copy")
    shown, true = pictures(media)[0], pictures(source)[0]
    if flip == "transpose=0":  # a turn and a mirror: the player shows one of two, so compare with ffmpeg's own
        true = pictures(made(tmp_path / "p.mkv", "-i", media, "-c:v", "ffv1"))[0]
    assert shown.shape == true.shape
    assert np.abs(shown - true).mean() < 8


def combing(picture: Pixels) -> float:
    lines = picture.mean(axis=2)
    return float(np.abs(lines[1:] - lines[:-1]).mean() / np.abs(lines[2:] - lines[:-2]).mean())


@pytest.mark.parametrize("flags", [["-flags", "+ildct+ilme"], []], ids=["marked", "unmarked"])
def test_interlaced_lines_are_not_combed(tmp_path: Path, flags: list[str]) -> None:
    pan = "testsrc2=s=720x576:r=50:d=3,crop=360:288:x='mod(n*6,300)':y=100,interlace=lowpass=0"
    marks = ",setfield=tff" if flags else ",setfield=prog"
    media = made(tmp_path / "v.ts", "-f", "lavfi", "-i", pan + marks, "-c:v", "mpeg2video", "-q:v", "2", *flags)
    for picture in pictures(media):
        assert combing(picture) < 0.75


def test_high_dynamic_range_comes_out_as_its_standard_version(tmp_path: Path) -> None:
    hdr = pictures(shared("field/09-hdr/pq.mp4"))
    standard = pictures(shared("field/09-hdr/sdr_reference.mp4"))
    for one, other in zip(hdr, standard, strict=True):
        assert np.abs(one - other).mean() < 12
        assert one.std() == pytest.approx(other.std(), rel=0.1)


def test_pictures_from_the_field_come_out_right() -> None:
    row = sampled(shared("field/02-picture-size-changes/in.ts"))
    assert [(frame.width, frame.height) for frame in row.frames] == [(240, 180), (240, 180), (136, 240)]
    assert combing(pictures(shared("field/10-interlaced/in.ts"))[0]) < 0.7
    assert len(sampled(shared("field/24-last-picture-of-vfr/in.mp4")).frames) == 5
    assert_patches_of_the_field(pictures(shared("field/32-untagged-hd/in.mp4"))[0])


def assert_patches_of_the_field(picture: Pixels) -> None:
    for number, colour in enumerate([*PATCHES, (230, 230, 230)]):
        found = picture[150:200, 80 * number + 20 : 80 * number + 60].mean(axis=(0, 1))
        assert found == pytest.approx(colour, abs=5)


def pq_code(nits: float) -> float:
    """SMPTE ST 2084's code of a luminance."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (nits / 10_000) ** m1
    return float(((c1 + c2 * power) / (1 + c3 * power)) ** m2)


def test_greys_of_high_dynamic_range_stay_grey_and_in_order() -> None:
    codes = np.linspace(0, 1, 50, dtype=np.float32)
    for transfer in (PQ, HLG):
        shown = to_srgb(np.repeat(codes[:, None], 3, axis=1), 9, transfer)
        assert np.ptp(shown, axis=1).max() < 0.01
        assert (np.diff(shown[:, 0]) >= -1e-6).all()
        assert shown.max() <= 1


@pytest.mark.parametrize(("transfer", "white"), [(PQ, pq_code(203)), (HLG, 0.75)])
def test_diffuse_white_is_nearly_white(transfer: int, white: float) -> None:
    assert to_srgb(np.full((1, 3), white, np.float32), 9, transfer).min() > 0.94


def test_colours_of_a_wide_gamut_are_brought_into_the_narrow_one() -> None:
    bt2020_of_red = np.array([[0.6274, 0.0691, 0.0164]], np.float32) ** np.float32(1 / 2.4)
    assert to_srgb(bt2020_of_red, 9, 1)[0] == pytest.approx((1, 0, 0), abs=0.03)
