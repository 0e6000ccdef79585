"""Real videos that are not in this repository: what is said stands under what is shown, and a mismatch is found out."""

import json
from typing import Any

import pytest

from schemas.rows import AlignedRow, DocumentsRow, ScoresRow
from stages.base import Stage
from stages.filter.stage import FilterConfig
from stages.registry import STAGES
from tests.runs import SHARED, Finished, demo_config, run_quietly

NARRATED, MISMATCHED = "flickr_narrated_12.mp4", "flickr_narrated_12_mismatched.mp4"
FILES = {
    NARRATED: "narrated",
    MISMATCHED: "narrated",
    "nasa_13013_multistream.mp4": "videos",
    "bikes.mp4": "videos",
    "dj_video1.mp4": "videos",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.exists(), reason="../shared/data with real videos is not there"),
]


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("shared")
    lines = [json.dumps({"url": str(SHARED / place / name), "id": name}) for name, place in FILES.items()]
    (folder / "list.jsonl").write_text("\n".join(lines))
    config = demo_config(folder, f"manifest={folder / 'list.jsonl'}", "runner.kind=inline")
    run_quietly(config)
    return Finished(config)


def document(run: Finished, name: str) -> dict[str, Any]:
    (found,) = [one for one in run.documents() if one["video_id"] == name]
    return found


def segments(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((SHARED / "narrated" / f"{name}.gt.json").read_text())["segments"]
    return found


def letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalpha())


def pairs(one: dict[str, Any]) -> list[tuple[float, str]]:
    """Each frame's time and its sentence, for frames that have one."""
    texts = [text for text in one["texts"] if text is not None]
    times = zip(one["image_time"], one["image_text_index"], strict=True)
    return [(time, texts[index]) for time, index in times if index >= 0]


def test_at_least_eleven_of_twelve_photos_carry_their_own_caption(shared_run: Finished) -> None:
    found = pairs(document(shared_run, NARRATED))
    right = 0
    for shown in segments(NARRATED):
        own = [text for time, text in found if shown["start"] <= time < shown["end"]]
        # Whisper writes "someone is hand" and, on some processors, "diving boat": a caption is known by how it begins.
        right += any(letters(text)[:15] == letters(shown["text"])[:15] for text in own)
    assert right >= 11


def test_the_mismatched_twin_loses_most_frames_and_keeps_its_text(shared_run: Finished) -> None:
    twin = document(shared_run, MISMATCHED)
    assert len(twin["image_time"]) < 6
    assert len(twin["text_start"]) == len(segments(MISMATCHED))


def test_matched_frames_score_well_above_mismatched_ones(shared_run: Finished) -> None:
    def mean(name: str) -> float:
        row = shared_run.rows("score")[str(SHARED / "narrated" / name)]
        aligned = shared_run.rows("align")[str(SHARED / "narrated" / name)]
        assert isinstance(row, ScoresRow)
        assert isinstance(aligned, AlignedRow)
        times, said = aligned.frame_times, aligned.sentences
        scores = [
            similarity
            for pair, similarity in zip(aligned.pairs, row.similarity, strict=True)
            if said[pair.sentence].start <= times[pair.frame] < said[pair.sentence].end
        ]
        return sum(scores) / len(scores)

    assert mean(NARRATED) > mean(MISMATCHED) + 0.1


def test_the_sentence_under_each_frame_of_the_clean_room_is_spoken_there(shared_run: Finished) -> None:
    # The small model has never seen a clean room: which sentence is what counts here, not how similar it is.
    config = shared_run.config
    every_frame = config.section(FilterConfig).model_copy(update={"threshold": 0.0})
    lenient = config.model_copy(update={"filter": every_frame, "output": f"{config.output}-lenient"})
    run_quietly(lenient)
    found = pairs(document(Finished(lenient), "nasa_13013_multistream.mp4"))
    assert len(found) == 3
    assert all("webb space telescope" in text.lower() and time < 12.0 for time, text in found)


@pytest.mark.parametrize(
    "stage",
    [
        stage.name
        for stage in STAGES
        if issubclass(stage, Stage) and stage.Config().enabled and stage.name != "calibrate"
    ],
)
def test_soundless_and_chinese_videos_have_their_row_in_every_stage(shared_run: Finished, stage: str) -> None:
    assert {url.rsplit("/", 1)[-1] for url in shared_run.rows(stage)} == set(FILES)


def test_a_soundless_video_says_why_it_gave_no_document(shared_run: Finished) -> None:
    row = shared_run.rows("filter")[str(SHARED / "videos" / "bikes.mp4")]
    assert isinstance(row, DocumentsRow)
    assert row.dropped is not None
    assert (row.dropped.stage, row.dropped.reason) == ("transcribe", "no_audio")
