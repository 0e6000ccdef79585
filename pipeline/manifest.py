"""Reading a manifest: a text file, CSV, JSONL, Parquet, or a folder of media. It becomes a table."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.beside import Beside
from schemas.rows import ManifestRow
from storyloom.errors import UsageError
from storyloom.format.arrow import arrow_schema
from storyloom.fs.url import published

SCHEMA = arrow_schema(ManifestRow)

FILE_URL = "file://"

COLUMNS = ("url", "id", "subtitles", "title", "language", "license")

MEDIA_SUFFIXES = frozenset(
    ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .webm .wmv".split()  # noqa: SIM905
)


def read_manifest(path: str, url_parameters: Collection[str] = ()) -> tuple[pa.Table, int]:
    """The manifest's rows in their order, and the number of lines left out because they repeat an earlier id.

    Relative paths are relative to the manifest's folder, so that a manifest can travel with its media. A local video
    without subtitles in the manifest has the subtitle files beside it, where there are any.

    Args:
        path: Of the manifest.
        url_parameters: Parameters of URLs' queries that are published.

    Returns:
        A table with the columns of `ManifestRow`, one row per video, and the number of lines left out.

    Raises:
        UsageError: The manifest is missing or empty, or a line cannot be parsed.
    """
    source = Path(path).expanduser()
    if not source.exists():
        raise UsageError(f"no manifest at {source.absolute()}; give a list of paths or URLs, or a folder of media")
    if not (source.is_file() or source.is_dir()):  # a pipe or a device may never end
        raise UsageError(f"the manifest {source.absolute()} is no regular file; write its lines into one")
    lines = _from_folder(source) if source.is_dir() else _from_file(source)
    if not lines.num_rows:
        what = "media files" if source.is_dir() else "paths or URLs"
        raise UsageError(f"the manifest {path} holds no {what}")
    base = source if source.is_dir() else source.parent
    rows = _rows(_texts(lines, path), base.absolute(), path, url_parameters)
    first = _first_of_each(rows["video"])
    if len(first) == len(rows):
        return rows, 0
    return rows.take(first), len(rows) - len(first)


def _from_folder(folder: Path) -> pa.Table:
    found = sorted(_media_below(folder, ""))
    for name in (url for url in found if not url.isprintable()):
        try:
            name.encode()
        except UnicodeEncodeError as reason:
            raise UsageError(f"{folder} has a file whose name is not UTF-8: {name!r}; rename it") from reason
    return pa.table({"url": found})


def _media_below(folder: Path, below: str) -> Iterator[str]:
    """Relative paths of the media."""
    with os.scandir(folder / below) as entries:
        folders = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            # A Path for each of a million names takes a minute.
            elif os.path.splitext(entry.name)[1].lower() in MEDIA_SUFFIXES and entry.is_file():  # noqa: PTH122
                yield below + entry.name
    for name in folders:
        yield from _media_below(folder, f"{below}{name}/")


def _from_file(file: Path) -> pa.Table:
    suffix = file.suffix.lower()
    try:
        if suffix in (".csv", ".jsonl", ".ndjson", ".parquet"):
            return _table(file, suffix)
        with file.open(encoding="utf-8-sig") as lines:
            stripped = (line.strip() for line in lines)
            return pa.table({"url": pa.array([line for line in stripped if line and line[0] != "#"], pa.string())})
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as reason:
        raise UsageError(f"the manifest {file} cannot be read as {suffix or 'text'}: {reason}") from reason


def _table(file: Path, suffix: str) -> pa.Table:
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(file)
    if suffix == ".csv":
        from pyarrow import csv

        # No word stands for nothing: an id may be NA.
        as_text = csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()), null_values=[])
        return csv.read_csv(file, convert_options=as_text)
    from pyarrow import json

    return json.read_json(file)


def _texts(lines: pa.Table, path: str) -> dict[str, pa.ChunkedArray]:
    """Each known column as trimmed text, empty where the manifest has no value."""
    if len(set(lines.column_names)) < len(lines.column_names):
        raise UsageError(f"the manifest {path} has a column twice; it has: {', '.join(lines.column_names)}")
    if "url" not in lines.column_names:
        raise UsageError(f"the manifest {path} has no column `url`; it has: {', '.join(lines.column_names)}")
    texts = dict.fromkeys(COLUMNS, _repeated("", len(lines)))
    for name in COLUMNS:
        if name in lines.column_names:
            try:
                column = lines[name].cast(pa.string())
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as reason:
                raise UsageError(f"the manifest {path}: column `{name}` is no text: {reason}") from reason
            texts[name] = pc.utf8_trim_whitespace(column.fill_null(""))
    return texts


def _rows(texts: dict[str, pa.ChunkedArray], base: Path, path: str, url_parameters: Collection[str]) -> pa.Table:
    without = pc.index(texts["url"], "").as_py()
    if without >= 0:
        raise UsageError(f"{path}, row {without + 1}: no url")
    given_id = pc.if_else(pc.equal(texts["id"], ""), texts["url"], texts["id"])
    source_id = _published(given_id, url_parameters)
    _check_ids(given_id, source_id, path)
    subtitles, others = _with_beside(texts, base)
    columns = {
        **texts,
        "subtitles": subtitles,
        "other_subtitles": others,
        "video": pa.chunked_array([_keys(chunk) for chunk in source_id.chunks], pa.string()),
        "folder": _repeated(str(base), len(source_id)),
        "source_id": source_id,
        "published_url": _published(texts["url"], url_parameters),
    }
    return pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


def _published(urls: pa.ChunkedArray, parameters: Collection[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([published(url, parameters) for url in urls.to_pylist()], pa.string())])


def _check_ids(given: pa.ChunkedArray, ids: pa.ChunkedArray, path: str) -> None:
    """Refuse URLs that only their unpublished parts tell apart: one id would make them one video."""
    first: dict[str, tuple[int, str]] = {}
    for row, (url, name) in enumerate(zip(given.to_pylist(), ids.to_pylist(), strict=True), start=1):
        before, same = first.setdefault(name, (row, url))
        if same != url:
            raise UsageError(
                f"the manifest {path}: rows {before} and {row} are both {name}, and differ in the password or query"
                " only, which is not published. Give them ids, or name the parameter that tells them apart in"
                " `url_parameters`"
            )


def _with_beside(texts: dict[str, pa.ChunkedArray], base: Path) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The column `subtitles`, where empty with the likeliest file beside a local video, and a column of its others.

    They are in folders as the videos' own.
    """
    local = pc.or_(pc.invert(pc.match_substring(texts["url"], "://")), pc.starts_with(texts["url"], FILE_URL))
    rows = pc.indices_nonzero(pc.and_(local, pc.equal(texts["subtitles"], ""))).to_pylist()
    others: list[list[str]] = [[]] * len(texts["url"])
    found = texts["subtitles"]
    if rows:
        likeliest, urls, languages = (texts[name].to_pylist() for name in ("subtitles", "url", "language"))
        beside = Beside()
        for row in rows:
            url = urls[row]
            path = unquote(url[len(FILE_URL) :].removeprefix("localhost")) if url.startswith(FILE_URL) else url
            video = os.path.join(base, os.path.expanduser(path))  # noqa: PTH111, PTH118 - a million videos
            if names := beside.of(video, languages[row]):
                folder = os.path.dirname(path)  # noqa: PTH120
                likeliest[row], *others[row] = (os.path.join(folder, name) for name in names)  # noqa: PTH118
        found = pa.chunked_array([pa.array(likeliest, pa.string())])
    return found, pa.chunked_array([pa.array(others, pa.list_(pa.string()))])


def _keys(source_ids: pa.Array) -> pa.Array:
    return pa.array([hashlib.sha256(one.encode()).hexdigest()[:20] for one in source_ids.to_pylist()], pa.string())


def _repeated(text: str, times: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.repeat(text, times)])


def _first_of_each(keys: pa.ChunkedArray) -> np.typing.NDArray[np.int64]:
    """The first position of each key, in order."""
    codes = keys.combine_chunks().dictionary_encode().indices.to_numpy()
    first: np.typing.NDArray[np.int64] = np.unique(codes, return_index=True)[1]
    return first  # rising, since codes are given in the order in which the keys appear
