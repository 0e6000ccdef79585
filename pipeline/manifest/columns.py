"""Which columns of a list are ours."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.manifest.batch import COLUMNS, Told, safe_text
from pipeline.manifest.opened import ListUnreadable, NoUrls

NEAR = 0.75
"""Least similarity of a column's name to one of ours that is asked about (our choice): ``licence`` has 0.86."""

ALSO = {"video_url": "url", "videourl": "url", "video": "url", "path": "url", "file": "url", "link": "url"}
"""Usual names of columns of which we ask whether they are ours."""

FILE_NAME = "file_name"
"""The column of a Hugging Face folder's metadata that names its files."""


@dataclass(frozen=True)
class Columns:
    """The names of columns in a list.

    Attributes:
        mapped: Names in the list by ours, as the config has them.
        file_name: Whether a column `FILE_NAME` stands for `url`.
    """

    mapped: Mapping[str, str] = field(default_factory=dict)
    file_name: bool = False

    @property
    def needed(self) -> set[str]:
        """The names that the column of URLs may have."""
        return {self.mapped.get("url", "url"), *([FILE_NAME] if self.file_name else [])}

    def ours(self, names: Sequence[str], told: Told) -> dict[str, str]:
        """Our name for each of a list's columns that has one.

        Raises:
            ListUnreadable: A column is there twice, or the needed one is not there.
        """
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise ListUnreadable(f"column `{twice[0]}` is there twice; it has: {_listed(names)}")
        found = self.of(names)
        if "url" not in found.values():
            raise NoUrls(f"there is no column `{self.mapped.get('url', 'url')}`; {self._hint(names)}")
        if missing := [name for name in self.mapped.values() if name not in names]:
            raise ListUnreadable(f"there is no column `{missing[0]}`, which `columns` names; it has: {_listed(names)}")
        self.ask(names, told)
        return found

    def of(self, names: Sequence[str]) -> dict[str, str]:
        """Our name for each of the columns that has one."""
        theirs = {name: self.mapped.get(name, name) for name in COLUMNS}
        if self.file_name and theirs["url"] not in names and FILE_NAME in names:
            theirs["url"] = FILE_NAME
        return {their: our for our, their in theirs.items() if their in names}

    def ask(self, names: Sequence[str], told: Told) -> None:
        """Tell of columns whose names are near to ours."""
        used = self.of(names)
        for name in names:
            if name not in used and (near := _near(name)) and near not in used.values():
                told.say(
                    f"column `{name}` is kept under `extra`; did you mean `{near}`?"
                    f" Then say columns: {{{near}: {name}}} in the config"
                )

    def _hint(self, names: Sequence[str]) -> str:
        for name in names:
            if _near(name) == "url" and "url" not in self.mapped:
                return (
                    f"did you mean `{name}`? Then say columns: {{url: {name}}} in the config; it has: {_listed(names)}"
                )
        return f"it has: {_listed(names)}"


def _near(name: str) -> str:
    """Our column that a name is near to; empty for none."""
    lower = name.strip().lower()
    if lower in ALSO:
        return ALSO[lower]
    return next(iter(difflib.get_close_matches(lower, COLUMNS, 1, NEAR)), "")


def _listed(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(safe_text(name, 40)[0] for name in names[:most]) + (" and others" if len(names) > most else "")
