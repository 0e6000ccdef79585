"""A run from end to end on real media with the demo's models: what comes out, and what runs again when."""

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.funnel import funnel
from pipeline.preview import preview
from pipeline.run import Selection, run
from pipeline.status import status
from pipeline.workspace import survey
from schemas.rows import DocumentsRow, TranscriptRow
from stages.base import Stage
from stages.registry import registered
from stages.tokenize.tokenizer import load_tokenizer
from storyloom.errors import RunFailed, UsageError
from storyloom.format.manifest import finished_dataset
from storyloom.reader import Documents
from storyloom.validate.dataset import validate_dataset
from tests import machine
from tests.http_server import serving
from tests.runs import EVERYTHING, ROOT, TRUTH, Finished, Recorder, clip, content_of, demo_config, run_quietly


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def test_the_sentence_under_each_frame_is_the_one_that_is_spoken_there(demo_run: Finished) -> None:
    (document,) = demo_run.documents()
    texts = [text for text in document["texts"] if text is not None]
    pairs = list(zip(document["image_time"], document["image_text_index"], strict=True))
    for time, index in pairs:
        (shown,) = [s for s in TRUTH["segments"] if s["start"] <= time < s["end"]]
        if shown["kind"] == "silent":
            assert index == -1
        else:
            assert words(texts[index]) == words(shown["text"])
    assert len(pairs) >= 8


def test_every_sentence_stays_whatever_becomes_of_its_frame(demo_run: Finished) -> None:
    (document,) = demo_run.documents()
    spoken = [words(segment["text"]) for segment in TRUTH["segments"] if segment["text"]]
    assert [words(text) for text in document["texts"] if text is not None] == spoken


def test_a_frame_that_nobody_speaks_of_is_dropped_for_its_score(demo_run: Finished) -> None:
    (off_topic,) = [segment for segment in TRUTH["segments"] if segment["kind"] == "off_topic"]
    (row,) = demo_run.rows("filter").values()
    assert isinstance(row, DocumentsRow)
    dropped = {item.time: item.reason for item in row.dropped_items if item.kind == "frame"}
    assert [reason for time, reason in dropped.items() if off_topic["start"] <= time < off_topic["end"]] == [
        "low_similarity"
    ]


@pytest.fixture(scope="module")
def with_everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with words, sound and codes."""
    folder = tmp_path_factory.mktemp("everything")
    run_quietly(demo_config(folder, "write.words=true", "sound.enabled=true", "tokenize.enabled=true"))
    return folder / "out"


def test_the_codes_of_a_frame_decode_to_what_it_and_no_other_shows(with_everything: Path) -> None:
    published = finished_dataset(with_everything)
    (document,) = Documents(with_everything)
    codes = [frame.codes for frame in document.frames if frame.codes is not None]
    wanted = [np.asarray(Image.fromarray(frame.pixels()).resize((256, 144))).astype(float) for frame in document.frames]
    for number, shown in enumerate(load_tokenizer("fitted-16").decode(codes)):
        errors = [((shown - one) ** 2).mean() for one in wanted]
        assert int(np.argmin(errors)) == number
    assert published.splits["train"].ncodes == 144 * len(document.frames)
    assert "fitted-16 sha256:" in published.provenance.revisions["tokenize"]


def test_words_and_sound_of_a_text_are_those_of_its_interval(with_everything: Path) -> None:
    published = finished_dataset(with_everything)
    (document,) = Documents(with_everything)
    assert published.most_sounds == len(document.texts)
    for text in document.texts:
        assert words("".join(word.text + " " for word in text.words)) == words(text.text)
        assert all(text.start <= word.start <= word.end <= text.end for word in text.words)
        with av.open(io.BytesIO(text.sound), "r") as sound:
            heard = np.concatenate([frame.to_ndarray()[0] for frame in sound.decode(audio=0)])
        assert len(heard) == round((text.end - text.start) * 48_000)
        assert np.abs(heard).max() > 0.1
    assert validate_dataset(with_everything, deep=True).violations.total == 0


def test_nothing_of_the_machine_is_in_the_shards(demo_run: Finished) -> None:
    (document,) = demo_run.documents()
    assert document["video_url"] == "narrated.mp4"
    for file in Path(demo_run.config.output).rglob("*"):
        assert file.is_dir() or str(ROOT).encode() not in file.read_bytes()


def test_running_again_does_nothing(demo_run: Finished) -> None:
    def times() -> dict[str, int]:
        folders = (Path(demo_run.config.work), Path(demo_run.config.output))
        files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
        return {str(file): file.stat().st_mtime_ns for file in files if "summaries" not in file.parts}

    before = times()
    recorder = run_quietly(demo_run.config)
    assert recorder.done == []
    assert times() == before


def test_a_changed_threshold_runs_filter_and_write_and_says_why(tmp_path: Path, demo_run: Finished) -> None:
    config = demo_config(tmp_path, f"work={demo_run.config.work}", "filter.threshold=0.0")
    recorder = run_quietly(config)
    assert recorder.ran == {"filter", "write"}
    assert 'filter.threshold "calibrated" → 0.0' in recorder.why["filter"]
    assert recorder.why["write"] == "filter to be done again"
    assert recorder.why["score"] == ""
    frames = [len(document["image_time"]) for document in Finished(config).documents()]
    assert frames > [len(document["image_time"]) for document in demo_run.documents()]


def test_only_and_from_name_what_is_missing(tmp_path: Path) -> None:
    config = demo_config(tmp_path)
    with pytest.raises(RunFailed, match="align reads what is not done yet: download, transcribe, sample"):
        run(config, Selection(("align",)), Recorder())
    with pytest.raises(UsageError, match="no stage 'allign'"):
        run(config, Selection(("allign",)), Recorder())


def test_only_brings_one_stage_up_to_date(tmp_path: Path) -> None:
    recorder = run_quietly(demo_config(tmp_path), Selection(("download",)))
    assert recorder.ran == {"download"}


def test_force_does_again_what_is_done_and_gives_the_same_bytes(tmp_path: Path, demo_run: Finished) -> None:
    config = demo_config(tmp_path)
    short = Selection(
        (
            "download",
            "sample",
        )
    )
    run_quietly(config, short)
    before = content_of(config.work)
    recorder = run_quietly(config, Selection(("sample",), force=True))
    assert recorder.ran == {"sample"}
    assert content_of(config.work) == before
    whole = content_of(demo_run.config.work)
    assert all(whole[name] == digest for name, digest in before.items())


def test_two_runs_give_the_same_bytes_of_everything(tmp_path: Path, demo_run: Finished) -> None:
    config = demo_config(tmp_path)
    run_quietly(config)
    whole = content_of(demo_run.config.work)  # which other tests added to
    assert {name: whole[name] for name in content_of(config.work)} == content_of(config.work)
    assert content_of(config.output) == content_of(demo_run.config.output)


def test_an_output_folder_with_other_things_in_it_is_left_alone(tmp_path: Path, demo_run: Finished) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("do not lose me")
    with pytest.raises(UsageError, match="out"):
        run(demo_config(tmp_path, f"work={demo_run.config.work}"), EVERYTHING, Recorder())
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("place", ["file.txt", "file.txt/out", "full"])
def test_an_output_that_cannot_be_is_refused_before_anything_is_done(tmp_path: Path, place: str) -> None:
    (tmp_path / "full").mkdir()
    for file in ("file.txt", "full/thesis.txt"):
        (tmp_path / file).write_text("do not lose me")
    recorder = Recorder()
    with pytest.raises(UsageError, match=place.partition("/")[0]):
        run(demo_config(tmp_path, f"output={tmp_path / place}"), EVERYTHING, recorder)
    assert recorder.done == []


def test_a_preview_of_force_and_retry_counts_what_force_does_again(tmp_path: Path) -> None:
    machine.files(tmp_path, [1, 2])
    config = machine.config(tmp_path)
    machine.ran(config)
    recorder = Recorder()
    preview(config, Selection(force=True, retry=True), recorder)
    assert sum(recorder.to_do.values()) == sum(one.units for one in status(survey(config)) if one.stage != "total") + 1


def test_a_preview_refuses_what_the_run_would_refuse(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="align reads what is not done yet: download, transcribe, sample"):
        preview(demo_config(tmp_path), Selection(("align",)), Recorder())


def test_a_step_over_the_corpus_that_raises_ends_the_run_with_its_name_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.files(tmp_path, [1, 2])

    def reduce(_: machine.Total, rows: Iterable[machine.MeasureRow]) -> machine.TotalSize:
        raise ZeroDivisionError(f"{len(list(rows))} rows")

    monkeypatch.setattr(machine.Total, "reduce", reduce)
    with pytest.raises(RunFailed, match=r"^total\.reduce failed: ZeroDivisionError: 2 rows$"):
        machine.ran(machine.config(tmp_path))
    monkeypatch.setattr(machine.Total, "reduce", lambda *_: None)
    with pytest.raises(RunFailed, match=r"^total\.reduce returned NoneType, not a TotalSize$"):
        machine.ran(machine.config(tmp_path))


def test_a_mark_that_is_damaged_unseen_is_named_with_its_stage_and_a_whole_run_heals_it(tmp_path: Path) -> None:
    machine.files(tmp_path, [1, 2])
    config = machine.config(tmp_path)
    machine.ran(config)
    before = content_of(config.work)
    (mark,) = Path(config.work, "echo").glob("*/part-*.json")
    os.utime(mark.parent, (1, 1))  # long ago, so that what was read of the folder stands
    machine.ran(config, Selection(("pack",)))
    whole = mark.read_bytes()
    mark.write_bytes(whole.replace(b'"videos": 2', b'"videos": 3'))
    with pytest.raises(RunFailed, match="echo has parts to do again: run without --only, or --from echo"):
        machine.ran(config, Selection(("pack",), force=True))
    machine.ran(config)
    assert content_of(config.work) == before


def test_the_reason_names_the_step_that_is_waited_for(tmp_path: Path) -> None:
    machine.files(tmp_path, [1, 2])
    why = {one.stage: one.why for one in status(survey(machine.config(tmp_path)))}
    assert (why["echo"], why["share"], why["pack"]) == ("", "waits for total", "waits for total")


def test_a_work_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file")
    with pytest.raises(UsageError, match=r"work folder .* cannot be written"):
        survey(demo_config(tmp_path), write=True)


def test_a_run_without_a_document_fails_with_the_counts(tmp_path: Path, demo_run: Finished) -> None:
    config = demo_config(tmp_path, f"work={demo_run.config.work}", "filter.threshold=0.99", "filter.min_words=2000")
    with pytest.raises(RunFailed, match="no document came out"):
        run(config, EVERYTHING, Recorder())


def test_ctrl_c_in_the_middle_loses_nothing(tmp_path: Path, demo_run: Finished) -> None:
    config = demo_config(tmp_path)
    # A shell that starts its tests in the background has them ignore Ctrl-C; a person's does not.
    command = [
        "env",
        "--default-signal=INT",
        sys.executable,
        "-m",
        "pipeline.cli",
        "run",
        str(ROOT / "configs" / "demo.yaml"),
    ]
    for name in ("manifest", "work", "output"):
        command += ["--set", f"{name}={getattr(config, name)}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "download: 1" in line:
                process.send_signal(signal.SIGINT)
                break
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command goes on from here" in stderr
    assert "Traceback" not in stderr
    assert not [name for name in content_of(config.work) if ".tmp-" in name]
    recorder = run_quietly(config)
    assert "download" not in recorder.ran
    assert content_of(config.output) == content_of(demo_run.config.output)


@pytest.fixture(scope="module")
def bad_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run over one good video and one of each kind of bad input."""
    folder = tmp_path_factory.mktemp("bad")
    clip(folder / "good.mp4", 0, 10)
    clip(folder / "no_sound.mp4", 0, 3, "-an")
    clip(folder / "no_speech.mp4", 0, 3, "-af", "volume=0")
    clip(folder / "no_picture.m4a", 0, 6, "-vn")
    whole = clip(folder / "cut_off.mp4", 0, 12, "-movflags", "+faststart").read_bytes()
    (folder / "cut_off.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    (folder / "page.mp4").write_text("<!doctype html><html><title>404</title></html>")
    (folder / "empty.mp4").touch()
    names = ["good", "no_sound", "no_speech", "cut_off", "page", "empty", "not_there"]
    lines = [f"{name}.mp4" for name in names] + ["no_picture.m4a", "gopher://example.org/v.mp4"]
    (folder / "list.txt").write_text("\n".join(lines))
    sections = ["filter.threshold=-1.0", "parts.videos=3", "sound.enabled=true", "tokenize.enabled=true"]
    config = demo_config(folder, f"manifest={folder / 'list.txt'}", *sections)
    run_quietly(config)
    return Finished(config)


OUTCOMES = {
    "good.mp4": "live",
    "cut_off.mp4": "live",
    "no_sound.mp4": "transcribe.no_audio",
    "no_speech.mp4": "transcribe.no_speech",
    "no_picture.m4a": "sample.no_picture",
    "page.mp4": "download.not_media",
    "empty.mp4": "download.not_media",
    "not_there.mp4": "download.not_found",
    "gopher://example.org/v.mp4": "download.scheme_refused",
}


ON = [
    stage.name
    for stage in registered()
    if issubclass(stage, Stage)
    and stage.name != "calibrate"
    and (stage.Config().enabled or stage.name in ("sound", "tokenize"))
]


@pytest.mark.parametrize("stage", ON)
def test_every_video_keeps_its_row_in_every_stage(bad_run: Finished, stage: str) -> None:
    assert set(bad_run.rows(stage)) == set(OUTCOMES)


@pytest.mark.parametrize(("url", "outcome"), OUTCOMES.items())
def test_bad_input_ends_with_a_typed_outcome_that_reaches_the_last_stage(
    bad_run: Finished, url: str, outcome: str
) -> None:
    row = bad_run.rows("filter")[url]
    if row.error:
        assert f"{row.error.stage}.{row.error.code}" == outcome
        assert row.error.message
    elif row.dropped:
        assert f"{row.dropped.stage}.{row.dropped.reason}" == outcome
    else:
        assert outcome == "live"


def test_a_video_that_is_cut_off_keeps_what_is_there_and_says_so(bad_run: Finished) -> None:
    transcript = bad_run.rows("transcribe")["cut_off.mp4"]
    assert isinstance(transcript, TranscriptRow)
    heard = [word.text for segment in transcript.segments for word in segment.words]
    assert words("".join(heard))[:4] == ["the", "woman", "in", "an"]
    assert "picture_ends_early" in bad_run.rows("filter")["cut_off.mp4"].warnings


def test_the_funnel_adds_up(bad_run: Finished) -> None:
    for row in funnel(status(bad_run.workspace)):
        assert row.found == row.kept + sum(row.dropped.values()) + sum(row.failed.values()), row.what


def test_a_manifest_that_grew_runs_only_the_new_videos(tmp_path: Path) -> None:
    clip(tmp_path / "a.mp4", 0, 5)
    clip(tmp_path / "b.mp4", 5, 5)
    (tmp_path / "list.txt").write_text("a.mp4\n")
    config = demo_config(tmp_path, f"manifest={tmp_path / 'list.txt'}")
    short = Selection(
        (
            "download",
            "sample",
        )
    )
    run_quietly(config, short)
    (tmp_path / "list.txt").write_text("b.mp4\na.mp4\nb.mp4\n")
    recorder = run_quietly(config, short)
    assert (recorder.new_parts, len(recorder.told), len(recorder.done)) == (1, 1, 2)
    assert set(Finished(config).rows("sample")) == {"a.mp4", "b.mp4"}


def test_retry_does_again_what_may_pass_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    with serving(clip(tmp_path / "a.mp4", 0, 5).read_bytes()) as server:
        (tmp_path / "list.txt").write_text(f"a.mp4\nnot_there.mp4\n{server.url('error_once.mp4')}\n")
        config = demo_config(
            tmp_path,
            f"manifest={tmp_path / 'list.txt'}",
            "parts.videos=1",
            "download.attempts=1",
            "download.allow_private_addresses=true",
            "runner.max_failed_share=1.0",
        )
        stages = ["download", "sample"]
        run_quietly(config, Selection(tuple(stages)))
        failed = {url: row.error.code for url, row in Finished(config).rows("sample").items() if row.error}
        assert failed == {"not_there.mp4": "not_found", server.url("error_once.mp4"): "server_error"}
        recorder = run_quietly(config, Selection(tuple(stages), retry=True))
        assert [stage for stage, _ in recorder.done] == stages
        assert {url for url, row in Finished(config).rows("sample").items() if row.error} == {"not_there.mp4"}


def test_retry_of_one_stage_leaves_alone_what_failed_in_others(tmp_path: Path) -> None:
    machine.files(tmp_path, [1, 2])
    (tmp_path / "1.bin").unlink()
    config = machine.config(tmp_path, parts={"videos": 1, "group": 2})
    machine.ran(config)
    assert machine.worked(config, Selection(("echo",), retry=True)) == []
    assert [stage for stage, _ in machine.worked(config, Selection(("measure",), retry=True))] == ["measure"]


def test_a_stage_whose_inputs_are_missing_names_them_and_the_option_to_give(tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as refused:
        preview(demo_config(tmp_path), Selection(only=("score",)), Recorder())
    missing = "download, transcribe, sample, align (download has 1 of 1 part to do)"
    assert str(refused.value) == f"score reads what is not done yet: {missing}. Run all, or --from download"
