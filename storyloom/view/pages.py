"""The pages about a dataset: its verdict, its documents one by one and searched, its videos and its figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from storyloom.format.shard import Split
from storyloom.format.stored import BadShard
from storyloom.stats.counting import DocumentSums
from storyloom.stats.figures import Figures, Stats, figures_of, target_of
from storyloom.stats.flags import Flag
from storyloom.stats.page import figure_values
from storyloom.view.app import Room, dataset_of, is_replaced, page
from storyloom.view.dataset import Address, Dataset
from storyloom.view.rendering import address_of, segment
from storyloom.view.search import ORDERS, PAGE, UNKNOWN, Search, counted, find, terms_of
from storyloom.view.storyboard import Beat, Story
from storyloom.view.text import shown
from storyloom.view.verdict import verdict

SHOWN_FIRST = 6
"""Documents on the first page, spread over the dataset (our choice)."""

STRIP = 4
"""Pictures of a document in a list (our choice)."""

AT_ONCE = 8
"""Documents that are read at the same time: those of a list, which lie behind a URL as often as not (our choice)."""

MOST_DAMAGED = 200
"""Damaged documents that are listed (our choice)."""

FLAG_TITLES = {
    Flag.UNSCORED: "no scored frame",
    Flag.MOSTLY_ALONE: "most frames without a sentence",
    Flag.LAGGING: "speech misses the picture",
    Flag.SHORT: "very short",
    Flag.SMALL: "small pictures",
    Flag.REPETITIVE: "repeats itself",
    Flag.DUPLICATE: "same text as another",
}

FACET_TITLES = {
    "language": "Language",
    "license": "Licence",
    "source": "Source of text",
    "site": "Site",
    "split": "Split",
    "not-language": "Not in",
    "video": "Video",
}

DATASET_LINKS = [("Verdict", "/"), ("Documents", "/documents"), ("Figures", "/figures")]


def dataset_room() -> Room:
    """The pages about a dataset."""
    routes = [
        Route("/", home),
        Route("/documents", documents),
        Route("/document/{key}", document),
        Route("/document/{key}/{number:int}.jpg", picture),
        Route("/video/{id:path}", video),
        Route("/figures", figures),
        Route("/damaged", damaged),
        Route("/indexing", indexing),
    ]
    return Room("Dataset", "/", routes)


def empty_room() -> Room:
    """The first page where a run has published nothing yet."""
    return Room("Overview", "/", [Route("/", lambda request: page(request, "empty.html"))])


@dataclass(frozen=True)
class Card:
    """A document in a list: its pictures with their sentences, and where its words were found."""

    address: Address
    link: str
    story: Story | None
    strip: Sequence[Beat] = ()
    excerpt: str = ""
    flaw: str = ""


def home(request: Request) -> Response:
    """The verdict, and a few documents."""
    dataset = dataset_of(request)
    sums = dataset.index.sums()
    progress = dataset.index.progress()
    with dataset.index.reading() as base:
        ((videos,),) = base.execute("SELECT count(*) FROM names WHERE kind = 'video'")
        spread = [
            Address(**row)
            for n in range(SHOWN_FIRST)
            for row in base.execute(
                "SELECT id, shard, number, key FROM documents WHERE id >= ? ORDER BY id LIMIT 1",
                (n * progress.done // SHOWN_FIRST,),
            )
        ]
    return page(
        request,
        "home.html",
        total=_total(dataset, sums),
        videos=videos,
        progress=progress,
        findings=verdict(_total(dataset, sums), progress.damaged) if sums else [],
        list_link=lambda one: "/damaged" if not one.filters else "/documents" + Search.of(one.filters).query(),
        cards=_cards(request, list(dict.fromkeys(spread)), Search()),
        marked=_marker([]),
    )


def documents(request: Request) -> Response:
    """The documents that are looked for, page by page."""
    dataset, search = dataset_of(request), Search.of(request.query_params)
    with dataset.index.reading() as base:
        found = find(
            base, search, after=request.query_params.get("after", ""), before=request.query_params.get("before", "")
        )
        cached = dataset.index.remembered(search, lambda: counted(base, dataset.index.facts(), search))
    return page(
        request,
        "documents.html",
        search=search,
        found=found,
        cards=_cards(request, found.documents, search),
        count=cached.count,
        facets=cached.facets,
        flags=cached.flags,
        chips=list(_chips(search)),
        orders={name: title for name, (_, _, title) in ORDERS.items()},
        facet_titles=FACET_TITLES,
        flag_titles=FLAG_TITLES,
        unknown=UNKNOWN,
        marked=_marker(terms_of(search.words)),
        page_size=PAGE,
    )


def _chips(search: Search) -> Any:
    """The filters that are on: what they say, and the search without them."""
    for kind, name in search.named.items():
        yield f"{FACET_TITLES[kind]}: {name}", search.query(**{kind: ""})
    if search.flag:
        yield FLAG_TITLES[search.flag], search.query(flag="")
    if search.low is not None:
        yield f"score from {search.low:g}", search.query(**{"from": ""})
    if search.high is not None:
        yield f"score to {search.high:g}", search.query(to="")
    if search.words:
        yield f"“{search.words}”", search.query(q="")


def document(request: Request) -> Response:
    """One document as a storyboard, with its neighbours in the list that it was opened from."""
    dataset, search = dataset_of(request), Search.of(request.query_params)
    address = dataset.find(request.path_params["key"])
    if address is None:
        return _missing(request, "document", request.path_params["key"])
    cursor = _cursor(dataset, address, search)
    with dataset.index.reading() as base:
        before = find(base, search, before=cursor, most=1).documents
        after = find(base, search, after=cursor, most=1).documents
        flags = base.execute("SELECT flags FROM documents WHERE id = ?", (address.id,)).fetchone()["flags"]
    story = dataset.story(address)
    return page(
        request,
        "document.html",
        story=story,
        address=address,
        search=search,
        before=document_link(before[0].key, search) if before else "",
        after=document_link(after[0].key, search) if after else "",
        flags=[FLAG_TITLES[flag] for flag in Flag if flags & 1 << list(Flag).index(flag)],
        video=video_link(story.sample.video_id),
        marked=_marker(terms_of(search.words)),
    )


def picture(request: Request) -> Response:
    """A JPEG of a document. Its address holds the shard's hash, so that a browser may keep it for ever."""
    dataset = dataset_of(request)
    address = dataset.find(request.path_params["key"])
    jpeg = dataset.picture(address, request.path_params["number"]) if address else None
    if address is None or jpeg is None:
        return Response(status_code=404)
    version = dataset.shard(address).sha256[:12]
    if request.query_params.get("v", version) != version:  # of a page about the dataset that was here before
        return Response(status_code=404)
    etag = f'"{version}-{address.key}-{request.path_params["number"]}"'
    same = request.query_params.get("v") == version
    headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable" if same else "no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(jpeg, media_type="image/jpeg", headers=headers)


def video(request: Request) -> Response:
    """All documents of a video, in time order."""
    dataset = dataset_of(request)
    name = request.path_params["id"] or request.query_params.get("id", "")
    with dataset.index.reading() as base:
        rows = base.execute(
            "SELECT d.id, d.shard, d.number, d.key FROM documents AS d"
            " WHERE d.video = (SELECT id FROM names WHERE kind = 'video' AND name = ?) ORDER BY d.begins, d.id LIMIT ?",
            (name, MOST_OF_A_VIDEO),
        ).fetchall()
    if not rows:
        return _missing(request, "video", name)
    cards = _cards(request, [Address(**row) for row in rows], Search())
    links = [(room.title, address_of(room.of_video, name)) for room in request.app.state.rooms if room.of_video]
    first = next((card.story for card in cards if card.story), None)
    return page(
        request,
        "video.html",
        name=name,
        cards=cards,
        first=first,
        marked=_marker([]),
        video_links=links,
        most=MOST_OF_A_VIDEO,
    )


MOST_OF_A_VIDEO = 100
"""Documents of a video that its page shows (our choice)."""


def figures(request: Request) -> Response:
    """Counts, distributions and the funnel."""
    dataset = dataset_of(request)
    sums = dataset.index.sums()
    if not sums:
        return page(request, "figures.html", stats=None)
    published, target = dataset.published, target_of(dataset.published)
    stats = Stats(
        name=published.name,
        sha256=published.sha256,
        total=_total(dataset, sums),
        splits={split: figures_of(one, published.of(split), target) for split, one in sums.items()},
        funnel=published.provenance.funnel,
    )
    return page(request, "figures.html", stats=stats, **figure_values(stats))


def damaged(request: Request) -> Response:
    """What cannot be read of the dataset, and why."""
    dataset = dataset_of(request)
    with dataset.index.reading() as base:
        rows = base.execute("SELECT shard, number, documents, flaw FROM damaged LIMIT ?", (MOST_DAMAGED,)).fetchall()
    flaws = [(dataset.published.shards[row["shard"]].file, row["documents"], row["flaw"]) for row in rows]
    return page(request, "damaged.html", flaws=flaws, progress=dataset.index.progress(), most=MOST_DAMAGED)


def indexing(request: Request) -> Response:
    """How far the index is, for the page's bar."""
    progress = dataset_of(request).index.progress()
    return JSONResponse({"done": progress.done, "total": progress.total, "finished": progress.finished})


def document_link(key: str, search: Search | None = None) -> str:
    """Address of a document, with the search whose list it is in."""
    return f"/document/{segment(key)}{search.query() if search else ''}"


def video_link(name: str) -> str:
    """Address of a video."""
    return address_of("/video/", name)


def _total(dataset: Dataset, sums: dict[Split, DocumentSums]) -> Figures:
    total = DocumentSums()
    for one in sums.values():
        total.merge(one)
    return figures_of(total, dataset.published.shards, target_of(dataset.published))


def _cursor(dataset: Dataset, address: Address, search: Search) -> str:
    """The place of a document in a list."""
    column = ORDERS[search.order][0]
    with dataset.index.reading() as base:
        ((value,),) = base.execute(f"SELECT {column} FROM documents WHERE id = ?", (address.id,))  # noqa: S608
    return f"{value!r}:{address.id}"


def _cards(request: Request, addresses: Sequence[Address], search: Search) -> list[Card]:
    """The documents of a list.

    Raises:
        BadShard: One cannot be read, since another dataset has been published.
    """
    with ThreadPoolExecutor(AT_ONCE) as threads:
        cards = list(threads.map(partial(_card, dataset_of(request), search), addresses))
    flaw = next((card.flaw for card in cards if card.flaw), "")
    if flaw and is_replaced(request):
        raise BadShard(flaw)
    return cards


def _card(dataset: Dataset, search: Search, address: Address) -> Card:
    link = document_link(address.key, search)
    try:
        story = dataset.story(address)
    except BadShard as flaw:
        return Card(address, link, None, flaw=str(flaw))
    return Card(address, link, story, _strip(story, search), _excerpt(story, search))


def _strip(story: Story, search: Search) -> list[Beat]:
    """A few of a document's pictures, evenly spread over it; those beside the words that are looked for come first."""
    beats = [beat for beat in story.beats if beat.picture]
    pattern = _pattern(terms_of(search.words))
    places = [n for n, beat in enumerate(beats) if pattern and any(pattern.search(line.text) for line in beat.lines)]
    places += [n * len(beats) // STRIP for n in range(STRIP)]
    return [beats[n] for n in sorted(list(dict.fromkeys(places))[:STRIP])]


def _excerpt(story: Story, search: Search) -> str:
    """The first sentence in which a word is found that is looked for; empty where none is."""
    pattern = _pattern(terms_of(search.words))
    return next((shown(text, 400) for text in story.sample.spoken if pattern and pattern.search(text)), "")


def _pattern(terms: Sequence[str]) -> re.Pattern[str] | None:
    known = [re.escape(term) for term in terms if any(map(str.isalnum, term))]
    return re.compile(rf"(?<!\w)(?:{'|'.join(known)})\w*|(?:{'|'.join(known)})", re.IGNORECASE) if known else None


def _marker(terms: Sequence[str]) -> Callable[[str], Markup]:
    """A function that escapes a text and marks the words in it that are looked for."""
    pattern = _pattern(terms)

    def marked(text: str) -> Markup:
        if pattern is None:
            return escape(shown(text))
        pieces, last = [], 0
        text = shown(text)
        for found in pattern.finditer(text):
            pieces += [escape(text[last : found.start()]), Markup("<mark>{}</mark>").format(found[0])]
            last = found.end()
        return Markup("").join([*pieces, escape(text[last:])])

    return marked


def _missing(request: Request, what: str, name: str) -> Response:
    """The page of a document or video that is not there: it offers those whose ids begin alike."""
    dataset = dataset_of(request)
    with dataset.index.reading() as base:
        near = [
            key
            for (key,) in base.execute(
                "SELECT key FROM documents WHERE key >= ? ORDER BY key LIMIT 3",
                (name[:8] if what == "document" else "",),
            )
        ]
    return page(request, "missing.html", 404, what=what, name=name, near=[(key, document_link(key)) for key in near])
