"""Audio that is decoded into a file, and read from there in parts."""

from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.base import VideoFailed
from stages.media.audio import AudioFile, decode, floats
from stages.media.sound import SAMPLE_RATE
from stages.media.track import Track
from tests.stages.real_media import LIMITS, NARRATED, decoded, made, shared


def first_loud(audio: AudioFile) -> float:
    """Seconds up to the first sample that is not nearly silent."""
    return float(np.flatnonzero(np.abs(audio[:]) > 300)[0]) / SAMPLE_RATE


def test_the_demo_is_decoded_from_start_to_end() -> None:
    audio = decoded(NARRATED).audio
    assert len(audio) / SAMPLE_RATE == pytest.approx(52.08, abs=0.1)
    assert np.abs(audio[:]).max() > 10_000


def test_a_track_that_starts_late_starts_with_silence() -> None:
    late, on_time = (
        decoded(shared(f"edge/{name}")).audio for name in ("nasa_audio_delayed_2.5s.mp4", "nasa_two_audio_eng_fra.mp4")
    )
    assert first_loud(late) == pytest.approx(first_loud(on_time) + 2.436, abs=0.1)


def test_what_is_no_media_cannot_be_decoded(tmp_path: Path) -> None:
    text = tmp_path / "v.mkv"
    text.write_text("no media at all")
    with pytest.raises(VideoFailed, match="audio_undecodable"):
        decode(Track(str(text), [1], 0.0, 6.0), LIMITS)


@given(st.binary(max_size=20), st.integers(-12, 12), st.integers(-12, 12))
def test_parts_of_audio_in_a_file_are_those_of_the_audio_in_memory(content: bytes, start: int, stop: int) -> None:
    samples = np.frombuffer(content[: len(content) // 2 * 2], "<i2")
    with TemporaryFile() as file:
        file.write(content)
        file.flush()
        audio = AudioFile(file)
        assert len(audio) == len(samples)
        np.testing.assert_array_equal(audio[start:stop], samples[start:stop])


def test_the_file_is_closed_when_nobody_holds_the_audio() -> None:
    file = TemporaryFile()  # noqa: SIM115 - that is the point
    audio = AudioFile(file)
    assert not file.closed
    del audio
    assert file.closed


def test_models_get_samples_between_minus_one_and_one() -> None:
    np.testing.assert_array_equal(
        floats(np.array([-32768, 0, 16384], np.int16)), np.array([-1.0, 0.0, 0.5], np.float32)
    )


SPEECH = ("-t", "6", "-i", NARRATED)


def level(audio: AudioFile) -> float:
    """Root of the mean square, in dB of full scale."""
    return float(20 * np.log10(np.sqrt(np.mean(np.square(floats(audio[:]), dtype=np.float64))) + 1e-9))


@pytest.fixture(scope="module")
def plain() -> AudioFile:
    return decoded(NARRATED).audio


@pytest.mark.parametrize(
    ("channels", "pan"),
    [
        ("out of phase", "stereo|c0=c0|c1=-1*c0"),
        ("left silent", "stereo|c0=0*c0|c1=c0"),
        ("right silent", "stereo|c0=c0|c1=0*c0"),
        ("centre of 5.1", "5.1|FC=c0|FL=0*c0"),
        ("sides of 5.1, centre silent", "5.1|FL=c0|FR=c0"),
        ("out of phase in 5.1", "5.1|FL=c0|FR=-1*c0"),
        ("out of phase in quad", "quad|FL=c0|FR=-1*c0|BL=0*c0|BR=0*c0"),
    ],
    ids=lambda value: value if "|" not in value else "",
)
def test_speech_is_heard_whatever_channels_it_is_in(plain: AudioFile, tmp_path: Path, channels: str, pan: str) -> None:
    media = made(tmp_path / "v.mkv", *SPEECH, "-vn", "-af", f"aformat=channel_layouts=mono,pan={pan}", "-c:a", "flac")
    found = decoded(media).audio
    length = min(len(found), 6 * SAMPLE_RATE)
    assert abs(np.corrcoef(found[:length], plain[:length])[0, 1]) > 0.95, channels
    assert level(found) > -45


def test_speech_in_the_centre_is_above_the_music_at_its_sides(plain: AudioFile, tmp_path: Path) -> None:
    music = ("-f", "lavfi", "-i", "aevalsrc=0.3*sin(2*PI*220*t):d=6")
    mixed = "[0:a]aformat=channel_layouts=mono[s];[s][1:a]amerge,pan=5.1|FC=c0|FL=c1|FR=c1"
    media = made(tmp_path / "v.mkv", *SPEECH, *music, "-filter_complex", mixed, "-c:a", "flac")
    found = decoded(media).audio
    length = min(len(found), 6 * SAMPLE_RATE)
    assert abs(np.corrcoef(found[:length], plain[:length])[0, 1]) > 0.5


def test_a_track_that_is_far_too_low_is_raised(plain: AudioFile, tmp_path: Path) -> None:
    media = made(tmp_path / "v.mkv", *SPEECH, "-vn", "-af", "volume=-55dB", "-c:a", "pcm_s24le")
    found = decoded(media)
    assert found.gain > 30
    assert level(found.audio) == pytest.approx(level(plain), abs=12)
    assert decoded(NARRATED).gain == 0


def test_silence_stays_silence(tmp_path: Path) -> None:
    media = made(tmp_path / "v.mkv", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=stereo:d=3", "-c:a", "flac")
    assert not decoded(media).audio[:].any()
