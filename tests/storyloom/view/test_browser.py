"""The app in a browser: every kind of page at two widths, light and dark, by keyboard, under axe's rules."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from storyloom.view.app import create_app
from tests.browsers import served
from tests.storyloom.stats.made import HOSTILE, small_dataset
from tests.storyloom.validate import damage
from tests.storyloom.view.made import opened

Scheme = Literal["light", "dark"]

WIDE = 1440

ON_A_PHONE = ("verdict", "found", "document")
"""Pages whose rules are checked there, too: they hold every part that the others have, and a check takes a second."""

PAGES = {
    "verdict": "/",
    "list": "/documents",
    "found": "/documents?q=zebra&language=de&from=0.1",
    "no hit": "/documents?q=nobodysaysthis",
    "document": "DOCUMENT",
    "video": "/video/harbour",
    "figures": "/figures",
    "damage": "/damaged",
    "not found": "/document/nothing",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Three documents, one of them with a hostile title."""
    folder = tmp_path_factory.mktemp("browser")
    with served(create_app(opened(small_dataset(folder), folder / "cache"))) as found:
        yield found


class Watched:
    """A page, what it asked for and what it complained of."""

    def __init__(self, browser: Browser, *, width: int = WIDE, scheme: Scheme = "light") -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))


def goto(page: Page, address: str, place: str) -> None:
    if place == "DOCUMENT":
        page.goto(f"{address}/documents?q=seven")
        page.locator(".card-row h3 a").click()
        page.wait_for_url("**/document/**")
    else:
        page.goto(address + place)


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (390, "dark")])
def test_every_page_is_clean_under_axe_asks_no_stranger_and_fits(
    browser: Browser, address: str, width: int, scheme: Scheme
) -> None:
    watched = Watched(browser, width=width, scheme=scheme)
    page = watched.page
    for name, place in PAGES.items():
        watched.said.clear()
        goto(page, address, place)
        assert page.evaluate("document.documentElement.scrollWidth") == width, name
        if width == WIDE or name in ON_A_PHONE:
            found = Axe().run(page)
            assert found.violations_count == 0, f"{name}: {found.generate_report()}"
        missing = [one for one in watched.said if "404" not in one or name != "not found"]
        assert missing == [], name
    assert {url.split("/")[2] for url in watched.asked if not url.startswith("data:")} == {address.split("/")[2]}
    page.close()


def test_by_keyboard_from_the_verdict_to_a_document_and_its_neighbour(browser: Browser, address: str) -> None:
    page = Watched(browser).page
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.finding') !== null")
    page.keyboard.press("/")
    page.wait_for_url("**/documents")
    page.keyboard.press("/")
    page.keyboard.type("dawn")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("2 documents found")
    page.locator(".card-row h3 a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/document/**")
    first = page.url
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda url: "/document/" in url and url != first)
    assert page.url.endswith("?q=dawn")
    page.close()


def test_a_hostile_title_is_shown_and_does_nothing(browser: Browser, address: str) -> None:
    page = Watched(browser).page
    page.goto(f"{address}/documents?q=hello")
    assert page.locator(".card-row h3").text_content() == HOSTILE
    assert page.title() == "Documents · Storyloom"
    page.close()


def test_a_choice_of_order_shows_the_list_again(browser: Browser, address: str) -> None:
    page = Watched(browser).page
    page.goto(f"{address}/documents?q=e")
    page.get_by_label("Sort by").select_option("words-low")
    page.wait_for_url("**sort=words-low**")
    assert "words-low" in page.url
    page.close()


def slowly(route: Route, wait: float) -> None:
    time.sleep(wait)
    route.continue_()


@pytest.mark.parametrize("wait", [0.0, 0.5])
def test_a_broken_picture_says_so_in_its_place(browser: Browser, tmp_path: Path, wait: float) -> None:
    """Also where the page's scripts would come after the picture has failed, so many seconds late."""
    output = small_dataset(tmp_path)
    key = damage.first_key(output)
    name = f"{key}.000.jpg"
    parts = [(one, b"\xff" * 1000 if one == name else data) for one, data in damage.members(output)]
    damage.write_members(output, parts)
    with served(create_app(opened(output, tmp_path / "cache"))) as address:
        page = Watched(browser).page
        page.route("**/static/*.js", lambda route: slowly(route, wait))
        page.goto(f"{address}/document/{key}")
        expect(page.locator(".beat .absent")).to_have_text("this picture cannot be shown")
        page.close()
