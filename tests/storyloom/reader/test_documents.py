"""`storyloom.open`: a dataset's documents by number and key, and how a notebook shows them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import storyloom
from storyloom.errors import UsageError
from storyloom.reader.document import Document, Frame, Text
from storyloom.reader.html import MOST_ITEMS, MOST_PICTURES
from tests.documents import jpeg, read_documents
from tests.runs import ROOT
from tests.storyloom.reader.folder_server import serving_folder


def test_every_document_is_found_by_its_key_and_by_its_number(out: Path) -> None:
    documents = storyloom.open(out)
    expected = read_documents(out)
    keys = list(documents.keys())
    assert len(documents) == len(keys) == len(expected)
    assert set(keys) == set(expected)
    for number, key in enumerate(keys):
        assert documents[key] == documents[number]
        assert [text.text for text in documents[key].texts] == [one for one in expected[key]["texts"] if one]


def test_the_documents_come_in_the_order_of_the_shards_and_numbers_count_from_the_end_too(out: Path) -> None:
    documents = storyloom.open(out)
    assert [one.key for one in documents] == list(documents.keys())
    assert documents[-1] == documents[len(documents) - 1]


def test_a_split_holds_its_own_documents_alone(out: Path) -> None:
    train, val = (set(storyloom.open(out, split).keys()) for split in ("train", "val"))
    assert train
    assert val
    assert not train & val
    assert train | val == set(storyloom.open(out).keys())


def test_what_is_not_there_is_an_error_that_names_it(out: Path, tmp_path: Path) -> None:
    documents = storyloom.open(out)
    assert "nobody-0000" not in documents
    with pytest.raises(KeyError, match="no document 'nobody-0000' in"):
        _ = documents["nobody-0000"]
    for number in (len(documents), -len(documents) - 1):
        with pytest.raises(IndexError, match=f"no document {number} among"):
            _ = documents[number]
    with pytest.raises(TypeError, match="by its key or number, not by slice"):
        _ = documents[0:1]  # type: ignore[index]
    with pytest.raises(UsageError, match="holds no finished dataset"):
        storyloom.open(tmp_path)


def test_a_document_of_a_url_costs_its_own_bytes_and_not_its_shard(out: Path) -> None:
    with serving_folder(out) as server:
        document = storyloom.open(server.url)[0]
        shards = {name: sent for name, sent in server.sent.items() if name.endswith(".tar")}
        assert document == storyloom.open(out)[0]
        (name,) = shards
        assert shards[name] < (out / name).stat().st_size / 2


def test_opening_a_dataset_loads_no_torch(out: Path) -> None:
    code = f"import sys, storyloom; storyloom.open({str(out)!r})[0]._repr_html_(); print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "False"


def shown(*items: Frame | Text, title: str = "A title") -> str:
    with_items = Document(
        "key", items, "id", "url", title, "en", "", 0.0, 9.0, "", "", "", (), 0.0, 0.0, 0.0
    )  # fmt: skip
    return with_items._repr_html_()


def test_what_is_printed_of_a_document_holds_no_pictures(out: Path) -> None:
    document = storyloom.open(out)[0]
    assert document.key in repr(document)
    assert len(repr(document)) < 2000
    assert "jpeg" not in repr(document.frames)


FRAME = Frame(time=1.0, jpeg=jpeg(1), width=64, height=48, similarity=0.25, shift=0.0, text=0)


def test_a_notebook_shows_a_frame_with_its_score_and_the_words_after_it() -> None:
    html = shown(FRAME, Text(1.0, 2.0, "A red cup.", "asr"), replace(FRAME, time=5.0, text=-1))
    assert html.index("<img") < html.index("1.00 s · score +0.250") < html.index("A red cup.") < html.index("5.00 s")
    assert html.count("score") == 1


def test_a_notebook_shows_a_stranger_s_words_as_text() -> None:
    html = shown(Text(0.0, 1.0, "<script>alert(1)</script>\u202e", "asr"), title='<img src="x" onerror="y">')
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html


def test_a_notebook_keeps_only_so_many_pictures_of_a_long_document() -> None:
    html = shown(*[FRAME] * (MOST_ITEMS + 10))
    assert html.count("<img") == MOST_PICTURES
    assert "and 10 more frames and sentences" in html


def test_a_dataset_shows_its_size_and_its_first_document(out: Path) -> None:
    documents = storyloom.open(out)
    html = documents._repr_html_()
    assert repr(documents) == f"<{len(documents)} documents in {out}>"
    assert f"{len(documents)} documents in" in html
    assert documents[0].key in html
