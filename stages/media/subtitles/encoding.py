"""The text of a subtitle file, whatever its encoding."""

from __future__ import annotations

import codecs
import re
from collections.abc import Set as AbstractSet

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""The longer marks first: UTF-32's starts with UTF-16's."""

LEGACY = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"),
    *("koi8_r", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
"""Encodings that subtitles were written in before Unicode; the detector knows many more, which it confuses with them
on short texts (our choice)."""

SAMPLE = 100_000
"""Bytes of the lines beyond ASCII by which an encoding is told (our choice)."""

LONGEST_LINE = 10_000
"""Characters of a line beyond which it is not repaired: no line of a cue is longer (our choice)."""

NUL_SHARE = 0.2
"""Share of zero bytes from which a text is UTF-16 without a mark: its digits, spaces and line ends have one each."""


def decoded(content: bytes, heard: AbstractSet[str] = frozenset()) -> str:
    """The text of a subtitle file.

    UTF-8 unless its invalid bytes outnumber its valid characters beyond ASCII; an invalid byte is replaced by U+FFFD.
    Other encodings are detected by charset-normalizer, which short texts mislead: the one with the most words in common
    with what was heard is taken. UTF-8 that was once read as something else is repaired by ftfy.

    Args:
        content: The file's bytes.
        heard: Recognized words in lower case; characters in scripts without spaces.
    """
    import ftfy

    text = _unicode(content)
    if text is None:
        return _detected(content, heard)
    return "\n".join(
        line if line.isascii() or len(line) > LONGEST_LINE else ftfy.fix_encoding(line) for line in text.splitlines()
    )


def _unicode(content: bytes) -> str | None:
    """The text of a file in a Unicode encoding; None in others."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    even, odd = content[::2].count(0), content[1::2].count(0)
    if (even + odd) > NUL_SHARE * len(content):
        return content.decode("utf-16-le" if odd > even else "utf-16-be", errors="replace")
    text = content.decode(errors="replace")
    invalid = text.count("\ufffd") - content.count("\ufffd".encode())
    valid = sum(1 for character in text if character > "\x7f") - invalid
    return text if invalid <= valid else None


def _detected(content: bytes, heard: AbstractSet[str]) -> str:
    import charset_normalizer

    telling = b"\n".join(line for line in content.splitlines() if not line.isascii())[:SAMPLE]
    likely = [match.encoding for match in charset_normalizer.from_bytes(telling, cp_isolation=list(LEGACY))]

    def heard_in(encoding: str) -> int:
        return len(heard & _words(telling.decode(encoding, errors="replace").casefold()))

    # `max` takes the first of equals: the detector's own order.
    return content.decode(max(dict.fromkeys([*likely, *LEGACY]), key=heard_in), errors="replace")


def _words(text: str) -> set[str]:
    """The words of a text, and its characters, which are the words in scripts without spaces."""
    return {*re.findall(r"\w+", text), *text}
