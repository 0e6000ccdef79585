"""The funnel where a stage behind `filter` counts documents, too."""

from __future__ import annotations

from pipeline.funnel import funnel
from pipeline.status import StageStatus


def test_what_a_video_lost_in_a_stage_behind_filter_is_not_kept() -> None:
    sampled = StageStatus(stage="sample", units=1, done=1, videos=3, live=3, counts={"frames": 9})
    aligned = StageStatus(stage="align", units=1, done=1, videos=3, live=3, counts={"sentences": 7})
    cut = {"documents": 3, "frames": 8, "sentences": 6, "frames_dropped.black": 1, "sentences_dropped.repetition": 1}
    filtered = StageStatus(stage="filter", units=1, done=1, videos=3, live=3, counts=cut)
    heard = StageStatus(
        stage="sound",
        units=1,
        done=1,
        videos=3,
        live=2,
        failed={"sound.decode_timeout": 1},
        counts={"documents": 2, "frames": 5, "sentences": 4},
    )
    rows = {row.what: row for row in funnel([sampled, aligned, filtered, heard])}
    assert {what: (row.found, row.kept, row.dropped, row.failed) for what, row in rows.items()} == {
        "videos": (3, 2, {}, {"sound.decode_timeout": 1}),
        "frames": (9, 5, {"black": 1, "video_ended": 3}, {}),
        "sentences": (7, 4, {"repetition": 1, "video_ended": 2}, {}),
        "documents": (3, 2, {"video_ended": 1}, {}),
    }
