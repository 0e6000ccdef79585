"""The app that shows a finished dataset in a browser: its frame, its rooms, and what guards it.

A page is made by `page` from a template that extends ``base.html``. Handlers are plain functions: Starlette runs them
in threads. Nothing is asked of another host, and nothing but this machine can ask.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storyloom.errors import StoryloomError
from storyloom.format.stored import BadShard
from storyloom.fs.url import without_secrets
from storyloom.view.dataset import Dataset, Shown
from storyloom.view.index import is_damaged
from storyloom.view.rendering import HERE, environment

HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Names by which the app may be asked: any other is a stranger's whose name was pointed at this machine."""

HARMLESS = frozenset({"GET", "HEAD"})
"""Methods that change nothing; all others must come from a page of the app itself."""

GUARDS = {
    "content-security-policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; media-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of every answer; an answer that has one of its own keeps it."""


@dataclass(frozen=True)
class Room:
    """Pages that belong together.

    Attributes:
        title: In the navigation.
        path: Where it begins, such as ``/tune``; the navigation links to it.
        routes: Its pages.
        package: Package whose folders ``templates`` and ``static`` it uses beside the app's; empty for none. A file
            ``static/x.css`` is at ``/static/x.css``.
        of_video: Address of the room's page about a video but for the id, such as ``/timeline/``; the page of a video
            links to it. Empty for none.
    """

    title: str
    path: str
    routes: Sequence[BaseRoute]
    package: str = ""
    of_video: str = ""


def create_app(dataset: Dataset | None, rooms: Sequence[Room] = ()) -> Starlette:
    """The app.

    Args:
        dataset: What is shown; None where a run has published nothing yet, and there are rooms only.
        rooms: Further pages.
    """
    from storyloom.view.pages import dataset_room, empty_room

    inside = [dataset_room() if dataset else empty_room(), *rooms]
    packages = sorted({room.package for room in rooms if room.package})
    static: list[str | tuple[str, str]] = [(package, "static") for package in (*packages, HERE)]
    app = Starlette(
        routes=[*(route for room in inside for route in room.routes), Mount("/static", StaticFiles(packages=static))],
        middleware=[Middleware(Guard)],
        exception_handlers={HTTPException: _refused, StoryloomError: _broken, sqlite3.DatabaseError: _hurt},
    )
    app.state.shown = Shown(dataset) if dataset else None
    app.state.templates = environment(tuple(packages))
    app.state.rooms = inside
    app.state.links = [link for room in inside for link in _links(room)]
    return app


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of the app; the template finds the dataset as ``dataset``, and the request as ``request``."""
    state = request.app.state
    dataset = dataset_of(request) if state.shown else None
    values = {"request": request, "dataset": dataset, "links": state.links, **values}
    return HTMLResponse(state.templates.get_template(template).render(values), status)


def dataset_of(request: Request) -> Dataset:
    """The app's dataset, the same one as long as a request is answered; only where the app has one."""
    if not hasattr(request.state, "dataset"):
        request.state.dataset = request.app.state.shown.get()
    found: Dataset = request.state.dataset
    return found


def is_replaced(request: Request) -> bool:
    """Whether another dataset has been published since the request came.

    Raises:
        BeingPublished: It is about to be.
        BadDataset: It has been, and its manifest is damaged.
    """
    return request.app.state.shown.look() is not dataset_of(request)


class Guard:
    """Refuses what no page of the app asks for, and sends `GUARDS` with every answer.

    A page of a stranger, open in the same browser, can point its own name at this machine (DNS rebinding), or send a
    form here. The first is told by the header Host, the second by Origin.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in GUARDS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer: ASGIApp = self._app
        if flaw := _flaw(scope["method"], Headers(scope=scope)):
            answer = PlainTextResponse(flaw, 403)
        await answer(scope, receive, guarded)


def _flaw(method: str, headers: Headers) -> str:
    """Why a request is refused; empty when it is answered."""
    host = headers.get("host", "")
    if host.rpartition(":")[0 if host.rpartition(":")[2].isdigit() else 2] not in HOSTS:
        return f"This server answers to {', '.join(sorted(HOSTS))} only."
    if method not in HARMLESS and headers.get("origin") != f"http://{host}":
        return "Only a page of this server may change something."
    return ""


def _links(room: Room) -> list[tuple[str, str]]:
    from storyloom.view.pages import DATASET_LINKS

    return DATASET_LINKS if room.path == "/" else [(room.title, room.path)]


def _refused(request: Request, reason: Exception) -> Response:
    assert isinstance(reason, HTTPException)
    if reason.status_code == 404:  # noqa: PLR2004 - not found
        return page(request, "missing.html", 404, what="page", name=request.url.path, near=[])
    return PlainTextResponse(reason.detail, reason.status_code, headers=reason.headers)


def _broken(request: Request, reason: Exception) -> Response:
    """The page of an error that says itself what is wrong, such as a damaged shard.

    A shard of another dataset than the page was begun with is none: the page is asked for once more.
    """
    shown: Shown | None = request.app.state.shown
    if shown and not hasattr(request.state, "dataset"):
        request.state.dataset = shown.dataset
    try:
        if isinstance(reason, BadShard) and shown and request.method in HARMLESS and is_replaced(request):
            return RedirectResponse(str(request.url.replace(scheme="", netloc="")), 307)
    except StoryloomError as other:
        reason = other
    return page(request, "problem.html", 500, problem=without_secrets(str(reason)))


def _hurt(request: Request, reason: Exception) -> Response:
    """The page of an index that is damaged; any other error of SQLite is one of ours."""
    assert isinstance(reason, sqlite3.DatabaseError)
    if not is_damaged(reason):
        raise reason
    request.app.state.shown.build_again(dataset_of(request))
    del request.state.dataset
    problem = "The index of the documents was damaged. It is built again now: reload this page in a moment."
    return page(request, "problem.html", 500, problem=problem)
