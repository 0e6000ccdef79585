"""Strangers' text does nothing where it is shown: on a terminal, in a card, in a page."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.progress.terminal import funnel_table, status_table
from pipeline.status import StageStatus
from stages.write.stage import WriteConfig
from storyloom.card.markdown import literal, table
from storyloom.format.sample import Sample
from storyloom.view.show import show_sample
from storyloom.view.text import LONGEST_NAME, shown
from tests.documents import dataset, document, video
from tests.storyloom.format.test_sample import values

TERMINAL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp.exe\u2066\u200b\x85\u2028"
MARKUP = "[red]x[/red] [link=http://evil.example]y[/link] :skull:"
MARKDOWN = (
    "![](http://evil.example/a) [b](javascript:alert(1)) <script>c</script> http://d.example www.e.example `|` *f*"
)
HOSTILE = f"{TERMINAL} {MARKUP} {MARKDOWN}"

ACTIVE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\u2028]")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    made = video("a", document(words=f"so {MARKUP}"))
    changed = {
        "title": HOSTILE,
        "license": HOSTILE,
        "source_id": HOSTILE,
        "published_url": f"https://a.example/{HOSTILE}",
    }
    one = made._replace(manifest=made.manifest.model_copy(update=changed))
    dataset(folder, [[one]], WriteConfig())
    return folder / "out"


@pytest.mark.parametrize("command", [["show"], ["stats"], ["stats", "--json"], ["validate"]])
def test_a_terminal_gets_text(out: Path, command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, str(out)], color=True)
    assert result.exit_code == 0, result.output
    assert ACTIVE.findall(result.output) == []
    if command in (["show"], ["stats"]):
        assert r"\x1b]0;owned\x07\x9b31m\u202egnp.exe" in result.output


def test_show_prints_markup_as_it_is(out: Path) -> None:
    said = CliRunner().invoke(app, ["show", str(out)]).output
    assert f"“so {MARKUP} 0 0”" in said


def test_the_codes_of_a_stage_of_one_s_own_are_text() -> None:
    status = StageStatus(stage="own", units=1, failed={f"own.{MARKUP}": 1}, why=f"{MARKUP}\x1b")
    console = Console(file=io.StringIO(), width=400, force_terminal=False)
    console.print(status_table([status]))
    console.print(funnel_table([status]))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count(MARKUP) == 2
    assert "\x1b" not in console.file.getvalue()


@pytest.mark.timeout(60)  # with a time that grew with the square of a length, it took hours
def test_a_document_of_any_length_is_shown() -> None:
    sample = Sample.model_validate(values(title="a" * 16_000, texts=[None, "[b" * 500_000, None, "x" * 1_000_000]))
    console = Console(file=io.StringIO(), width=80)
    show_sample(sample, console)
    assert isinstance(console.file, io.StringIO)
    assert "[b[b" in console.file.getvalue()


def test_the_card_holds_a_licence_as_code(out: Path) -> None:
    body = (out / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    (line,) = [line for line in body.splitlines() if "evil.example" in line]
    outside = re.sub(r"``.*?``", "", line)
    assert outside == "|  | 1 |"
    assert ACTIVE.findall(body) == []


def test_croissant_holds_no_control_characters(out: Path) -> None:
    (name,) = json.loads((out / "croissant.json").read_bytes())["license"]
    assert ACTIVE.findall(name) == []


def test_the_page_holds_no_control_characters(out: Path, tmp_path: Path) -> None:
    CliRunner().invoke(app, ["stats", str(out), "--html", str(tmp_path / "page.html")])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ACTIVE.findall(page.replace("\t", "")) == []
    assert "<script>c" not in page
    assert 'href="javascript' not in page


@given(st.text())
def test_shown_text_stays_printable_and_is_shown_the_same_again(text: str) -> None:
    once = shown(text)
    assert ACTIVE.findall(once.replace("\n", "")) == []
    assert "\n" not in once
    assert shown(once) == once
    once.encode()


@pytest.mark.parametrize("text", ["Ein Café, 東京", "فارسی می‌خواهم", "👩‍👩‍👧", "naïve\u00a0text", "שלום\u200f."])
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_a_long_name_is_cut_and_the_rest_counted() -> None:
    assert shown("a" * (LONGEST_NAME + 5), LONGEST_NAME) == "a" * LONGEST_NAME + "… (5 more characters)"


@pytest.mark.parametrize(
    "text", ["CC-BY-4.0", "en", "dropped: not_speech", "12,345", "-1.5", "Creative Commons (by/4.0)", "Größe 3 %", ""]
)
def test_plain_words_stay_plain_in_markdown(text: str) -> None:
    assert literal(text) == text


@given(st.text(st.sampled_from("ab1`|\\<>[]()!*_~:/@w. \n")))
def test_a_cell_of_a_table_is_one_piece_of_code_or_plain(text: str) -> None:
    cell = literal(text)
    if cell and not cell.startswith("`"):
        assert not set(cell) & set("`|\\<>[]!*~@\n")
    elif cell:
        fence = re.match("`+", cell)
        assert fence is not None
        assert cell.endswith(fence[0])
        assert fence[0] not in re.findall("`+", cell[len(fence[0]) : -len(fence[0])])
        assert not re.search(r"(?<!\\)\||\\\\\|", cell)
    assert table([{"a": text}]).count("\n") == 3
