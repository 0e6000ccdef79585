"""Publishing beside others, what a list that grew keeps, and where a card's provenance comes from."""

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from pipeline.executors.executor import UnitsMissing
from pipeline.publish.run import publish_run
from pipeline.status import status
from pipeline.store import Mark
from storyloom.format.manifest import read_manifest
from storyloom.validate.dataset import validate_dataset
from tests.runs import CLIP_SETTINGS, ROOT, Finished, command, content_of, copy_of, demo_config, ended, run_quietly

ROUNDS = 10

FIXED = "filter.threshold=0.0"
"""No calibration, so that a video's documents depend on nothing but the video."""


def members(output: str) -> dict[str, str]:
    """SHA-256 of every member of a dataset's shards: documents and JPEGs by name."""
    found = {}
    for shard in sorted(Path(output).glob("data/*/*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                assert member.name not in found
                found[member.name] = hashlib.sha256(content.read()).hexdigest()
    return found


PUBLISHER = """
import sys
from tests.runs import demo_config, run_quietly
config = demo_config(__import__("pathlib").Path(sys.argv[1]), *sys.argv[2:])
for line in sys.stdin:
    run_quietly(config)
    print("done", flush=True)
"""


@pytest.mark.slow
def test_two_publishers_of_one_output_both_end_well(clips_run: Finished, tmp_path: Path) -> None:
    copy = copy_of(clips_run, tmp_path)
    run_quietly(copy.config)
    before = content_of(copy.config.output)
    arguments = [str(tmp_path), f"manifest={copy.config.manifest}", *CLIP_SETTINGS]
    python = command(copy.config, "run")[0]
    publishers = [
        subprocess.Popen(
            [python, "-c", PUBLISHER, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for _ in range(ROUNDS):
        shutil.rmtree(copy.config.output)
        for publisher in publishers:
            assert publisher.stdin is not None
            publisher.stdin.write("go\n")
            publisher.stdin.flush()
        for publisher in publishers:
            assert publisher.stdout is not None
            said = publisher.stdout.readline()
            assert said == "done\n", publisher.communicate()[1]
        assert content_of(copy.config.output) == before
    ends = [publisher.communicate() for publisher in publishers]
    assert [publisher.returncode for publisher in publishers] == [0, 0], ends


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_list_that_grew_has_the_documents_of_a_fresh_run(clips_run: Finished, tmp_path: Path) -> None:
    copy = copy_of(clips_run, tmp_path)
    lists = tmp_path / "clips" / "list.txt"
    shutil.rmtree(Path(copy.config.work, "plan"))
    settings = [f"manifest={lists}", *CLIP_SETTINGS, FIXED]
    grown = demo_config(tmp_path, *settings)
    lists.write_text("2.mp4\n0.mp4\n")
    run_quietly(grown)
    few = members(grown.output)
    lists.write_text("0.mp4\n1.mp4\n2.mp4\n")
    run_quietly(grown)
    shutil.copytree(grown.work, tmp_path / "fresh", symlinks=True)
    shutil.rmtree(tmp_path / "fresh" / "plan")
    fresh = demo_config(tmp_path, *settings, f"work={tmp_path / 'fresh'}", f"output={tmp_path / 'fresh-out'}")
    run_quietly(fresh)
    assert Finished(fresh).workspace.plan.parts != Finished(grown).workspace.plan.parts
    assert few.items() < members(grown.output).items()
    assert members(fresh.output) == members(grown.output)
    assert validate_dataset(Path(grown.output), deep=True).violations.total == 0


def test_the_card_says_what_the_marks_say_ran(clips_run: Finished, tmp_path: Path) -> None:
    copy = copy_of(clips_run, tmp_path)
    run_quietly(copy.config)
    before = read_manifest(Path(copy.config.output))
    assert before is not None
    file = min(Path(copy.config.work).glob("sample/*/part-*.json"))
    mark = Mark.of(file.read_bytes())
    assert mark is not None
    file.unlink()  # a mark is made again, never changed: its folder tells
    file.write_text(mark.model_copy(update={"ran": "storyloom 0; ffmpeg from elsewhere"}).sealed().model_dump_json())
    shutil.rmtree(copy.config.output)
    run_quietly(copy.config)
    after = read_manifest(Path(copy.config.output))
    assert after is not None
    said = after.provenance.revisions["sample"].split(" | ")
    assert sorted(said) == sorted(["storyloom 0; ffmpeg from elsewhere", before.provenance.revisions["sample"]])
    assert "ffmpeg from elsewhere" in Path(copy.config.output, "README.md").read_text(encoding="utf-8")


def test_a_group_that_another_run_does_again_meanwhile_is_not_left_out(clips_run: Finished, tmp_path: Path) -> None:
    copy = copy_of(clips_run, tmp_path)
    run_quietly(copy.config)
    after = status(copy.workspace)
    mark = min(Path(copy.config.work, "write").glob("*/group-*.json"))
    mark.unlink()
    with pytest.raises(UnitsMissing, match=f"group {mark.name[6:11]} came undone"):
        publish_run(copy.workspace, after)
    run_quietly(copy.config)
    assert len(members(copy.config.output)) == len(members(clips_run.config.output)) > 0


def test_a_group_listed_twice_ends_with_a_message(clips_run: Finished, tmp_path: Path) -> None:
    """A rule of the format that breaks in publishing is no traceback either."""
    copy = copy_of(clips_run, tmp_path)
    run_quietly(copy.config)
    one, other = sorted(Path(copy.config.work).glob("write/*/group-*.json"))
    twin, mark = Mark.of(one.read_bytes()), Mark.of(other.read_bytes())
    assert twin is not None
    assert mark is not None
    (ours,) = one.parent.glob(f"{one.stem}.*/")
    shutil.copytree(ours, other.with_name(f"{other.stem}{ours.suffix}"))
    double = mark.model_copy(update={"result": twin.result, "files": twin.files})
    other.write_text(double.sealed().model_dump_json())
    code, said = ended(command(copy.config, "run"))
    assert code == 1, said
    assert "duplicate_key" in said
    assert "Traceback" not in said
