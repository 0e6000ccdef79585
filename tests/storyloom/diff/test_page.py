"""The page of a difference: settings first, pictures of what is gone, nothing of a stranger's that acts."""

import base64
import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from stages.write.stage import WriteConfig
from storyloom.diff.diff import Compared, diff
from storyloom.diff.page import write_page
from tests.documents import dataset, document, jpeg, video
from tests.storyloom.stats.made import HOSTILE, with_provenance


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    whole = document(0, frames=3, texts=3, words=HOSTILE)
    fewer = whole.model_copy(update={"frames": whole.frames[:2]})
    pictures = [jpeg(1), jpeg(2), jpeg(3)]
    dataset(folder / "a", [[video(HOSTILE, whole, jpegs=pictures)]], WriteConfig())
    dataset(folder / "b", [[video(HOSTILE, fewer, jpegs=pictures)]], WriteConfig())
    a, b = folder / "a" / "out", folder / "b" / "out"
    with_provenance(b, config={"filter": {"threshold": HOSTILE}})
    write_page(diff(Compared(a), Compared(b)), (a, b), folder / "page.html")
    return folder / "page.html"


def test_the_lost_frame_s_picture_is_in_the_page(page: Path) -> None:
    content = page.read_text()
    assert content.count("data:image/jpeg;base64,") == 1
    assert base64.b64encode(jpeg(3)).decode() in content
    assert content.index("Settings that differ") < content.index("Frames lost</h2>")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_the_page_is_accessible_fits_the_screen_and_runs_nothing(
    browser: Browser, page: Path, width: int, scheme: str
) -> None:
    shown = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    asked: list[str] = []
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(page.as_uri())
    assert shown.title() == "storyloom and storyloom: difference"
    assert HOSTILE in (shown.locator("#largest th[scope=row]").text_content() or "")
    found = Axe().run(shown)
    assert found.violations_count == 0, found.generate_report()
    assert shown.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    if folder := os.environ.get("STORYLOOM_SCREENSHOTS"):
        shown.screenshot(path=Path(folder) / f"diff-{width}-{scheme}.png", full_page=True)
    shown.close()
