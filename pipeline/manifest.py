"""Reading a manifest: a text file, CSV, JSONL, Parquet, or a folder of media."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import UsageError
from schemas.rows import ManifestRow

COLUMNS = ("url", "id", "subtitles", "title", "language", "license")

MEDIA_SUFFIXES = frozenset(
    ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .webm .wmv".split()  # noqa: SIM905
)
SUBTITLE_SUFFIXES = (".vtt", ".srt")


def read_manifest(path: str) -> tuple[list[ManifestRow], int]:
    """The manifest's rows in their order, and how many lines repeated an earlier one's id and were left out.

    Relative paths are relative to the manifest's folder, so that a manifest can travel with its media.

    Raises:
        UsageError: There is no such manifest, it is empty, or a line cannot be understood.
    """
    source = Path(path).expanduser()
    if not source.exists():
        raise UsageError(f"no manifest at {source.absolute()}; give a list of paths or URLs, or a folder of media")
    base = source if source.is_dir() else source.parent
    rows: dict[str, ManifestRow] = {}
    lines = 0
    for line in _from_folder(source) if source.is_dir() else _from_file(source):
        lines += 1
        row = _row(line, base.absolute(), f"{path}, row {lines}")
        rows.setdefault(row.video, row)
    if not rows:
        what = "media files" if source.is_dir() else "paths or URLs"
        raise UsageError(f"the manifest {path} holds no {what}")
    return list(rows.values()), lines - len(rows)


def _from_folder(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix.lower() in MEDIA_SUFFIXES:
            beside = [file.with_suffix(suffix) for suffix in SUBTITLE_SUFFIXES]
            subtitles = next((str(s.relative_to(folder)) for s in beside if s.is_file()), "")
            yield {"url": str(file.relative_to(folder)), "subtitles": subtitles}


def _from_file(file: Path) -> Iterator[dict[str, Any]]:
    suffix = file.suffix.lower()
    try:
        if suffix in (".csv", ".jsonl", ".ndjson", ".parquet"):
            yield from _rows_of(_table(file, suffix), file)
        else:
            with file.open(encoding="utf-8-sig") as lines:
                stripped = (line.strip() for line in lines)
                yield from ({"url": line} for line in stripped if line and not line.startswith("#"))
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as reason:
        raise UsageError(f"the manifest {file} cannot be read as {suffix or 'text'}: {reason}") from reason


def _table(file: Path, suffix: str) -> pa.Table:
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(file)
    if suffix == ".csv":
        from pyarrow import csv

        as_text = csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()), strings_can_be_null=True)
        return csv.read_csv(file, convert_options=as_text)
    from pyarrow import json

    return json.read_json(file)


def _rows_of(table: pa.Table, file: Path) -> Iterable[dict[str, Any]]:
    if "url" not in table.column_names:
        raise UsageError(f"the manifest {file} has no column `url`; it has: {', '.join(table.column_names)}")
    known = table.select([name for name in COLUMNS if name in table.column_names])
    for batch in known.to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _row(line: dict[str, Any], base: Path, where: str) -> ManifestRow:
    text = {name: str(line.get(name) if line.get(name) is not None else "").strip() for name in COLUMNS}
    if not text["url"]:
        raise UsageError(f"{where}: no url")
    source_id = text["id"] or text["url"]
    return ManifestRow(
        video=hashlib.sha256(source_id.encode()).hexdigest()[:20],
        url=text["url"],
        folder=str(base),
        source_id=source_id,
        subtitles=text["subtitles"],
        title=text["title"],
        language=text["language"],
        license=text["license"],
    )
