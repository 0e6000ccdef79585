"""LiveCC's and StreamingVLM's lines, read by the rules of their loaders."""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from itertools import accumulate
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stages.write.stage import WriteConfig
from storyloom.errors import UsageError
from storyloom.export.livecc import clips, conversation, video_path
from storyloom.export.names import FormatName
from storyloom.export.run import export
from storyloom.format.interleave import Mode
from storyloom.format.sample import Sample, TimedWord
from tests.documents import complete, dataset, document, read_documents, video, videos

FPS, FIRST, TURN, MOST_FRAMES = 2, 6, 2, 480
"""qwen_vl_utils' FPS, LiveCC's `initial_fps_frames` and `streaming_fps_frames`, livecc_utils' `FPS_MAX_FRAMES`."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("livecc")
    some = [complete(video(f"v{n}", document(0, frames=2, texts=3 + n), document(1, start=50.0))) for n in range(3)]
    dataset(folder, [some], WriteConfig(name="spoken"))
    return folder / "out"


@pytest.fixture(scope="module")
def exported(out: Path) -> Path:
    done = export(out, FormatName.LIVECC, out.parent / "dest")
    assert (done.documents, done.images) == ({"train": 6}, {"train": 0})
    assert [warning.split(": ")[0] for warning in done.warnings] == ["6 documents of train name their video by URL"]
    return out.parent / "dest"


def last_line(path: Path) -> bytes:
    """LiveCC's `readlastline`: backwards from before the last newline."""
    with path.open("rb") as file:
        file.seek(-2, os.SEEK_END)
        while file.read(1) != b"\n":
            file.seek(-2, os.SEEK_CUR)
        return file.readline()


def lines(path: Path, seeks: list[int]) -> list[Any]:
    """`load_conversation`: a file of text is sought by bytes, and one line is read."""
    found = []
    for seek in seeks:
        with path.open() as file:
            file.seek(seek)
            found.append(json.loads(file.readline()))
    return found


def test_every_line_is_found_by_the_seeks_of_both_loaders(out: Path, exported: Path) -> None:
    seeks = json.loads(last_line(exported / "train_with_seeks.jsonl"))
    assert json.loads((exported / "train_seeks.jsonl").read_text()) == seeks  # StreamingVLM's
    found = lines(exported / "train_with_seeks.jsonl", seeks)
    assert {one[0]["content"][0]["key"] for one in found} == set(read_documents(out))
    assert len(found) == len(seeks) == len(read_documents(out))


def test_the_words_are_the_document_s_with_their_times(out: Path, exported: Path) -> None:
    wanted = {key: Sample.model_validate(values) for key, values in read_documents(out).items()}
    for user, assistant in lines(
        exported / "train_with_seeks.jsonl", json.loads(last_line(exported / "train_with_seeks.jsonl"))
    ):
        shown, asked = user["content"]
        sample = wanted[shown["key"]]
        assert (shown["type"], asked["type"], shown["video"]) == ("video", "text", sample.video_url)
        assert (asked["text"], asked["previous"], asked["title"]) == ("", "", sample.title)
        (said,) = assistant["content"]
        times = zip(sample.word_start, sample.word_end, sample.words, strict=True)
        assert said == {"type": "text_stream", "text_stream": list(map(list, times))}


def phrase_before(stream: list[list[Any]], time: float, begin: int) -> tuple[str, int]:
    """LiveCC's `get_phrase_before_timestamp`, with its repetition of a last word."""
    said = ""
    number = 0
    for number, (_, end, word) in enumerate(stream[begin:]):  # noqa: B007 - it is what is returned
        if time < end:
            break
        said += " " + word.strip()
    return said.strip(), number + begin


def spoken_by_turns(line: Any, rate: float = 25.0, begin: float = 0.04) -> list[str]:
    """What LiveCC's loader makes of a line, for a video of so many frames a second whose first is at `begin`."""
    user, assistant = line
    shown, stream = user["content"][0], assistant["content"][0]["text_stream"]
    times = [begin + n / rate for n in range(int(shown["video_end"] * rate) + 50)]
    inside = [time for time in times if shown["video_start"] <= time <= shown["video_end"]]
    steps = [inside[0] + n / FPS for n in range(int((inside[-1] + 1e-6 - inside[0]) * FPS) + 1)][:MOST_FRAMES]
    frames = [inside[bisect_left(inside, step - 1e-9)] for step in steps]
    frames += frames[-1:] * (len(frames) % 2)
    said, place = phrase_before(stream, frames[FIRST - 1], 0)
    turns = [said]
    for first in range(FIRST, len(frames), TURN):
        said, place = phrase_before(stream, frames[first + TURN - 1], place)
        turns.append(said)
    return turns


def sample(words: list[TimedWord], **changes: Any) -> Sample:
    """A document of one frame, whose sentences are ten of these words each."""
    runs = [words[n : n + 10] for n in range(0, len(words), 10)]
    values: dict[str, Any] = {
        "sample_id": "0a-0000",
        "texts": [" ".join(word.text for word in run) for run in runs],
        "text_start": [run[0].start for run in runs],
        "text_end": [run[-1].end for run in runs],
        "text_words": [len(run) for run in runs],
        "words": [word.text for word in words],
        "word_start": [word.start for word in words],
        "word_end": [word.end for word in words],
        "video_url": "file:///media/a%20b.mp4",
        "title": "How to <image> it\n",
        "video_start": 0.0,
        "doc_start": words[0].start,
        "doc_end": words[-1].end,
    }
    return Sample.model_construct(**(values | changes))


@pytest.mark.parametrize(
    ("count", "pace", "begin"), [(1, 0.3, 0.0), (5, 0.2, 3.3), (40, 0.37, 12.0), (900, 0.61, 1.234)]
)
def test_the_loader_gives_out_every_word_once(count: int, pace: float, begin: float) -> None:
    words = [
        TimedWord(f"w{n}", round(begin + n * pace, 3), round(begin + n * pace + pace * 0.9, 3)) for n in range(count)
    ]
    one = sample(words)
    said = [" ".join(spoken_by_turns(conversation(one, "v.mp4", clip))).split() for clip in clips(one)]
    assert [word for turns in said for word in turns] == [word.text for word in words]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=60), st.integers(1, 24))
def test_no_word_is_given_out_twice_where_frames_stand_at_a_clip_s_start(
    gaps: list[tuple[int, int]], first: int
) -> None:
    ends = list(accumulate((10 * (gap + length) for gap, length in gaps), initial=25 * first))[1:]  # frames of 25 a s
    lengths = [10 * length for _, length in gaps]
    words = [
        TimedWord(f"w{n}", (end - length) / 25, end / 25)
        for n, (end, length) in enumerate(zip(ends, lengths, strict=True))
    ]
    one = sample(words, doc_start=float(first))
    (clip,) = clips(one)
    said = " ".join(spoken_by_turns(conversation(one, "v.mp4", clip), begin=0.0)).split()
    assert said == [word.text for word in words]


@given(
    words=st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 3_000)), min_size=1, max_size=60),
    start=st.integers(0, 100_000),
    rate=st.sampled_from([10.0, 12.5, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60.0]),
    begin=st.floats(0.0, 1.0),
)
@example([(0, 2501)], 0, 25.0, 0.5)  # ends between a turn's end and the frame that stands for it
@example([(0, 3740)], 10_000, 10.0, 0.9)
def test_the_words_of_all_turns_are_the_document_s_wherever_frames_stand(
    words: list[tuple[int, int]], start: int, rate: float, begin: float
) -> None:
    ends = list(accumulate((gap + length for gap, length in words), initial=start))[1:]
    timed = [
        TimedWord(f"w{n}", (end - length) / 1000, end / 1000)
        for n, (end, (_, length)) in enumerate(zip(ends, words, strict=True))
    ]
    one = sample(timed, doc_start=start / 1000)
    lines = [conversation(one, "v.mp4", clip) for clip in clips(one)]
    said = [" ".join(spoken_by_turns(line, rate, begin / rate)).split() for line in lines]
    assert [word for turns in said for word in turns] == [word.text for word in timed]


def test_a_clip_starts_later_where_its_last_word_ends_just_after_a_turn() -> None:
    def shown(end: float) -> tuple[float, float]:
        one = sample([TimedWord("so", 10.0, 10.0 + end)])
        video = conversation(one, "v.mp4", next(clips(one)))[0]["content"][0]
        return video["video_start"], video["video_end"]

    assert shown(3.499) == (10.0, 13.75)
    assert shown(3.5) == (10.001, 13.751)
    assert shown(3.7) == (10.201, 13.951)
    assert shown(3.75) == (10.0, 14.75)


def test_a_long_document_is_cut_before_a_sentence_and_tells_what_was_said_before() -> None:
    words = [TimedWord(f"w{n}", float(n), n + 1.0) for n in range(500)]
    one = sample(words)
    found = list(clips(one))
    assert [(clip.start, clip.words[-1].end) for clip in found] == [(0.0, 230.0), (230.0, 460.0), (460.0, 500.0)]
    assert found[1].previous == " ".join(word.text for word in words[:230])


def test_a_sentence_that_is_longer_than_a_clip_is_cut_at_a_word() -> None:
    words = [TimedWord(f"w{n}", 40.0 * n, 40.0 * n + 40.0) for n in range(10)]
    assert [[word.text for word in clip.words] for clip in clips(sample(words))] == [
        ["w0", "w1", "w2", "w3", "w4"],
        ["w5", "w6", "w7", "w8", "w9"],
    ]


def test_a_clip_of_words_long_after_the_document_starts_begins_with_them() -> None:
    words = [TimedWord(f"w{n}", 300.0 + n, 301.0 + n) for n in range(10)]
    one = sample(words, doc_start=0.0)
    (clip,) = clips(one)
    assert (clip.start, clip.previous) == (300.0, "")
    assert " ".join(spoken_by_turns(conversation(one, "v.mp4", clip))).split() == [word.text for word in words]


def test_times_are_those_of_the_file_of_which_the_video_is_a_part() -> None:
    one = sample([TimedWord("so", 1.0, 1.5)], video_start=60.0)
    user, assistant = conversation(one, video_path(one.video_url), next(clips(one)))
    assert user["content"][0] == {
        "type": "video",
        "video": "/media/a b.mp4",
        "video_start": 61.0,
        "video_end": 63.75,
        "key": "0a-0000",
    }
    assert assistant["content"][0]["text_stream"] == [[61.0, 61.5, "so"]]
    assert user["content"][1]["title"] == "How to image it "


def test_texts_without_words_stand_as_one() -> None:
    none = {"words": [], "word_start": [], "word_end": [], "text_words": [0]}
    one = sample([TimedWord("so it is", 1.0, 2.0)]).model_copy(update=none)
    assert next(clips(one)).words == [TimedWord("so it is", 1.0, 2.0)]


def test_a_dataset_without_word_times_says_how_to_get_them(tmp_path: Path) -> None:
    dataset(tmp_path, [videos(1)], WriteConfig())
    with pytest.raises(UsageError, match=r"no word times, which livecc needs: make it with write\.words: true"):
        export(tmp_path / "out", FormatName.LIVECC, tmp_path / "dest")


def test_frames_in_silence_add_no_words_whatever_their_mode(tmp_path: Path) -> None:
    dataset(tmp_path, [[complete(video("v", document(0, frames=5, texts=2)))]], WriteConfig())
    lines = []
    for mode in get_args(Mode):
        export(tmp_path / "out", FormatName.LIVECC, tmp_path / mode, interleave=mode)
        lines.append((tmp_path / mode / "train_with_seeks.jsonl").read_bytes())
    assert len(set(lines)) == 1


def test_captions_are_refused(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="livecc is about words that were said: it takes no --texts caption"):
        export(out, FormatName.LIVECC, tmp_path / "dest", texts="caption")
