"""The sound of texts: what is heard in their intervals."""

from __future__ import annotations

import io
import tempfile
from dataclasses import replace

import av
import numpy as np
import numpy.typing as npt
import pytest

from schemas.manifest import ManifestRow
from schemas.media import MediaRow
from schemas.rows import DocumentDraft, DocumentsRow, DocumentText, SoundsRow, TranscriptRow
from stages.base import Video, VideoFailed
from stages.media.audio import AudioFile, Decoded, decode
from stages.media.sound import SAMPLE_RATE
from stages.sound.stage import Sound, SoundConfig
from storyloom.format.opus import RATE
from tests.stages.real_media import KEY, NARRATED, context, decoded, linked, shared


def draft(number: int, *spans: tuple[float, float]) -> DocumentDraft:
    texts = [DocumentText(start=start, end=end, text="words", source="asr") for start, end in spans]
    return DocumentDraft(number=number, start=0.0, end=60.0, language="en", frames=[], texts=texts)


def sounds(media: MediaRow, *drafts: DocumentDraft, stream: int = 1, heard_until: float = 0.0) -> SoundsRow:
    transcript = TranscriptRow(video=KEY, audio_stream=stream, duration=heard_until)
    rows = [DocumentsRow(video=KEY, documents=list(drafts)), transcript, media]
    line = ManifestRow(video=KEY, url="v.mp4", source_id="v")
    return Sound(SoundConfig(enabled=True), context()).one(Video(line, rows))


def heard(file: bytes) -> npt.NDArray[np.int16]:
    """The decoded samples at the recognizer's rate."""
    with av.open(io.BytesIO(file), "r") as container:
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in [*frames, *resampler.resample(None)]])


def test_the_sound_of_a_text_is_what_is_heard_in_its_interval() -> None:
    row = sounds(linked(NARRATED), draft(0, (0.64, 5.2), (7.0, 9.5)), draft(1, (20.1, 23.4)))
    audio = decoded(NARRATED).audio
    assert [(one.document, one.text, one.start, one.end) for one in row.texts] == [
        (0, 0, 0.64, 5.2),
        (0, 1, 7.0, 9.5),
        (1, 0, 20.1, 23.4),
    ]
    for one, file in zip(row.texts, row.opus, strict=True):
        original = audio[round(one.start * SAMPLE_RATE) : round(one.end * SAMPLE_RATE)]
        found = heard(file)[: len(original)]
        assert abs(len(found) - len(original)) <= 32
        assert np.corrcoef(found, original[: len(found)])[0, 1] > 0.9


def test_a_video_s_sounds_are_the_same_bytes_again() -> None:
    media = linked(NARRATED)
    assert sounds(media, draft(0, (0.6, 5.2))).opus == sounds(media, draft(0, (0.6, 5.2))).opus


def test_where_the_track_has_no_sound_there_is_silence() -> None:
    (file,) = sounds(linked(NARRATED), draft(0, (60.0, 61.5))).opus
    assert abs(len(heard(file)) - 1.5 * SAMPLE_RATE) <= 32
    assert np.abs(heard(file)).max() <= 1


def test_the_row_counts_what_is_kept() -> None:
    row = sounds(linked(NARRATED), draft(0, (0.6, 5.2), (7.0, 9.5)), draft(1, (20.1, 23.4)))
    assert row.counts() == {"documents": 2, "frames": 0, "sentences": 3}


def test_a_track_that_is_not_there_is_told() -> None:
    with pytest.raises(VideoFailed, match="no audio track in its stream 7"):
        sounds(linked(NARRATED), draft(0, (0.6, 5.2)), stream=7)


@pytest.mark.parametrize("seconds", [30.0, 51.0])
def test_a_decoder_that_crashes_before_the_end_of_what_was_heard_makes_no_silence_of_the_rest(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr("stages.sound.stage.decode", lambda *given: crashed_after(seconds, decode(*given)))
    with pytest.raises(VideoFailed, match=f"crashed after {seconds:.1f} of 52.0 s") as failed:
        sounds(linked(NARRATED), draft(0, (0.64, 5.2), (46.0, 50.5)), heard_until=52.0)
    assert (failed.value.code, failed.value.retryable) == ("decoder_crashed", True)


def test_a_decoder_that_crashes_where_it_crashed_before_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.sound.stage.decode", lambda *given: crashed_after(30.0, decode(*given)))
    assert len(sounds(linked(NARRATED), draft(0, (0.64, 5.2)), heard_until=30.0).opus) == 1


def crashed_after(seconds: float, decoded: Decoded) -> Decoded:
    """What is left of a decoded track when the decoder crashes after some seconds."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - `AudioFile` closes it
    file.write(decoded.audio[: round(seconds * RATE)].tobytes())
    file.flush()
    return replace(decoded, audio=AudioFile(file), crashed=True)


def test_more_texts_than_names_can_count_are_refused() -> None:
    with pytest.raises(VideoFailed, match="document 0 has 1001 texts") as refused:
        sounds(linked(NARRATED), draft(0, *[(n / 100, n / 100) for n in range(1001)]))
    assert refused.value.code == "too_many_texts"


def test_of_several_tracks_the_one_that_was_transcribed_is_heard() -> None:
    media = linked(shared("edge/nasa_two_audio_eng_fra.mp4"))
    first, second = (track.stream for track in media.audio_tracks)
    one, other = (sounds(media, draft(0, (1.0, 4.0)), stream=stream).opus for stream in (first, second))
    assert one != other


def test_a_track_that_starts_late_is_on_the_clock_of_the_frames() -> None:
    (file,) = sounds(linked(shared("edge/nasa_audio_delayed_2.5s.mp4")), draft(0, (0.0, 6.0))).opus
    loud = np.flatnonzero(np.abs(heard(file)) > 300)[0] / SAMPLE_RATE
    on_time = np.flatnonzero(np.abs(decoded(shared("edge/nasa_two_audio_eng_fra.mp4")).audio[:]) > 300)[0] / SAMPLE_RATE
    assert loud == pytest.approx(on_time + 2.436, abs=0.1)
