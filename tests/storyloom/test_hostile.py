"""Finished datasets from strangers: what a command may not read ends in one sentence, and `validate` sees every lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stages.write.stage import WriteConfig
from storyloom.errors import FAILED, StoryloomError
from tests.documents import dataset, videos
from tests.storyloom.hostile import NOTICED, READERS, REFUSED, SECRET, validated


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of two documents with two images each."""
    folder = tmp_path_factory.mktemp("small")
    dataset(folder, [videos(2, documents=1)], WriteConfig(max_images=4))
    return folder / "out"


@pytest.fixture
def out(small: Path, tmp_path: Path) -> Path:
    """A copy of it, beside a twin and a secret."""
    shutil.copytree(small, tmp_path / "twin")
    (tmp_path / "secret").write_text(SECRET)
    return Path(shutil.copytree(small, tmp_path / "out"))


def outcome(command: str, folder: Path) -> str:
    """What a command prints: of an error its sentence."""
    try:
        return READERS[command](folder)
    except StoryloomError as refusal:
        error = refusal
    message = str(error)
    assert error.exit_code == FAILED
    assert str(folder) in message
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert len(message) < 1500
    return f"refused: {message}"


def test_the_good_dataset_is_fine_for_every_command(out: Path) -> None:
    assert validated(out)[0].violations.kept == []
    assert [name for name in READERS if outcome(name, out).startswith("refused")] == []


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_not_be_read_ends_in_one_sentence_in_every_command(case: str, out: Path) -> None:
    REFUSED[case](out)
    report, _ = validated(out)
    assert report.violations.total
    assert [name for name in READERS if not outcome(name, out).startswith("refused")] == []


@pytest.mark.parametrize("case", NOTICED)
def test_what_is_wrong_is_noticed_and_nothing_of_other_folders_is_told(case: str, out: Path) -> None:
    NOTICED[case](out)
    report, printed = validated(out)
    assert report.violations.total
    assert SECRET not in printed + "".join(outcome(name, out) for name in READERS)
