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
from tests.stages.real_media import LIMITS, NARRATED, decoded, shared


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
        decode(Track(str(text), 1, 0.0, 6.0), LIMITS)


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
