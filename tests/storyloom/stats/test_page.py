"""The page as text: the same bytes every time, nothing of strangers unescaped, nothing fetched."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from storyloom.format.manifest import finished_dataset
from storyloom.stats.counting import GRIDS
from storyloom.stats.distributions import GridCount
from storyloom.stats.figures import dataset_stats
from storyloom.stats.gallery import gallery
from storyloom.stats.page import html_page
from storyloom.stats.plots import WIDTH, plot
from storyloom.view.rendering import clock, signed
from tests.storyloom.stats.made import HOSTILE, small_dataset


def make_page(output: Path) -> str:
    return html_page(dataset_stats(output), gallery(output, finished_dataset(output), 24, {}), with_dropped=False)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def page(output: Path) -> str:
    return make_page(output)


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_same_dataset_gives_the_same_bytes(output: Path, page: str) -> None:
    assert make_page(output) == page


def test_what_strangers_wrote_is_text(page: str) -> None:
    assert HOSTILE not in page
    assert "&lt;script&gt;document.title" in page
    tags = Tags(page).found
    assert [tag for tag, _ in tags].count("script") == 1
    assert not [attrs for _, attrs in tags if any(name.startswith("on") for name in attrs)]
    assert "javascript:alert(1)" not in [attrs.get("href") for _, attrs in tags]


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    tags = Tags(page).found
    sources = [attrs["src"] for _, attrs in tags if "src" in attrs]
    assert len(sources) == 6
    assert all(str(source).startswith("data:image/jpeg;base64,") for source in sources)
    assert {attrs["href"] for tag, attrs in tags if tag == "link"} == {"data:,"}
    assert "@import" not in page
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", page)


def test_no_style_stands_in_an_attribute_for_the_policy_forbids_it(page: str) -> None:
    tags = Tags(page).found
    assert not [tag for tag, attrs in tags if "style" in attrs]
    assert [tag for tag, _ in tags].count("style") == 1


def test_ids_are_unique(page: str) -> None:
    ids = [attrs["id"] for _, attrs in Tags(page).found if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_a_plot_takes_its_colours_from_the_page_and_names_its_bars(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 6
    assert not [drawing for drawing in drawings if re.search(r'(?:fill|stroke)="', drawing)]
    assert "<title>0.2 to 0.25: 1 image</title>" in page
    assert "<title>0 to 10: 3 documents</title>" in page


def test_bars_stand_on_the_axis_in_proportion_to_their_counts() -> None:
    grid = GridCount(GRIDS["similarity"])
    grid.add([0.1, 0.2, 0.2, 0.2, 0.2])
    shapes = plot(grid.distribution(), "images")
    one, four = shapes.bars
    assert (one.label, four.label) == ("0.1 to 0.12: 1 image", "0.2 to 0.22: 4 images")
    assert four.height == pytest.approx(4 * one.height, abs=0.2)
    assert one.y + one.height == pytest.approx(four.y + four.height)
    assert [tick.label for tick in shapes.y_ticks] == ["0", "1", "2", "3", "4"]
    assert shapes.median == four.x
    assert next(tick for tick in shapes.x_ticks if tick.label == "0.10").at == one.x


def test_large_counts_and_negative_values_have_labels_to_read() -> None:
    grid = GridCount(GRIDS["shift"])
    grid.add([-2.0] * 4000 + [1.5] * 12_500)
    shapes = plot(grid.distribution(), "images")
    assert [tick.label for tick in shapes.y_ticks] == ["0", "5,000", "10,000"]
    assert shapes.x_ticks[0].label.startswith("\u2212")
    assert all(shapes.left <= bar.x and bar.x + bar.width <= WIDTH for bar in shapes.bars)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0:00.0"), (64.5, "1:04.5"), (59.96, "1:00.0"), (3661, "1:01:01.0")]
)
def test_times_are_read_as_on_a_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_a_shift_shows_its_sign() -> None:
    assert (signed(-1.5), signed(0.25)) == ("−1.5", "+0.25")
