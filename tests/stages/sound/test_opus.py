"""Ogg Opus files: the same bytes for the same samples, of their length, with nothing of the encoder in them."""

from __future__ import annotations

import io

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.sound.opus import opus
from storyloom.format.opus import LEAST, RATE, opus_samples
from tests.documents import tone


def heard(file: bytes) -> npt.NDArray[np.float32]:
    """The decoded samples."""
    with av.open(io.BytesIO(file), "r") as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    samples: npt.NDArray[np.float32] = np.concatenate(frames, axis=1)[0]
    return samples


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3 * RATE))
def test_a_file_lasts_as_long_as_its_samples(samples: int) -> None:
    assert len(heard(opus(np.zeros(samples, np.int16), 32_000))) == max(samples, LEAST)


def test_a_tone_is_heard_as_that_tone() -> None:
    spectrum = np.abs(np.fft.rfft(heard(tone(2, 1.0))))
    assert abs(int(spectrum.argmax()) - 500) <= 1


def test_the_same_samples_give_the_same_bytes() -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, RATE, dtype=np.int16)
    assert opus(samples, 32_000) == opus(samples, 32_000)


def test_nothing_of_the_encoder_is_in_a_file() -> None:
    file = tone(0, 0.5)
    assert int.from_bytes(file[14:18], "little") == 0  # its serial number
    assert b"libopus" not in file
    assert b"Lav" not in file


def test_more_bits_a_second_make_a_larger_file() -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, RATE, dtype=np.int16)
    assert len(opus(samples, 64_000)) > 2 * len(opus(samples, 16_000))


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.021, 1.5, 3.0])
def test_a_file_says_how_long_it_is(seconds: float) -> None:
    file = tone(0, seconds)
    assert opus_samples(file) == len(heard(file)) == max(round(seconds * RATE), LEAST)


@pytest.mark.parametrize(
    ("file", "flaw"),
    [
        (b"", "cut off or missing"),
        (b"RIFF", "no Ogg page at its byte 0"),
        (tone(0, 0.5)[:-1], "cut off"),
        (tone(0, 0.5) + b"x", "no Ogg page at its byte"),
        (tone(0, 0.5)[:47], "cut off"),
        (tone(0, 0.5).replace(b"OpusHead\x01\x01", b"OpusHead\x01\x02"), "not the head of Opus with one channel"),
        (tone(0, 0.5) * 2, "its page 3 is out of order"),
    ],
    ids=["nothing", "wave", "cut", "longer", "head alone", "stereo", "twice"],
)
def test_what_is_no_file_of_opus_is_told(file: bytes, flaw: str) -> None:
    with pytest.raises(ValueError, match=flaw):
        opus_samples(file)
