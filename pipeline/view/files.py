"""Frames and media of a run, as its pages show them: only what the run's own rows name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from pipeline.view.state import Place, Run, place_of_key
from schemas.media import MediaRow

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
                row = opened.read_row_group(place.position, columns=["jpegs"], use_threads=False)
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
        file = media_file(place, row) if row else None
        if row is None or file is None:
            raise HTTPException(404)
        return FileResponse(file, media_type=TYPES.get(row.container.partition(",")[0], "application/octet-stream"))

    return answer


def media_file(place: Place, row: MediaRow) -> Path | None:
    """The file that the row of `download` names, or the local one that its link leads to; None where it is gone."""
    folder = place.workspace.job.store.media
    if not row.media or Path(row.media).is_absolute() or ".." in Path(row.media).parts:
        return None
    file = folder / row.media
    return file if file.is_file() else None
