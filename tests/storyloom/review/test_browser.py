"""A review in a browser, by keyboard alone: wide and narrow, light and dark."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from storyloom.review.judgements import Notebook, read
from storyloom.review.room import ReviewPages
from storyloom.view.app import create_app
from storyloom.view.dataset import Dataset
from tests.browsers import served
from tests.storyloom.review.made import drawn, with_scores

SCREENSHOTS = os.environ.get("STORYLOOM_SCREENSHOTS")
"""Folder for pictures of the pages, to be looked at."""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    folder = tmp_path_factory.mktemp("review")
    output = with_scores(folder, [[0.1 * n + 0.1, 0.1 * n + 0.15] for n in range(4)])
    with Notebook(folder / "me.jsonl", *drawn(output)) as notebook:
        yield notebook


@pytest.fixture(scope="module")
def address(notebook: Notebook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORYLOOM_CACHE", str(tmp_path_factory.mktemp("cache")))
        dataset = Dataset(notebook._path.parent / "out")
    pages = ReviewPages(dataset.reader, dataset.published, notebook, 0.95)
    app = create_app(dataset, [pages.room()])
    with served(app) as found:
        yield found


def opened(browser: Browser, address: str, path: str = "/review", width: int = 1440, scheme: str = "light") -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(address + path)
    return page


def looked_at(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@pytest.mark.parametrize(
    ("path", "width", "scheme"),
    [
        ("/review/1", 1440, "light"),
        ("/review/1", 390, "dark"),
        ("/review/summary", 1440, "dark"),
        ("/review/summary", 390, "light"),
    ],
)
def test_pages_are_accessible_and_fit_the_screen(
    browser: Browser, address: str, width: int, scheme: str, path: str
) -> None:
    page = opened(browser, address, path, width, scheme)
    if path == "/review/1":
        page.keyboard.press("n")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    looked_at(page, f"{path.rsplit('/', 1)[-1]}-{width}-{scheme}")
    page.close()


def test_all_pairs_are_judged_by_one_key_each_and_one_is_taken_back(
    browser: Browser, address: str, notebook: Notebook
) -> None:
    page = opened(browser, address)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.keyboard.press("1")
    page.wait_for_url("**/review/2")
    assert page.locator("img.judged").evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
    page.keyboard.press("Backspace")
    page.wait_for_url("**/review/1")
    assert page.get_by_role("button", name="Right").get_attribute("aria-pressed") == "true"
    page.keyboard.press("2")
    page.wait_for_url("**/review/2")
    for number in range(2, 9):
        page.keyboard.press("3" if number == 8 else "1")
        page.wait_for_url("**/review/summary" if number == 8 else f"**/review/{number + 1}")
    assert page.get_by_text("8 of 8 pairs are judged").is_visible()
    answers = [one.answer for one in read(notebook._path).judgements.values()]
    assert answers == ["wrong", *["right"] * 6, "unsure"]
    assert all(url.startswith((address, "data:")) for url in asked)
    page.close()


def test_what_is_said_around_is_shown_on_demand_only(browser: Browser, address: str) -> None:
    page = opened(browser, address, "/review/1")
    around = page.locator(".around li")
    assert around.count() > 0
    assert not around.first.is_visible()
    page.keyboard.press("n")
    assert around.first.is_visible()
    page.close()


def test_a_server_that_is_gone_is_told_and_nothing_moves_on(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.route("**/review/1/*", lambda route: route.abort())  # before the page is there: Chromium may miss a later one
    page.goto(f"{address}/review/1")
    page.keyboard.press("1")
    page.get_by_text("This answer was not kept").wait_for()
    assert page.url.endswith("/review/1")
    page.close()
