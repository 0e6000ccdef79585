from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.media.words import TimedWord
from stages.transcribe.batches import Batches, Progress
from stages.transcribe.recognizer import RecognizedSegment, Request
from stages.transcribe.speech_segments import Speech

SIZE = 4


class Echo:
    """Recognizes in each window its number; a video says how many windows it has, and in which one it breaks."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, int]]] = []
        self.cut = 0
        self.most_waiting = 0

    def windows(self, request: Request, progress: Progress) -> Iterator[int]:
        for number, sample in enumerate(request.audio[:]):
            self.cut += 1
            self.most_waiting = max(self.most_waiting, self.cut - sum(map(len, self.batches)))
            yield number if sample == 0 else -1

    def recognize_batch(self, batch: Sequence[tuple[Progress, int]]) -> None:
        if any(window < 0 for _, window in batch):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        self.batches.append([(progress.video, window) for progress, window in batch])
        for progress, window in batch:
            word = TimedWord(window, window, str(window), 1.0)
            progress.segments.append(RecognizedSegment([word], 0.0, 0.0, 0.0))


def requests(videos: Sequence[tuple[str, list[int]]]) -> list[Request]:
    return [
        Request(str(key), np.array(windows, np.int16), Speech([], []), language)
        for key, (language, windows) in enumerate(videos)
    ]


some_videos = st.lists(st.tuples(st.sampled_from(["en", "de", "fr"]), st.lists(st.just(0), max_size=7)), max_size=12)


@given(some_videos)
def test_every_window_is_recognized_once_and_in_order(
    videos: list[tuple[str, list[int]]],
) -> None:
    model = Echo()
    found = list(Batches(model, SIZE).recognize(requests(videos)))
    assert sorted(key for key, _ in found) == sorted(str(key) for key in range(len(videos)))
    for key, recognition in found:
        assert [segment.words[0].start for segment in recognition.segments] == list(range(len(videos[int(key)][1])))
    assert all(len(batch) == SIZE for batch in model.batches[:-1])
    assert model.most_waiting <= SIZE


def test_an_error_of_the_model_is_no_fault_of_a_video_and_is_raised() -> None:
    with pytest.raises(RuntimeError, match="CUDA error"):
        list(Batches(Echo(), SIZE).recognize(requests([("en", [0, 0]), ("en", [0, 1])])))
