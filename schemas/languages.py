"""Language codes as manifests, containers and file names have them."""

from __future__ import annotations

import functools
from contextlib import suppress

NONE = frozenset({"und", "mul", "mis", "zxx", ""})
"""ISO 639's codes for no language, several, or an unknown one."""


@functools.cache
def language_tag(code: str) -> str:
    """The BCP 47 tag of a code, e.g. ``fr`` for ``fra`` and ``fre``, ``pt-BR`` for ``por-BR``.

    Codes of one language within a macrolanguage become the macrolanguage's where that is the usual one, e.g. ``zh`` for
    ``cmn``.

    Returns:
        The tag; empty for a code that stands for no single language; the code itself in lower case if it is none.
    """
    from langcodes import standardize_tag
    from langcodes.tag_parser import LanguageTagError

    try:
        tag = standardize_tag(code.strip(), macro=True)
    except LanguageTagError:
        return code.strip().lower()
    return "" if tag.partition("-")[0] in NONE else tag


@functools.cache
def is_language(code: str) -> bool:
    """Whether a text is a code of a language."""
    import langcodes

    return bool(language_tag(code)) and langcodes.tag_is_valid(code)


def primary_language(code: str) -> str:
    """The language alone of a code, e.g. ``pt`` for ``por-BR``; empty or in lower case as `language_tag`."""
    return language_tag(code).partition("-")[0]


def container_codes(code: str) -> list[str]:
    """The codes by which media files tag a language: its own, and those of three letters (ISO 639-2), in lower case."""
    import langcodes

    if not (primary := primary_language(code)):
        return []
    codes = {primary, language_tag(code).lower()}
    with suppress(LookupError):
        codes |= {langcodes.get(primary).to_alpha3(variant=kind) for kind in ("T", "B")}
    return sorted(codes)
