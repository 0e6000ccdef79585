"""Reading a manifest of every kind into rows of one kind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.beside import Beside
from pipeline.manifest.batch import COLUMNS, OF_URLS, PLACE, Batch, Told, safe_text, texts
from pipeline.manifest.clips import clip_id, clip_seconds
from pipeline.manifest.columns import Columns
from pipeline.manifest.rows import Rows
from pipeline.manifest.sources import Source, read_source, sources_of
from pipeline.parts import first_places
from schemas.manifest import ManifestRow
from schemas.row import video_key
from schemas.text import BREAKS, HIDDEN, MAX_TEXT, clean_text, escaped_text
from storyloom.errors import UsageError
from storyloom.format.arrow import arrow_schema
from storyloom.fs.url import URL, local_path, published, redacted, scheme_of

SCHEMA = arrow_schema(ManifestRow)

FILE_URL = "file://"

_QUERY = re.compile("[?#@]")
"""What a URL has that is not published as it is."""

_MISTYPED = (
    "its url has a password or a query, but is neither a URL nor the path of a file that is there; write SCHEME://"
)

_TOUCHED = "[@?#" + re.sub(r"[^-]", lambda found: f"\\x{{{ord(found[0]):x}}}", BREAKS + HIDDEN) + "]"
"""What a text has that `safe_text` may change, as RE2 writes it."""


class Manifest(NamedTuple):
    """A manifest that was read.

    Attributes:
        rows: A table with the columns of `ManifestRow`, one row per video, in the manifest's order.
        told: What was passed over, changed and cleaned, a sentence each.
    """

    rows: pa.Table
    told: tuple[str, ...]


class Listed(NamedTuple):
    """A manifest that was read, perhaps a large one.

    Attributes:
        rows: With the columns of `ManifestRow`, one row per video, in the manifest's order.
        told: What was passed over, changed and cleaned, a sentence each.
        folders: By the path of each folder of local videos what it was, as `stamp_of` has it; None where lines were
            read by something else that lies beside the list, or a folder has links.
    """

    rows: Rows
    told: tuple[str, ...]
    folders: dict[str, str] | None


def read_manifest(
    manifest: str,
    url_parameters: Collection[str] = (),
    *,
    columns: Mapping[Any, str] | None = None,
    without: Collection[str] = (),
) -> Manifest:
    """Read a manifest as `list_manifest` does, all of it into memory."""
    found = list_manifest(manifest, url_parameters, columns=columns, without=without)
    return Manifest(found.rows.table(SCHEMA.names), found.told)


def list_manifest(
    manifest: str,
    url_parameters: Collection[str] = (),
    *,
    columns: Mapping[Any, str] | None = None,
    without: Collection[str] = (),
) -> Listed:
    """Read a list, a folder of media, one media file, or what a pattern or a remote prefix matches.

    Relative paths are relative to the manifest's folder, so that a manifest can travel with its media. A local video
    without subtitles in the manifest has the subtitle files beside it, where there are any. A line that cannot be used
    becomes a row with a `problem`; of lines with the same id the first counts.

    Args:
        manifest: A path, a pattern of paths, or a URL.
        url_parameters: Parameters of URLs' queries that are published.
        columns: Names of the list's columns by ours.
        without: Folders that are left out of a folder of media: paths and URLs.

    Raises:
        UsageError: The manifest is missing or empty, or cannot be read, or none of its lines can be used.
    """
    try:
        return _read(manifest, url_parameters, Columns(columns or {}), without)
    except UsageError as reason:  # says what a stranger's list holds
        raise UsageError(safe_text(str(reason))[0]) from reason


def _read(manifest: str, url_parameters: Collection[str], columns: Columns, without: Collection[str]) -> Listed:
    told, beside = Told(), Beside()
    rows = Rows(_INNER)
    base, sources = sources_of(manifest, without)
    listed: dict[str, list[str]] = {}
    for one in sources:
        source = replace(one, found=one.found and one.found.beside(listed))
        lines = _Lines(source, base, url_parameters, beside, told)
        for batch in read_source(source, columns, told):
            table = lines.rows(batch)
            rows.add(table)
            if source.metadata:
                listed.setdefault(source.name, []).extend(table["url"].to_pylist())
    shown = redacted(manifest)
    if not len(rows):
        raise UsageError(f"the manifest {shown} holds no paths, URLs or media{_besides(told)}")
    rows = _first_of_each(rows, told)
    _check_problems(rows, shown, told)
    return Listed(rows, tuple(told.lines()), None if told.looked or beside.linked else beside.stamps)


_INNER = SCHEMA.append(pa.field("named_by", pa.string())).append(pa.field("place", pa.string()))
"""Columns that are known while reading: what an id was made of, and where the line is."""


class _Lines:
    """Turns the batches of one list into rows."""

    def __init__(self, source: Source, base: str, url_parameters: Collection[str], beside: Beside, told: Told) -> None:
        self._source = source
        self._base = base
        self._url_parameters = url_parameters
        self._beside = beside
        self._told = told

    def rows(self, batch: Batch) -> pa.Table:
        """The rows of a batch, in columns as `_INNER` has them."""
        size = len(batch.places)
        problems = dict(batch.problems)
        fields = {name: batch.columns.get(name, pa.repeat("", size)) for name in (*COLUMNS, *PLACE)}
        urls = self._urls(fields["url"], problems)
        clean = {name: self._cleaned(fields[name], name, safe_text) for name in ("title", "language", "license")}
        starts, ends = clip_seconds(fields["start"], fields["end"], problems)
        places = self._places(batch.places, urls)
        members = fields["member"].to_pylist()
        shown = [
            self._shown(escaped_text(url))[0] + (f"#{safe_text(escaped_text(member))[0]}" if member else "")
            for url, member in zip(urls, members, strict=True)
        ]
        given = self._cleaned(fields["id"], "id", self._shown).to_pylist()
        ids = [
            places[number] if number in problems else one or clip_id(shown[number], starts[number], ends[number])
            for number, one in enumerate(given)
        ]
        raw = pc.utf8_trim_whitespace(fields["id"]).to_pylist()
        named_by = [
            f"id {one}" if one else f"url {link if '?' in link and '://' in url else f'{url}#{member}'}"
            for one, url, member, link in zip(raw, urls, members, shown, strict=True)
        ]  # a parameter that is published says which video it is, whatever the others are
        said = [""] * size
        for number, problem in problems.items():
            said[number] = safe_text(problem)[0]
        subtitles, others = self._subtitles(urls, members, fields["subtitles"], clean["language"], problems)
        columns = {
            "video": pa.array([video_key(one) for one in ids], pa.string()),
            "url": texts(urls),
            "folder": pa.repeat(self._base, size),
            "source_id": pa.array(ids, pa.string()),
            "published_url": pa.array(shown, pa.string()),
            "subtitles": texts(subtitles),
            "other_subtitles": pa.array(others, pa.list_(pa.string())),
            "title": clean["title"],
            "language": clean["language"],
            "license": clean["license"],
            "start": pa.array(starts, pa.float64()),
            "end": pa.array(ends, pa.float64()),
            "extra": pa.repeat("{}", size) if batch.extra is None else batch.extra,
            "member": fields["member"],
            "offset": _numbers(fields["offset"]),
            "size": _numbers(fields["size"]),
            "problem": pa.array(said, pa.string()),
            "named_by": texts(named_by),
            "place": pa.array(places, pa.string()),
        }
        return pa.table({name: columns[name] for name in _INNER.names}, schema=_INNER)

    def _places(self, numbers: Sequence[int], urls: Sequence[str]) -> list[str]:
        """Where each line is, as messages have it."""
        name = self._source.name
        if self._source.found is None:
            return [f"{name}, line {number}" for number in numbers]
        shown = texts(urls).to_pylist()
        return [f"{name}, file {number} ({url})" for number, url in zip(numbers, shown, strict=True)]

    def _shown(self, url: str) -> tuple[str, bool]:
        """A URL, path or id as it is published, and whether that is another."""
        # Nearly all: a million lines take a quarter of the time.
        if len(url) <= MAX_TEXT and url.isprintable() and not _QUERY.search(url):
            return url, False
        if not URL.match(url):
            return safe_text(url)
        shown = clean_text(published(url, self._url_parameters))[0]
        return shown, shown != url

    def _urls(self, column: pa.Array, problems: dict[int, str]) -> list[str]:
        """The locations, without the space around them unless it is a file's, and relative to the manifest's folder."""
        found: list[str] = column.to_pylist()
        for number, raw in enumerate(found):
            url = raw.strip()
            if url != raw and self._is_there(raw):
                url = raw
            if not url:
                problems.setdefault(number, "it has no url")
            elif self._source.remote and (url.startswith(("/", "~/")) or url.lower().startswith(FILE_URL)):
                problems.setdefault(number, "a remote list names no files of this machine")
            elif "://" in url:
                if not url.isprintable() and clean_text(url, len(url))[1] and not url.lower().startswith(FILE_URL):
                    problems.setdefault(number, "its url has control characters")
            elif redacted(url) != url and not self._is_there(url):
                problems.setdefault(number, _MISTYPED)
            elif self._source.prefix and not url.startswith(("/", "~/")):
                url = self._source.prefix + url
            found[number] = url
        return found

    def _is_there(self, path: str) -> bool:
        """Whether a relative path, or one on this machine, leads to something."""
        self._told.looked = self._told.looked or bool(self._base)
        return bool(self._base) and os.path.lexists(os.path.join(self._base, self._source.prefix, path))  # noqa: PTH118

    def _cleaned(self, column: pa.Array, name: str, clean: Callable[[str], tuple[str, bool]]) -> pa.Array:
        """A column without what `clean` takes out, and without the space around it."""
        column = pc.utf8_trim_whitespace(column)
        touched = pc.or_(pc.match_substring_regex(column, _TOUCHED), pc.greater(pc.utf8_length(column), MAX_TEXT))
        if pc.any(touched).as_py():
            values, times = column.to_pylist(), 0
            for number in pc.indices_nonzero(touched).to_pylist():
                values[number], changed = clean(values[number])
                times += changed
            what = f"`{name}` cleaned of control characters, {OF_URLS}, and what is over {MAX_TEXT:,} characters"
            self._told.count(what, times=times)
            column = pa.array(values, pa.string())
        return pc.utf8_trim_whitespace(column)

    def _subtitles(
        self, urls: list[str], members: list[str], given: pa.Array, languages: pa.Array, problems: Mapping[int, str]
    ) -> tuple[list[str], list[list[str]]]:
        """For each row its subtitles, given or the likeliest file beside a local video, and the others beside it."""
        prefix = self._source.prefix
        likeliest = [
            prefix + one if prefix and one and "://" not in one and not one.startswith(("/", "~/")) else one
            for one in pc.utf8_trim_whitespace(given).to_pylist()
        ]
        others: list[list[str]] = [[]] * len(urls)
        for number, (url, language) in enumerate(zip(urls, languages.to_pylist(), strict=True)):
            if (
                likeliest[number]
                or number in problems
                or members[number]
                or ("://" in url and scheme_of(url) != "file")
            ):
                continue
            try:
                path = str(local_path(url)) if "://" in url else url
            except ValueError:  # a file of another machine
                continue
            video = os.path.join(self._base, os.path.expanduser(path) if path.startswith("~/") else path)  # noqa: PTH111, PTH118 - a million videos
            if names := self._beside.of(video, language):
                folder = os.path.dirname(path)  # noqa: PTH120
                likeliest[number], *others[number] = (os.path.join(folder, name) for name in names)  # noqa: PTH118
        return likeliest, others


def _numbers(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(column, ""), "-1", column).cast(pa.int64())


def _besides(told: Told) -> str:
    lines = told.lines()
    return f"; {'; '.join(lines)}" if lines else ""


def _check_problems(rows: Rows, manifest: str, told: Told) -> None:
    """Tell how many rows have a problem; refuse a manifest in which all have."""
    wrong, first = 0, ""
    for table in rows.tables(["problem", "place"]):
        found = table.filter(pc.not_equal(table["problem"], ""))
        if len(found) and not wrong:
            first = f"{found['place'][0].as_py()}: {found['problem'][0].as_py()}"
        wrong += len(found)
    if not wrong:
        return
    if wrong == len(rows):
        raise UsageError(f"no line of the manifest {manifest} can be used; {first}{_besides(told)}")
    told.count("unusable, which fail as `bad_line`", first, wrong)


def _first_of_each(rows: Rows, told: Told) -> Rows:
    """The first row of each id.

    Of different lines without an id, or with ids that differ in control characters, that come out the same the later
    ones have a problem.
    """
    first = first_places(rows.keys)
    repeated = np.flatnonzero(first != np.arange(len(first)))
    if not len(repeated):
        return rows
    now, before = rows.take(repeated, ["named_by"]), rows.take(first[repeated], ["named_by", "place"])
    differ = pc.not_equal(now["named_by"], before["named_by"])
    same_kind = pc.equal(pc.starts_with(now["named_by"], "id "), pc.starts_with(before["named_by"], "id "))
    wrong = pc.and_(differ, same_kind).to_numpy()
    told.count("left out, since they repeat an earlier id", times=int((~wrong).sum()))
    kept = np.ones(len(first), np.bool_)
    kept[repeated[~wrong]] = False
    places = before.filter(pa.array(wrong))["place"]
    found, begin, used = Rows(_INNER), 0, 0
    for table in rows.tables(_INNER.names):
        inside = kept[begin : begin + len(table)]
        of_table = np.isin(np.arange(begin, begin + len(table)), repeated[wrong], assume_unique=True)
        names = places.slice(used, int(of_table.sum())).to_pylist()
        found.add(_with_problems(table, of_table, names).filter(pa.array(inside)))
        begin, used = begin + len(table), used + len(names)
    return found


def _with_problems(rows: pa.Table, wrong: npt.NDArray[np.bool_], places: Sequence[str]) -> pa.Table:
    """The rows, the wrong ones with their place as id, and that they come out as the lines at `places` as problem."""
    if not places:
        return rows
    columns = {name: rows[name].to_pylist() for name in ("video", "source_id", "problem")}
    for number, before in zip(np.flatnonzero(wrong).tolist(), places, strict=True):
        columns["problem"][number] = (
            f"it has another URL than {before}, but the same id {columns['source_id'][number]!r}, since queries and"
            " passwords are not published; give it an id, or name the parameter that tells them apart in"
            " `url_parameters`"
        )
        columns["source_id"][number] = rows["place"][number].as_py()
        columns["video"][number] = video_key(columns["source_id"][number])
    for name, values in columns.items():
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), pa.array(values, pa.string()))
    return rows
