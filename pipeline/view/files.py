"""Frames and media of a run, as its pages show them: only what the run's own rows name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from pipeline.view.state import Place, Run, place_of_key
from schemas.media import MediaRow
from stages.media.source import MediaSource, content_here, read_record, record_of
from storyloom.fs.files import Files

TYPES = {
    "mov": "video/mp4",
    "matroska": "video/webm",
    "mpegts": "video/mp2t",
    "ogg": "video/ogg",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "aac": "audio/aac",
}
"""Media types by the demuxer's first name; a browser looks at the content of Matroska itself, and says what it can."""


def frame(run: Run) -> Callable[[Request], Response]:
    """The JPEG of a sampled frame; no other row is read."""

    def answer(request: Request) -> Response:
        place = place_of_key(run.workspace(), request.path_params["video"])
        found = place.workspace.found("sample", place.part)
        if found is None or found[1] is None:
            raise HTTPException(404)
        try:
            with place.workspace.job.store.unchecked(found[0]) as opened:
                row = opened.read_row_group(place.position, columns=["jpegs"])
        except (OSError, pa.ArrowException):
            raise HTTPException(404) from None
        jpegs = row["jpegs"][0]
        number = request.path_params["number"]
        if number >= len(jpegs):
            raise HTTPException(404)
        return Response(jpegs[number].as_py(), media_type="image/jpeg")

    return answer


def media(run: Run) -> Callable[[Request], Response]:
    """The media file of a video, by ranges of bytes."""

    def answer(request: Request) -> Response:
        place = place_of_key(run.workspace(), request.path_params["video"])
        row = place.row("download", MediaRow)
        files = place.workspace.job.store.media
        record = _record(files, row) if row else None
        if row is None or record is None:
            raise HTTPException(404)
        held = ExitStack()
        try:
            file = held.enter_context(content_here(files, row.media, record))
        except FileNotFoundError:
            raise HTTPException(404) from None
        kind = TYPES.get(row.container.partition(",")[0], "application/octet-stream")
        return FileResponse(file, media_type=kind, background=BackgroundTask(held.close))

    return answer


def has_media(place: Place, row: MediaRow) -> bool:
    """Whether the file that the row of `download` names is there, or the local one that its link leads to."""
    files = place.workspace.job.store.media
    record = _record(files, row)
    return record is not None and (record.stored or files.entry(row.media) is not None)


def _record(files: Files, row: MediaRow) -> MediaSource | None:
    """The record of the row's file; None where there is none."""
    if not row.media or Path(row.media).is_absolute() or ".." in Path(row.media).parts:
        return None
    return read_record(files, record_of(row.media))
