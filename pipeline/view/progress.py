"""The page of a run: its stages, its funnel, and the videos behind each number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

import pyarrow as pa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.funnel import funnel
from pipeline.remedies import remedy
from pipeline.status import StageStatus, status
from pipeline.store import Address
from pipeline.view.state import Run, number_of
from pipeline.workspace import Workspace
from schemas.manifest import ManifestRow
from schemas.row import Row
from stages.base import Stage
from storyloom.format.arrow import arrow_schema
from storyloom.format.manifest import FunnelRow
from storyloom.fs.url import redacted, without_secrets
from storyloom.view.app import page
from storyloom.view.rendering import address_of

PAGE = 50
"""Videos of a page (our choice)."""

BIG = frozenset({"jpegs"})
"""Columns that no list needs."""

Kind = Literal["all", "failed", "dropped", "warnings", "counts"]


@dataclass(frozen=True)
class Reason:
    """A number of the funnel or of a stage, with the address of the videos behind it."""

    name: str
    count: int
    link: str
    failed: bool = False


@dataclass(frozen=True)
class Listed:
    """A video in a list.

    Attributes:
        name: Its id in the manifest, or its URL without secrets.
        title: Its title, or empty.
        link: Of its page.
        what: What became of it, such as ``download.not_found``; empty for a healthy one.
        message: Why, or empty.
        remedy: What to do about it, or empty.
        count: How many items of it the list is about; 0 where it is about whole videos.
    """

    name: str
    title: str
    link: str
    what: str = ""
    message: str = ""
    remedy: str = ""
    count: int = 0


def run_page(run: Run) -> Callable[[Request], Response]:
    """The stages and the funnel."""

    def answer(request: Request) -> Response:
        workspace = run.workspace()
        stages = status(workspace)
        last = next((one.stage for one in stages if one.videos and "documents" in one.counts), "")
        return page(
            request,
            "run.html",
            stages=[(one, _own(one, "failed"), _own(one, "dropped"), _reasons(one, "warnings")) for one in stages],
            funnel=[(row, list(_funnel_reasons(stages, row, last))) for row in funnel(stages)],
            videos=workspace.plan.members.count,
            told=workspace.told,
            going_on=any(one.to_do for one in stages),
            all_link=_address(workspace.graph.names[0], "all", ""),
            command=run.command,
            retryable=any(one.retryable for one in stages),
        )

    return answer


def list_page(run: Run) -> Callable[[Request], Response]:
    """The videos behind a number, a page of them."""

    def answer(request: Request) -> Response:
        workspace, query = run.workspace(), request.query_params
        stage, kind, name = query.get("stage", ""), query.get("kind", "all"), query.get("name", "")
        if stage not in workspace.graph.names or stage in workspace.graph.group_stages:
            raise HTTPException(404)
        number = number_of(request, "page")
        found, total, more = listed(workspace, stage, kind, name, number)
        pages = max(1, -(-total // PAGE))
        links = {near: _address(stage, kind, name, near) for near in (number - 1, number + 1) if 1 <= near <= pages}
        return page(
            request,
            "run_list.html",
            stage=stage,
            kind=kind,
            name=name,
            found=found,
            total=total,
            more=more,
            number=number,
            pages=pages,
            before=links.get(number - 1),
            after=links.get(number + 1),
            retry=f"{run.command} --retry {name.rpartition('.')[2]}" if kind == "failed" else "",
        )

    return answer


def listed(workspace: Workspace, stage: str, kind: str, name: str, number: int) -> tuple[list[Listed], int, bool]:
    """The videos of a page of a list, how many there are, and whether there may be more than that.

    How many videos of a finished part failed or were dropped is known from its sums: only the parts of the page are
    read. In how many videos items such as frames were dropped is not: they are counted up to the end of the page.

    Args:
        workspace: The run.
        stage: Whose rows are looked at.
        kind: What they are looked through for.
        name: As the sums name it.
        number: Of the page, from 1.
    """
    begin, end, total = (number - 1) * PAGE, number * PAGE, 0
    found: list[Listed] = []
    done = workspace.done(stage)
    for part in workspace.plan.parts:
        address = None if kind == "all" else done.get(part)
        if address is None and kind != "all":
            continue
        known = workspace.summaries.numbers(address, kind).get(name, 0) if address else len(workspace.lines[part])
        if kind != "counts" and (total + known <= begin or total >= end):
            total += known
            continue
        if total > end:
            return found, total, True
        for one in _of_part(workspace, stage, part, address, kind, name) if known else ():
            if begin <= total < end:
                found.append(one)
            total += 1
    return found, total, False


def _of_part(
    workspace: Workspace, stage: str, part: str, address: Address | None, kind: str, name: str
) -> Iterator[Listed]:
    lines = workspace.lines[part]
    if address is None:
        yield from (_healthy(line) for line in lines)
        return
    model = workspace.graph.stages[stage]
    assert issubclass(model, Stage)
    columns = None if kind == "counts" else ["video", "error", "dropped", "warnings"]
    for line, row in zip(lines, _rows(workspace, address, model.row, columns), strict=False):
        if one := _matching(line, row, kind, name):
            yield one


def _rows(workspace: Workspace, address: Address, model: type[Row], columns: list[str] | None) -> Iterator[Row]:
    """The rows of a part; none when a run does it again."""
    wanted = columns or [name for name in arrow_schema(model).names if name not in BIG]
    try:
        with workspace.job.store.unchecked(address) as file:
            values = file.read(columns=wanted).to_pylist()
    except (OSError, pa.ArrowException):
        return
    yield from map((model if columns is None else Row).model_validate, values)


def _matching(line: ManifestRow, row: Row, kind: str, name: str) -> Listed | None:
    error, dropped = row.error, row.dropped
    if kind == "failed" and error and f"{error.stage}.{error.code}" == name:
        todo = remedy(error.code, retryable=error.retryable)
        return _healthy(line, name, without_secrets(error.message), todo)
    if kind == "dropped" and dropped and f"{dropped.stage}.{dropped.reason}" == name:
        return _healthy(line, name, without_secrets(dropped.detail))
    if kind == "warnings" and name in row.warnings:
        return _healthy(line, name)
    if kind == "counts" and (count := row.counts().get(name, 0)):
        return _healthy(line, name, count=count)
    return None


def _healthy(line: ManifestRow, what: str = "", message: str = "", remedy: str = "", count: int = 0) -> Listed:
    link = address_of("/timeline/", line.source_id)
    return Listed(redacted(line.source_id), line.title, link, what, message, remedy, count)


def _address(stage: str, kind: str, name: str, number: int = 1) -> str:
    found: dict[str, Any] = {"stage": stage, "kind": kind, "name": name, "page": number if number > 1 else ""}
    return "/run/list?" + urlencode({key: value for key, value in found.items() if value})


def _reasons(one: StageStatus, kind: Literal["failed", "dropped", "warnings"]) -> list[Reason]:
    counts: dict[str, int] = getattr(one, kind)
    return [Reason(name, n, _address(one.stage, kind, name), failed=kind == "failed") for name, n in counts.items()]


def _own(one: StageStatus, kind: Literal["failed", "dropped"]) -> list[Reason]:
    """The reasons that arose in the stage itself."""
    return [reason for reason in _reasons(one, kind) if reason.name.startswith(f"{one.stage}.")]


def _funnel_reasons(stages: list[StageStatus], row: FunnelRow, last: str) -> Iterator[Reason]:
    """Why items of a kind were left out, with the videos behind each reason."""
    for name, count in row.dropped.items():
        if row.what == "videos":
            yield Reason(name, count, _address(last, "dropped", name))
            continue
        key = f"{row.what}_dropped.{name}"
        where = [one.stage for one in reversed(stages) if key in one.counts]
        yield Reason(name, count, _address(where[0], "counts", key) if where else "")
    for name, count in row.failed.items():
        yield Reason(name, count, _address(last, "failed", name), failed=True)
