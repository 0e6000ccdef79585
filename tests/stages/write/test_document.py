"""A document as a sample."""

from __future__ import annotations

import pytest

from schemas.media import Chapter, MediaRow, SitePage
from stages.write.document import jpeg_size, to_sample
from storyloom.format.words import count_words
from tests.documents import document, jpeg, video


def test_the_size_of_a_jpeg_is_read_from_its_header() -> None:
    assert jpeg_size("key", jpeg(1, 64, 48)[:700]) == (64, 48)


@pytest.mark.parametrize(
    ("text", "words"),
    [("so here we go.", 4), ("", 0), ("你好世界", 4), ("我有 two 只猫", 5), ("สวัสดี", 6), ("naïve café", 2)],
)
def test_words_are_counted_and_characters_where_a_script_writes_no_spaces(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize(
    ("given", "written"),
    [({}, ("About cups", "CC BY")), ({"title": "Mine", "license": "CC0"}, ("Mine", "CC0"))],
    ids=["the site's", "the manifest's"],
)
def test_what_the_site_says_is_in_the_document_where_the_manifest_says_nothing(
    given: dict[str, str], written: tuple[str, str]
) -> None:
    one = video("a", document())
    page = SitePage(
        site="Talk",
        id="1",
        title="About cups",
        license="CC BY",
        channel="Ceramics",
        upload_date="2024-05-31",
        chapters=[Chapter(start=0.0, end=2.0, title="Red"), Chapter(start=2.0, end=9.0, title="")],
    )
    media = MediaRow(video=one.row.video, duration=9.0, site=page)
    manifest = one.manifest.model_copy(update={"title": "", **given})
    shown = [jpeg(1), jpeg(2)]
    sample = to_sample(f"{one.row.video}-0000", manifest, one.row, one.row.documents[0], shown, 30, media)
    assert (sample.title, sample.license) == written
    assert (sample.channel, sample.upload_date) == ("Ceramics", "2024-05-31")
    assert (sample.chapters, sample.chapter_start) == (["Red", ""], [0.0, 2.0])


def test_chapters_of_a_clip_are_on_its_own_clock_and_those_outside_are_not_its() -> None:
    stated = [Chapter(start=10.0 * n, end=10.0 * n + 10.0, title=str(n)) for n in range(6)]
    site = SitePage(site="Talk", id="1", chapters=stated)
    media = MediaRow(video="0" * 20, clip=True, clip_start=15.0, duration=20.0, site=site)
    assert [(one.start, one.end, one.title) for one in media.chapters] == [
        (0.0, 5.0, "1"),
        (5.0, 15.0, "2"),
        (15.0, 20.0, "3"),
    ]
