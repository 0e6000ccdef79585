from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.transcribe.batches import Batches, Hearing
from stages.transcribe.recognizer import Heard, HeardSegment, Sound
from stages.transcribe.vad import HeardWord, Speech

SIZE = 4


class Echo:
    """Hears in each window its number; a video says how many windows it has, and in which one it breaks."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, int]]] = []
        self.languages: list[set[str]] = []
        self.cut = 0
        self.most_waiting = 0

    def windows(self, sound: Sound, hearing: Hearing) -> Iterator[int]:
        for number, sample in enumerate(sound.audio[:]):
            if sample == 1:
                raise RuntimeError("no spectrogram")
            self.cut += 1
            self.most_waiting = max(self.most_waiting, self.cut - sum(map(len, self.batches)))
            yield number if sample == 0 else -1

    def recognise(self, batch: Sequence[tuple[Hearing, int]]) -> None:
        if any(window < 0 for _, window in batch):
            raise RuntimeError("no words")
        self.batches.append([(hearing.video, window) for hearing, window in batch])
        self.languages.append({hearing.language for hearing, _ in batch})
        for hearing, window in batch:
            hearing.segments.append(HeardSegment([HeardWord(window, window, str(window), 1.0)], 0.0, 0.0, 0.0))


def sounds(videos: Sequence[tuple[str, list[int]]]) -> list[Sound]:
    return [
        Sound(str(key), np.array(windows, np.int16), Speech([], []), language)
        for key, (language, windows) in enumerate(videos)
    ]


some_videos = st.lists(st.tuples(st.sampled_from(["en", "de", "fr"]), st.lists(st.just(0), max_size=7)), max_size=12)
broken_videos = st.lists(
    st.tuples(st.sampled_from(["en", "de"]), st.lists(st.sampled_from([0, 0, 0, 1, 2]), max_size=5)), max_size=12
)


@given(some_videos)
def test_every_window_is_heard_once_and_in_order_in_batches_of_one_language(
    videos: list[tuple[str, list[int]]],
) -> None:
    model = Echo()
    heard = list(Batches(model, SIZE).heard(sounds(videos)))
    assert sorted(key for key, _ in heard) == sorted(str(key) for key in range(len(videos)))
    for key, outcome in heard:
        assert isinstance(outcome, Heard)
        assert [segment.words[0].start for segment in outcome.segments] == list(range(len(videos[int(key)][1])))
    assert all(len(batch) <= SIZE for batch in model.batches)
    assert model.most_waiting <= 2 * SIZE
    assert all(len(languages) == 1 for languages in model.languages)


@given(broken_videos)
def test_what_breaks_costs_only_the_video_it_breaks_over(videos: list[tuple[str, list[int]]]) -> None:
    heard = dict(Batches(Echo(), SIZE).heard(sounds(videos)))
    assert len(heard) == len(videos)
    for key, (_, windows) in enumerate(videos):
        assert isinstance(heard[str(key)], Exception) == bool({1, 2} & set(windows))


def test_a_language_of_its_own_does_not_wait_for_a_full_batch_forever() -> None:
    model = Echo()
    languages = ["en", "de", "fr", "es", "it", "nl", "pl", "cs", "da"]
    heard = Batches(model, SIZE).heard(sounds([(language, [0]) for language in languages]))
    assert next(heard)[0] == "0"
    assert len(model.batches) == 1
