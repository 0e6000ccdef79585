"""Folders of media."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.beside import SUFFIXES as SUBTITLES
from pipeline.manifest.batch import Line, Told
from storyloom.view.counts import count_of

MEDIA_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .divx .dv .f4v .flv .m1v .m2t .m2ts .m2v .m4v .mk3d .mkv .mov .mp4 .mp4v .mpe .mpeg .mpg"  # noqa: SIM905
    " .mpv .mts .mxf .nut .ogm .ogv .qt .rm .rmvb .ts .vob .webm .wmv .wtv".split()
)
"""Of files with a moving picture; what they hold is looked at later."""

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""Lists of a Hugging Face folder (its VideoFolder), beside the files that they name."""

APPLE_DOUBLE = "._"
"""Begin of the names of macOS's side files, which have the endings of what they are beside."""


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        media: Relative paths of the media, sorted.
        lists: Relative paths of what may be metadata of Hugging Face folders, one a folder.
        tables: Relative paths of tars, sorted, or of Parquet files where there are none, where there is nothing else.
        others: Files that are passed over, by ending.
        notes: What else is passed over, and why.
    """

    media: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def settled(self) -> Found:
        """The same in order; tables beside media are passed over, and what Parquet says of the videos in tars."""
        tars = [name for name in self.tables if name.lower().endswith(".tar")]
        used = [] if self.media or self.lists else tars or self.tables
        self.others.update(os.path.splitext(name)[1].lower() for name in {*self.tables} - {*used})  # noqa: PTH122
        self.tables = used
        for names in (self.media, self.lists, self.tables, self.notes):
            names.sort()
        return self

    def beside(self, listed: Mapping[str, Collection[str]]) -> Found:
        """The same without the media that metadata tell of; those that they do not name are passed over.

        Args:
            listed: By the path of metadata that were read, the paths of the files that they name.
        """
        named = {os.path.normpath(path) for paths in listed.values() for path in paths}
        folders = {name[: -len(os.path.basename(name))]: os.path.basename(name) for name in listed}  # noqa: PTH119
        media: list[str] = []
        others = Counter(self.others)
        for path in self.media:
            if path in named:
                continue
            name = next((name for folder, name in folders.items() if path.startswith(folder)), "")
            if name:
                others[f"media that {name} does not name"] += 1
            else:
                media.append(path)
        return replace(self, media=media, others=others)


def look_through(folder: Path, without: Collection[str]) -> Found:
    """Find the media below a folder; each folder counts once, however many links lead to it.

    Args:
        folder: The folder.
        without: Folders that are left out, such as that of the work.
    """
    found = Found()
    left_out = {(stated.st_dev, stated.st_ino) for one in without if (stated := _stated(Path(one)))}
    seen: set[tuple[int, int]] = set()
    folders, links = [""], list[str]()
    while folders or links:
        below = folders.pop() if folders else links.pop(0)
        stated = _stated(folder / below)
        place = (stated.st_dev, stated.st_ino) if stated else (0, 0)
        if below and place in left_out:
            found.notes.append(f"{below} is this run's own and was passed over")
            continue
        if place in seen:
            continue
        seen.add(place)
        try:
            entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
        except OSError as reason:
            found.notes.append(
                f"the folder {below[:80] or '.'} cannot be listed ({reason.strerror}) and was passed over"
            )
            continue
        names = {entry.name for entry in entries if not _is_folder(entry)}
        lists = [name for name in METADATA if name in names]
        found.lists += [below + name for name in lists[:1]]
        found.notes += [f"{below}{name} was passed over, since {lists[0]} is beside it" for name in lists[1:]]
        for entry in entries:
            path = below + entry.name
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(f"{path}/")
            elif entry.name not in METADATA:
                _file(entry, path, found)
    return found.settled()


def _file(entry: os.DirEntry[str], path: str, found: Found) -> None:
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - a Path for each of a million names takes a minute
    if entry.name.startswith(APPLE_DOUBLE):
        found.others[f"{APPLE_DOUBLE}*"] += 1
    elif suffix in MEDIA_SUFFIXES:
        if _is_file_or_dangling(entry):
            found.media.append(path)
        else:
            found.others["no regular file"] += 1
    elif suffix in (".parquet", ".tar"):
        found.tables.append(path)
    elif suffix not in SUBTITLES:
        found.others[suffix if suffix.isprintable() and suffix else "without an ending"] += 1


def _stated(place: Path) -> os.stat_result | None:
    try:
        return place.stat()
    except (OSError, ValueError):
        return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file_or_dangling(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file, or a link to nothing: `download` says what is not there."""
    try:
        return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    except OSError:
        return True


def folder_lines(found: Found, told: Told) -> Iterator[Line]:
    """The lines of what `look_through` found."""
    for note in found.notes:
        told.say(note)
    if found.others:
        kinds = ", ".join(f"{times} {ending}" for ending, times in found.others.most_common(10))
        rest = " and more" if len(found.others) > 10 else ""  # noqa: PLR2004 - a line's worth
        total = count_of(sum(found.others.values()), "files")
        told.say(f"passed over in the folder: {total} ({kinds}{rest})")
    for number, path in enumerate(found.media, 1):
        yield Line(number, {"url": path})
