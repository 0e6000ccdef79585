"""The rooms of a run in a browser: a slider moved, the player sought, by keyboard; no rule of axe-core broken."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from schemas.media import MediaRow
from schemas.rows import TranscriptRow
from stages.media import ffmpeg
from tests.browsers import served
from tests.pipeline.view.made import app_of, beside
from tests.runs import Finished

NOTED = """
window.seen = new Set();
const note = () => document.querySelectorAll(".lit").forEach((one) => seen.add(one.textContent.trim()));
new MutationObserver(note).observe(document.getElementById("beats"), {subtree: true, attributes: true});
"""
"""Collects the words that are lit."""


@pytest.fixture(scope="module")
def run(clips_run: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The clips, the first one as WebM, which every Chromium plays, and the second one as something that none does."""
    made = beside(clips_run, tmp_path_factory.mktemp("played"))
    first, second = media_files(made)[:2]
    clip = first.resolve()
    first.unlink()
    arguments = ["-v", "error", "-i", str(clip), "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"]
    webm = [*arguments, "-vf", "scale=160:-2", "-c:a", "libopus", "-f", "webm", str(first)]
    subprocess.run([ffmpeg.program(), "-nostdin", "-y", *webm], check=True)
    second.unlink()
    second.write_bytes(b"no browser plays this")
    return made


@pytest.fixture(scope="module")
def address(run: Finished) -> Iterator[str]:
    with served(app_of(run.config)) as found:
        yield found


def media_files(run: Finished) -> list[Path]:
    rows = [row for _, row in sorted(run.rows("download").items()) if isinstance(row, MediaRow)]
    return [Path(run.config.work) / "media" / row.media for row in rows]


def timeline(run: Finished, address: str, number: int = 0) -> str:
    return f"{address}/timeline/{quote(sorted(run.rows('download'))[number], safe='')}"


def opened(browser: Browser, url: str, width: int = 1280) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(url)
    return page


def until(page: Page, expression: str) -> None:
    """Wait for something; the pages' policy lets no script be evaluated within them, as playwright's own wait does."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def kept(page: Page, what: str, way: str) -> int:
    return int(page.locator(f"tr[data-what={what}] td[data-way={way}]").inner_text())


def test_moving_the_slider_by_keyboard_changes_the_counts_and_writes_the_change(browser: Browser, address: str) -> None:
    page = opened(browser, f"{address}/tune")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(page.locator("#sentence")).to_contain_text("from 4 videos")
    before = kept(page, "frames", "now")
    assert page.locator("#unchanged").is_visible()
    page.get_by_label("a number").check()
    page.locator("#threshold-slider").focus()
    page.keyboard.press("End")
    expect(page.locator("#options")).to_have_text("--set filter.threshold=0.6")
    expect(page.locator("#sentence")).to_contain_text("from 4 videos")
    assert page.locator("tr[data-what=frames] td[data-way=lost]").inner_text() != "0"
    assert kept(page, "frames", "now") < before == kept(page, "frames", "then")
    assert page.locator("#best_dropped img").count() > 0
    page.get_by_role("button", name="Copy the options").press("Enter")
    expect(page.locator("#copied")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "--set filter.threshold=0.6"
    assert page.url.endswith("?threshold=0.6")
    page.reload()
    expect(page.locator("#options")).to_have_text("--set filter.threshold=0.6")
    page.get_by_role("button", name="Back to the run's settings").press("Enter")
    expect(page.locator("#unchanged")).to_be_visible()
    expect(page.locator("tr[data-what=frames] td[data-way=now]")).to_have_text(str(before))


def test_a_wrong_value_is_told_beside_the_last_counts(browser: Browser, address: str) -> None:
    page = opened(browser, f"{address}/tune")
    page.get_by_text("Rules for frames and documents").press("Enter")
    page.get_by_label("Fewest words").fill("0")
    expect(page.get_by_role("alert")).to_contain_text("min_words")


def test_a_frame_and_a_word_seek_the_player_and_what_is_heard_is_lit(
    browser: Browser, run: Finished, address: str
) -> None:
    page = opened(browser, timeline(run, address))
    until(page, "document.getElementById('video').readyState >= 1")
    time = "document.getElementById('video').currentTime"
    frame = page.locator("#beats [data-frame]").nth(1)
    frame.get_by_role("button").press("Enter")
    assert page.evaluate(time) == pytest.approx(float(frame.get_attribute("data-frame") or -1), abs=0.02)
    expect(page.locator("[data-frame].now")).to_have_attribute("data-frame", frame.get_attribute("data-frame") or "")
    row = run.rows("transcribe")[min(run.rows("download"))]
    assert isinstance(row, TranscriptRow)
    word = row.segments[0].words[2]
    page.locator("[data-word]").nth(2).click()
    assert page.evaluate(time) == pytest.approx(word.start, abs=0.02)
    expect(page.locator(".lit")).to_have_text(word.text)
    expect(page.locator("#heard")).to_contain_text(word.text.strip())
    page.get_by_role("button", name="Next frame").press("Enter")
    assert page.evaluate(time) > word.start


def test_words_are_lit_while_the_video_plays(browser: Browser, run: Finished, address: str) -> None:
    page = opened(browser, timeline(run, address))
    page.evaluate(NOTED)
    page.evaluate("video.muted = true; video.playbackRate = 4; video.play()")
    until(page, "seen.size >= 5")
    row = run.rows("transcribe")[min(run.rows("download"))]
    assert isinstance(row, TranscriptRow)
    words = {word.text.strip() for segment in row.segments for word in segment.words}
    assert set(page.evaluate("[...seen]")) <= words


def test_what_the_browser_cannot_play_is_told_and_its_frames_are_shown(
    browser: Browser, run: Finished, address: str
) -> None:
    page = opened(browser, timeline(run, address, 1))
    expect(page.locator("#unplayable")).to_be_visible()
    frame = page.locator("#beats [data-frame]").first
    frame.get_by_role("button").press("Enter")
    shown = page.locator("#shown")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_no_room_breaks_a_rule_of_axe_or_scrolls_sideways(
    browser: Browser, run: Finished, address: str, width: int, scheme: Any
) -> None:
    listed = f"{address}/run/list?stage=filter&kind=counts&name=frames_dropped.low_similarity"
    for url in (f"{address}/tune?threshold=0.2", f"{address}/run", listed, timeline(run, address)):
        page = opened(browser, url, width)
        if "tune" in url:
            expect(page.locator("#sentence")).to_contain_text("from 4 videos")
        page.emulate_media(color_scheme=scheme)
        found: dict[str, Any] = Axe().run(page).response
        assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == [], url
        assert page.evaluate("document.documentElement.scrollWidth") == width, url
        page.close()
