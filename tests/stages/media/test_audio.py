"""Audio that is decoded into a file, and read from there in parts."""

from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.base import VideoFailed
from stages.media.audio import SAMPLE_RATE, AudioFile, decode, floats
from stages.media.sandbox import Limits
from tests.stages.real_media import NARRATED, made, shared

LIMITS = Limits(60.0, 4 * 1024**3)


def first_loud(audio: AudioFile) -> float:
    """Seconds up to the first sample that is not nearly silent."""
    return float(np.flatnonzero(np.abs(audio[:]) > 300)[0]) / SAMPLE_RATE


def test_the_demo_is_decoded_from_start_to_end() -> None:
    audio = decode(NARRATED, LIMITS)
    assert len(audio) / SAMPLE_RATE == pytest.approx(52.08, abs=0.1)
    assert np.abs(audio[:]).max() > 10_000


def test_a_track_that_starts_late_starts_with_silence() -> None:
    late, on_time = (
        decode(shared(f"edge/{name}"), LIMITS) for name in ("nasa_audio_delayed_2.5s.mp4", "nasa_two_audio_eng_fra.mp4")
    )
    assert first_loud(late) == pytest.approx(first_loud(on_time) + 2.436, abs=0.1)


def test_a_track_whose_codec_is_unknown_cannot_be_decoded(tmp_path: Path) -> None:
    broken = made(tmp_path / "broken.mkv", "-t", "6", "-i", NARRATED, "-c:v", "copy", "-c:a", "pcm_s16le")
    content = broken.read_bytes()
    assert content.count(b"A_PCM/INT/LIT") == 1
    broken.write_bytes(content.replace(b"A_PCM/INT/LIT", b"A_NOSUCHCODEC"))
    with pytest.raises(VideoFailed, match="audio_undecodable"):
        decode(broken, LIMITS)


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
