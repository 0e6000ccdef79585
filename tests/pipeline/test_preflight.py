"""Before the first video: everything that is missing is found, and told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import extras, preflight
from pipeline.lines import Lines
from pipeline.preflight import surveyed
from pipeline.preview import preview
from pipeline.run import Selection, run
from stages.models import device
from storyloom.errors import UsageError
from tests.runs import Recorder, demo_config

EVERY_STAGE = ("download", "transcribe", "sample", "align", "score", "calibrate", "filter", "write", "needy")


def refused(folder: Path, *overrides: str) -> str:
    """What a run of the demo under these settings is refused with."""
    with pytest.raises(UsageError) as reason:
        surveyed(demo_config(folder, *overrides), EVERY_STAGE, write=False, refresh=False, again=False)
    return str(reason.value)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(device, "DEVICES", tmp_path / "no-devices")


@pytest.mark.usefixtures("no_gpu")
def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    said = refused(
        tmp_path,
        "transcribe.model=large-v9",
        "transcribe.language=fr",
        "score.model=VIT-B-32",
        "score.device=cuda",
        "sample.hwaccel=cuda",
        "download.site_cookies=no-such-file.txt",
        "download.local_root=/no/such/folder",
    )
    assert said.startswith("the run cannot start, 6 things are missing or wrong:\n")
    for piece in (
        "transcribe.model 'large-v9' is no folder",
        "score.model 'VIT-B-32' cannot be loaded: open_clip has no model of that name; did you mean 'ViT-B-32'",
        "score.device is cuda, and this machine shows no GPU",
        "sample.hwaccel cuda cannot be used here",
        "download.site_cookies = no-such-file.txt cannot be read",
        "download.local_root /no/such/folder is no folder",
    ):
        assert piece in said


def test_a_mistyped_tag_of_weights_names_the_nearest(tmp_path: Path) -> None:
    said = refused(tmp_path, "score.model=ViT-B-32", "score.pretrained=laion2b_s34b_b97k")
    assert "did you mean 'laion2b_s34b_b79k'" in said
    assert "; they are openai," in refused(tmp_path, "score.model=ViT-B-32", "score.pretrained=''")


@pytest.mark.parametrize("model", ["demo", "tiny.en"])
def test_a_language_that_an_english_only_model_does_not_know_is_refused(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.transcribe.backends.hub_commit", lambda repository: "0123")
    said = refused(tmp_path, f"transcribe.model={model}", "transcribe.language=fr-CA")
    assert said == (
        f"transcribe.language is 'fr-CA', and transcribe.model {model!r} knows English only:"
        " name a multilingual one, e.g. large-v3-turbo"
    )
    surveyed(
        demo_config(tmp_path, f"transcribe.model={model}", "transcribe.language=en-US"),
        EVERY_STAGE,
        write=False,
        refresh=False,
        again=False,
    )


def test_a_mistyped_model_of_a_recognizer_names_the_nearest(tmp_path: Path) -> None:
    assert "did you mean 'large-v3-turbo'" in refused(tmp_path, "transcribe.model=large-v3-turob")
    pytest.importorskip("whisper")
    said = refused(
        tmp_path, "transcribe.backend=openai-whisper", "transcribe.model=tiny.eng", "transcribe.compute_type=float32"
    )
    assert said.startswith(
        "transcribe.model 'tiny.eng' is no file and none of openai-whisper's models; did you mean 'tiny.en'"
    )


def test_a_compute_type_that_the_machine_cannot_do_is_refused(tmp_path: Path) -> None:
    assert "transcribe.compute_type 'int3' is nothing that" in refused(tmp_path, "transcribe.compute_type=int3")


def test_a_model_folder_without_weights_is_refused(tmp_path: Path) -> None:
    from stages.models.demo import photo_sentence_folder

    folder = tmp_path / "model"
    folder.mkdir()
    content = (photo_sentence_folder() / "open_clip_config.json").read_bytes()
    (folder / "open_clip_config.json").write_bytes(content)
    assert "holds no weights" in refused(tmp_path, f"score.model=local-dir:{folder}")


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "LEAST_ROOM", 2**62)
    said = refused(tmp_path)
    assert "no room for a run: choose another `work`" in said
    assert "no room for a run: choose another `output`" in said


def test_a_missing_manifest_and_a_missing_model_are_told_together(tmp_path: Path) -> None:
    said = refused(tmp_path, f"manifest={tmp_path / 'none.txt'}", "transcribe.model=large-v9")
    assert "none.txt" in said
    assert "large-v9" in said


@pytest.mark.usefixtures("no_gpu")
def test_a_dry_run_looks_too_and_a_run_writes_nothing_before(tmp_path: Path) -> None:
    config = demo_config(tmp_path, "sample.hwaccel=cuda")
    with pytest.raises(UsageError, match=r"sample\.hwaccel cuda"):
        preview(config, Selection(), Recorder())
    assert not (tmp_path / "work").exists()
    with pytest.raises(UsageError, match=r"sample\.hwaccel cuda"):
        run(config, Selection(), Recorder())
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_gpu")
def test_only_the_stages_that_are_to_run_are_looked_at(tmp_path: Path) -> None:
    config = demo_config(tmp_path, "sample.hwaccel=cuda")
    assert surveyed(config, ["download"], write=False, refresh=False, again=False)


@pytest.mark.usefixtures("no_gpu")
def test_a_cluster_is_looked_at_by_its_workers(tmp_path: Path) -> None:
    config = demo_config(tmp_path, "sample.hwaccel=cuda", "runner.address=ray://head:10001")
    workspace = surveyed(config, EVERY_STAGE, write=False, refresh=False, again=False)
    with pytest.raises(Exception, match=r"sample\.hwaccel cuda"):
        workspace.job.ready_stage("sample")


def test_what_a_stage_of_ones_own_misses_is_told(tmp_path: Path) -> None:
    said = refused(tmp_path, "stages=[tests.pipeline.own_stages:Needy]", "transcribe.language=fr")
    assert "a map of the moon is missing: draw one" in said
    assert "transcribe.language is 'fr'" in said


def test_the_demos_models_with_other_videos_are_told(tmp_path: Path) -> None:
    def told(*overrides: str) -> list[str]:
        recorder = Recorder()
        preview(demo_config(tmp_path, *overrides), Selection(), recorder)
        return [note for note in recorder.notes if note.startswith("transcribe.model and score.model are the demo's")]

    other = tmp_path / "other.txt"
    other.write_text("/videos/talk.mp4\n")
    assert told() == []
    assert len(told(f"manifest={other}")) == 1


def test_a_manifest_has_one_url_of_each_scheme_and_bucket(tmp_path: Path) -> None:
    lines = ["s3://one/a.mp4", "s3://one/b.mp4", "s3://two/a.mp4", "https://e.org/a.mp4", "/local/a.mp4"]
    manifest = tmp_path / "videos.txt"
    manifest.write_text("\n".join(lines) + "\n")
    config = demo_config(tmp_path, f"manifest={manifest}")
    found = surveyed(config, ["align"], write=False, refresh=False, again=False).lines
    assert isinstance(found, Lines)
    places = [url.rpartition("/")[0] for url in found.places()]
    assert sorted(places) == ["https://e.org", "s3://one", "s3://two"]


def test_a_missing_package_hides_nothing_else_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "installed", lambda package: package != "open_clip")
    said = refused(tmp_path, "score.model=ViT-B-32", "score.pretrained=openai", "transcribe.model=large-v9")
    assert extras.install("open-clip") in said
    assert "large-v9" in said
    assert "2 things" in said
    assert "3 things" in refused(
        tmp_path, "score.model=ViT-B-32", "transcribe.model=large-v9", f"manifest={tmp_path / 'none.txt'}"
    )


@pytest.mark.parametrize("setting", ["runner.kind=ray", "runner.address=ray://head:10001"])
def test_a_runner_that_is_not_installed_is_told_with_all_else(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "installed", lambda package: package != "ray")
    said = refused(tmp_path, setting, f"manifest={tmp_path / 'none.txt'}")
    assert "the runner needs packages that are not installed with these settings (ray): " in said
    assert "none.txt" in said
    with pytest.raises(UsageError, match="the runner needs"):
        preview(demo_config(tmp_path, setting), Selection(), Recorder())


def test_a_mistyped_demo_names_the_demo(tmp_path: Path) -> None:
    for section in ("score", "transcribe"):
        assert "did you mean 'demo'" in refused(tmp_path, f"{section}.model=demo2")
