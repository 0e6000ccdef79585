"""Which of a site's subtitle tracks are fetched: those in the language that is spoken, people's before a machine's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from schemas.languages import is_language, language_tag, primary_language
from stages.download.sites.page import Info

Wanted = Literal["all", "human", "none"]
"""Which tracks are fetched: all kinds, those that people wrote, or none."""

FORMATS = ("json3", "srv3", "srv2", "srv1", "vtt", "ttml", "dfxp", "srt", "ass", "ssa", "sbv")
"""The formats that are read, the preferred one first: YouTube's json3 and srv3 have the time of each word."""

ORIGINAL = "-orig"
"""What yt-dlp appends to the language of YouTube's automatic captions in the language that is spoken."""

TRANSLATED_TO = "tlang"
"""Parameter of the URL of a track that YouTube translates by machine."""

MAX_TRACKS = 8
"""Most tracks of a video that are fetched, each of which costs the site a request (our choice)."""


@dataclass(frozen=True)
class Offer:
    """A subtitle track that a site offers.

    Attributes:
        language: BCP 47 code.
        automatic: Whether the site's speech recognition made it.
        original: Whether the site says that its language is spoken.
        extension: Of its format.
        info: yt-dlp's entry: an ``url``, or the track itself as ``data``.
    """

    language: str
    automatic: bool
    original: bool
    extension: str
    info: dict[str, Any]


def offered(info: Info, language: str, wanted: Wanted = "all") -> list[Offer]:
    """The tracks to fetch, the likeliest first, at most `MAX_TRACKS`.

    They are in the given language, or else in the one that the site states, or in that of its automatic captions of
    what is spoken. Where none of these is known, tracks of every language that people wrote are taken: transcribe
    compares them with what it hears. Machine translations are never taken.

    Args:
        info: Of the video.
        language: BCP 47 code of the speech, as the manifest gives it; empty if unknown.
        wanted: Which kinds.
    """
    if wanted == "none":
        return []
    human = list(_human(info.get("subtitles")))
    automatic = list(_automatic(info.get("automatic_captions")))
    stated = info.get("language") if isinstance(info.get("language"), str) else ""
    originals = {offer.language for offer in automatic if offer.original}
    spoken = language or stated or (originals.pop() if len(originals) == 1 else "")
    found = human + (automatic if wanted == "all" else [])
    if primary := primary_language(spoken):
        found = [offer for offer in found if primary_language(offer.language) == primary]
    else:
        found = [offer for offer in found if not offer.automatic or offer.original]
    tag = language_tag(spoken)
    found.sort(key=lambda offer: (offer.automatic, offer.language != tag, offer.language))
    return found[:MAX_TRACKS]


def _human(tracks: Any) -> Iterator[Offer]:
    for key, entries in _languages(tracks):
        if (language := _language(key)) and (best := _best(entries)):
            yield Offer(language, automatic=False, original=False, extension=best["ext"], info=best)


def _automatic(tracks: Any) -> Iterator[Offer]:
    """The automatic captions of what is spoken: those marked so; where none is, those that are no translation."""
    marked = any(key.endswith(ORIGINAL) for key, _ in _languages(tracks))
    for key, entries in _languages(tracks):
        original = key.endswith(ORIGINAL)
        language = _language(key.removesuffix(ORIGINAL))
        best = _best([entry for entry in entries if not _is_translated(entry)])
        if best and language and original >= marked:
            yield Offer(language, automatic=True, original=original, extension=best["ext"], info=best)


def _languages(tracks: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if not isinstance(tracks, Mapping):
        return
    for key, entries in sorted(tracks.items(), key=lambda item: str(item[0])):
        if isinstance(key, str) and isinstance(entries, list):
            yield key, [entry for entry in entries if isinstance(entry, dict)]


def _language(key: str) -> str:
    """The language of a track's key, which YouTube makes of a code and the track's name (``en-j3PyPqV-e1s``)."""
    if is_language(key):
        return language_tag(key)
    first = key.partition("-")[0]
    return language_tag(first) if is_language(first) else ""


def _best(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    readable = [entry for entry in entries if entry.get("ext") in FORMATS and (entry.get("url") or entry.get("data"))]
    return min(readable, key=lambda entry: FORMATS.index(entry["ext"]), default=None)


def _is_translated(entry: dict[str, Any]) -> bool:
    try:
        return TRANSLATED_TO in parse_qs(urlsplit(str(entry.get("url") or "")).query)
    except ValueError:
        return True
