"""The page in a browser: search, sort, dropped frames, keyboard, no request, no overflow."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from pipeline.dropped_frames import dropped_frames
from storyloom.format.manifest import finished_dataset
from storyloom.stats.figures import dataset_stats
from storyloom.stats.gallery import gallery_videos
from storyloom.stats.page import write_page
from tests.runs import Finished
from tests.storyloom.stats.made import HOSTILE, small_dataset


@pytest.fixture(scope="module")
def small_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three documents, one of them with a hostile title."""
    output = small_dataset(tmp_path_factory.mktemp("small"))
    page = output.parent / "page.html"
    write_page(dataset_stats(output), output, page, 24)
    return page


@pytest.fixture(scope="module")
def demo_page(demo_run: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's document with its dropped frames."""
    config, file = demo_run.config, tmp_path_factory.mktemp("demo") / "page.html"
    output = Path(config.output)
    dropped = dropped_frames(demo_run.workspace, gallery_videos(output, finished_dataset(output), 24))
    write_page(dataset_stats(output), output, file, 24, dropped)
    return file


def opened(browser: Browser, file: Path, width: int = 1280) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(file.as_uri())
    return page


def titles(page: Page) -> list[str]:
    """Of the documents that are to be seen, in their order."""
    return page.locator(".story:visible h3").all_text_contents()


def spans(page: Page) -> list[float]:
    return [float(one.get_attribute("data-span") or 0) for one in page.locator(".story").all()]


def test_search_leaves_the_documents_that_hold_all_words(browser: Browser, small_page: Path) -> None:
    page = opened(browser, small_page)
    page.get_by_label("Search").fill("zebra harbour")
    assert titles(page) == ["Harbour at dawn"]
    assert page.locator("#found").text_content() == "1 of 3 documents"
    page.get_by_label("Search").fill("nobody says this")
    assert titles(page) == []
    assert page.get_by_text("No document holds these words.").is_visible()
    page.keyboard.press("Escape")
    assert len(titles(page)) == 3


def test_sort_reorders_by_each_key(browser: Browser, small_page: Path) -> None:
    page = opened(browser, small_page)
    before = titles(page)
    page.get_by_label("Sort by").select_option("span")
    assert spans(page) == sorted(spans(page), reverse=True) == [12.0, 8.0, 4.0]
    page.get_by_label("Sort by").select_option("images")
    assert [one.get_attribute("data-images") for one in page.locator(".story").all()] == ["3", "2", "1"]
    page.get_by_label("Sort by").select_option("score-low")
    scores = [float(one.get_attribute("data-score") or 0) for one in page.locator(".story").all()]
    assert scores == pytest.approx([0.1, 0.25, 0.4])
    page.get_by_label("Sort by").select_option("title")
    assert titles(page) == [HOSTILE, "Harbour at dawn", "Harbour at dawn"]
    page.get_by_label("Sort by").select_option("order")
    assert titles(page) == before


def test_a_hostile_title_is_shown_and_does_nothing(browser: Browser, small_page: Path) -> None:
    page = opened(browser, small_page)
    assert HOSTILE in titles(page)
    assert page.title() == "storyloom: dataset statistics"


def test_a_shift_is_marked_at_its_frame(browser: Browser, small_page: Path) -> None:
    page = opened(browser, small_page)
    beat = page.locator(".beat", has=page.get_by_text("shift −1.5 s", exact=True))
    assert beat.locator(".time").all_text_contents() == ["0:04.5"]
    assert beat.locator("q").text_content() == "seven eight nine"


def test_the_page_asks_no_network_and_breaks_no_policy_of_its_own(browser: Browser, small_page: Path) -> None:
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(small_page.as_uri())
    page.get_by_label("Search").fill("zebra")
    assert [url for url in asked if not url.startswith("data:")] == [small_page.as_uri()]
    assert said == []
    image = page.locator(".story:visible img")
    image.scroll_into_view_if_needed()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64


def test_dropped_frames_are_shown_on_demand_with_their_reason(browser: Browser, demo_page: Path) -> None:
    page = opened(browser, demo_page)
    dropped = page.locator(".beat.dropped")
    count = dropped.count()
    assert count > 0
    assert not dropped.first.is_visible()
    toggle = page.get_by_role("button", name="dropped frame")
    toggle.click()
    assert dropped.first.is_visible()
    assert dropped.first.locator(".reason").text_content() == "dropped: low_similarity"
    assert toggle.get_attribute("aria-pressed") == "true"
    times = page.locator(".beat .time").all_text_contents()
    assert times == sorted(times)
    toggle.click()
    assert not dropped.first.is_visible()
    page.get_by_label("Dropped frames").check()
    assert page.locator(".beat.dropped:visible").count() == count


def test_a_page_without_the_config_says_how_to_see_dropped_frames(browser: Browser, small_page: Path) -> None:
    page = opened(browser, small_page)
    assert page.get_by_text("--config CONFIG").is_visible()
    assert page.get_by_label("Dropped frames").count() == 0


def test_the_first_tab_offers_to_skip_to_the_documents(browser: Browser, small_page: Path) -> None:
    page = opened(browser, small_page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the documents"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "search"


def test_arrows_move_between_the_documents_that_are_shown(browser: Browser, small_page: Path) -> None:
    page = opened(browser, small_page)
    page.get_by_label("Sort by").select_option("span")
    page.locator(".story").first.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.span") == "8.0"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.span") == "4.0"
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.dataset.span") == "8.0"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_enter_opens_a_long_document(browser: Browser, demo_page: Path) -> None:
    page = opened(browser, demo_page)
    more = page.get_by_role("button", name="Show the whole document")
    assert more.get_attribute("aria-expanded") == "false"
    page.locator(".story").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="Show less").get_attribute("aria-expanded") == "true"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_never_scrolls_sideways(browser: Browser, small_page: Path, demo_page: Path, width: int) -> None:
    for file in (small_page, demo_page):
        page = opened(browser, file, width)
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_page_is_dark_where_the_reader_wants_it(browser: Browser, small_page: Path) -> None:
    page = opened(browser, small_page)
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) != light
