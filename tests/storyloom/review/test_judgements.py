"""The file of judgements: nothing that was judged is lost, and nobody else's file is touched."""

import os
from pathlib import Path

import pytest

from storyloom.errors import BadDataset, UsageError
from storyloom.review.judgements import Notebook, read
from tests.storyloom.review.made import drawn, with_scores

SCORES = [[0.1, 0.2], [0.3], [0.4]]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_scores(tmp_path_factory.mktemp("judged"), SCORES)


def test_an_answer_is_in_the_file_before_the_next_pair_is_shown(output: Path, tmp_path: Path) -> None:
    file = tmp_path / "me.jsonl"
    with Notebook(file, *drawn(output)) as notebook:
        notebook.put(0, "right")
        first = notebook.pairs[0]
        assert read(file).judgements[first.key, first.image].answer == "right"
        assert notebook.next_open(0) == 1


def test_judging_goes_on_where_it_ended_and_the_last_answer_counts(output: Path, tmp_path: Path) -> None:
    file = tmp_path / "me.jsonl"
    with Notebook(file, *drawn(output)) as notebook:
        notebook.put(0, "right")
        notebook.put(2, "unsure")
        notebook.put(0, "wrong")
    with Notebook(file, *drawn(output)) as notebook:
        assert notebook.answers == {0: "wrong", 2: "unsure"}
        assert (notebook.next_open(), notebook.next_open(2), notebook.next_open(3)) == (1, 3, 1)


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_a_crash_cut_off_is_judged_again_and_no_other(output: Path, tmp_path: Path, cut: int) -> None:
    file = tmp_path / "me.jsonl"
    with Notebook(file, *drawn(output)) as notebook:
        notebook.put(0, "right")
        notebook.put(1, "wrong")
    os.truncate(file, file.stat().st_size - cut)
    with Notebook(file, *drawn(output)) as notebook:
        assert notebook.answers == {0: "right"}
        notebook.put(1, "unsure")
        assert len(read(file).judgements) == 2


def test_a_first_line_that_a_crash_cut_off_is_written_again(output: Path, tmp_path: Path) -> None:
    file = tmp_path / "me.jsonl"
    with Notebook(file, *drawn(output)):
        whole = file.read_bytes()
    os.truncate(file, 30)
    with Notebook(file, *drawn(output)):
        assert file.read_bytes() == whole


@pytest.mark.parametrize("content", [b"dear diary", b"dear diary\nno line break at the end"])
def test_somebody_s_other_file_is_refused_and_stays_as_it_is(output: Path, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "diary"
    file.write_bytes(content)
    with pytest.raises(BadDataset, match="`storyloom review` writes"), Notebook(file, *drawn(output)):
        pass
    assert file.read_bytes() == content


def test_judgements_of_another_dataset_or_draw_are_refused_with_what_they_are_of(output: Path, tmp_path: Path) -> None:
    file = tmp_path / "me.jsonl"
    with Notebook(file, *drawn(output)):
        pass
    with pytest.raises(UsageError, match=r"100 pairs drawn with seed 0.*--count 100 --seed 0"):
        Notebook(file, *drawn(output, seed=4)).__enter__()
    other = with_scores(tmp_path / "other", [[0.5]])
    with pytest.raises(UsageError, match="another dataset"):
        Notebook(file, *drawn(other)).__enter__()


def test_two_do_not_write_to_one_file(output: Path, tmp_path: Path) -> None:
    file = tmp_path / "me.jsonl"
    with Notebook(file, *drawn(output)), pytest.raises(UsageError, match="open in another"):
        Notebook(file, *drawn(output)).__enter__()


def test_a_damaged_line_is_named(output: Path, tmp_path: Path) -> None:
    file = tmp_path / "me.jsonl"
    with Notebook(file, *drawn(output)) as notebook:
        notebook.put(0, "right")
    file.write_bytes(file.read_bytes().replace(b'"right"', b'"maybe"'))
    with pytest.raises(BadDataset, match="line 2"):
        read(file)
