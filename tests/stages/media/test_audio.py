"""One pass over a file: the sound that `sample` comes past is the one that `transcribe` would decode."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import FramesRow
from stages.base import Context, Video
from stages.media.audio import MOST_LEFT, SoundFile, decode, leaving, taken
from stages.media.sandbox import Limits
from stages.sample.stage import Sample, SampleConfig
from tests.stages.real_media import NARRATED, context, linked, made, shared
from tests.stages.rows import KEY, MANIFEST

LIMITS = Limits(60.0, 4 * 1024**3)


def sampled(media: Path, sounds: Path, *, due: bool = True, duration: float = 52.08) -> FramesRow:
    stage = Sample(SampleConfig(), replace(context(), sounds=sounds))
    stage.setup()
    row = linked(media, KEY, duration=duration)
    frames = stage.one(Video(MANIFEST, [row], sound_due=due))
    assert frames.live
    return frames


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return tmp_path / "sounds"


@pytest.mark.parametrize("media", ["nasa_audio_delayed_2.5s.mp4", "nasa_start_offset10.ts"])
def test_the_sound_left_is_the_one_a_pass_of_its_own_gives_on_the_same_clock(media: str, sounds: Path) -> None:
    file = shared(f"edge/{media}")
    sampled(file, sounds, duration=-1.0)
    left = taken(sounds, KEY)
    assert left is not None
    np.testing.assert_array_equal(left[:], decode(file, LIMITS)[:])


@given(st.binary(max_size=20), st.integers(-12, 12), st.integers(-12, 12))
def test_parts_of_a_sound_in_a_file_are_those_of_the_sound_in_memory(content: bytes, start: int, stop: int) -> None:
    samples = np.frombuffer(content[: len(content) // 2 * 2], "<i2")
    with TemporaryFile() as file:
        file.write(content)
        file.flush()
        sound = SoundFile(file)
        assert len(sound) == len(samples)
        np.testing.assert_array_equal(sound[start:stop], samples[start:stop])


def test_the_file_of_a_sound_is_closed_when_nobody_holds_it() -> None:
    file = TemporaryFile()  # noqa: SIM115 - that is the point
    sound = SoundFile(file)
    assert not file.closed
    del sound
    assert file.closed


def test_frames_do_not_hang_on_whether_sound_is_left(sounds: Path) -> None:
    assert sampled(NARRATED, sounds) == sampled(NARRATED, sounds, due=False)


def test_no_sound_is_left_where_nobody_waits_for_it(sounds: Path) -> None:
    sampled(NARRATED, sounds, due=False)
    assert taken(sounds, KEY) is None


def test_a_sound_is_taken_once(sounds: Path) -> None:
    sampled(NARRATED, sounds)
    assert taken(sounds, KEY) is not None
    assert taken(sounds, KEY) is None
    assert list(sounds.iterdir()) == []


def test_a_sound_track_that_cannot_be_decoded_costs_no_frames_and_leaves_nothing(tmp_path: Path, sounds: Path) -> None:
    # ffmpeg refuses the whole command when it cannot set up a decoder for the sound.
    broken = made(tmp_path / "broken.mkv", "-t", "6", "-i", NARRATED, "-c:v", "copy", "-c:a", "pcm_s16le")
    content = broken.read_bytes()
    assert content.count(b"A_PCM/INT/LIT") == 1
    broken.write_bytes(content.replace(b"A_PCM/INT/LIT", b"A_NOSUCHCODEC"))
    assert sampled(broken, sounds, duration=6.0).frames
    assert taken(sounds, KEY) is None


def test_no_more_is_left_when_too_much_lies_waiting(sounds: Path) -> None:
    sounds.mkdir()
    for number in range(MOST_LEFT):
        (sounds / str(number)).touch()
    with leaving(sounds, KEY) as place:
        assert place is None


def test_a_folder_that_another_run_cleared_is_no_error(sounds: Path) -> None:
    with leaving(sounds, KEY) as place:
        assert place is not None
        sounds.rmdir()
    assert taken(sounds, KEY) is None


def test_without_a_folder_nothing_is_left() -> None:
    assert Context(seed=0, media=Path()).sounds is None
    with leaving(None, KEY) as place:
        assert place is None
