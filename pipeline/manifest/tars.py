"""Tars of videos, as video2dataset and other writers of WebDataset leave them."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from pipeline.manifest.batch import Line, Told
from pipeline.manifest.folder import MEDIA_SUFFIXES
from pipeline.manifest.jsons import object_of
from pipeline.manifest.opened import ListUnreadable

MAX_SIDECAR = 1 << 20
"""Most bytes of a JSON or text member that are read (our choice)."""

UNREADABLE = (tarfile.TarError, ValueError, OverflowError, RecursionError)
"""What `tarfile` raises over a damaged header."""

FROM_JSON = ("title", "language", "license")
"""Our columns that a sample's JSON may fill. Its `url` is where others fetched the video; its times are of that."""


def tar_lines(source: BinaryIO, name: str, told: Told) -> Iterator[Line]:
    """The videos of a tar; what its JSON and text members say of them goes along.

    Members belong together that have the same path up to the first dot of the file name, as WebDataset has it. They
    follow each other.

    Args:
        source: The tar, which can be seeked in.
        name: Its path or URL.
        told: What is told.

    Raises:
        ListUnreadable: It is no tar, or not one member can be read.
    """
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    place, stem = 0, ""
    videos: list[tarfile.TarInfo] = []
    said: dict[str, Any] = {}
    try:
        with tarfile.open(fileobj=source, mode="r:", errors="surrogateescape") as tar:
            for member in tar:
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse() or member.offset_data + member.size > size:
                    told.count("members of tars passed over, since they are links or cut off", member.name)
                    continue
                path = PurePosixPath(member.name)
                key = str(path.parent / path.name.partition(".")[0])
                if key != stem:
                    for one in videos:
                        place += 1
                        yield _line(place, one, name, said)
                    stem, videos, said = key, [], {}
                _look(tar, member, path.suffix.lower(), videos, said, told)
            source.seek(tar.offset)
            if source.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes a damaged header for the end
                raise tarfile.HeaderError("a header is damaged")
    except UNREADABLE as reason:
        if not place and not videos:
            raise ListUnreadable(f"it is no tar of videos: {reason}") from reason
        told.say(f"the tar {name} is damaged ({reason}); the videos before that are used")
    for one in videos:
        place += 1
        yield _line(place, one, name, said)


def _look(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    suffix: str,
    videos: list[tarfile.TarInfo],
    said: dict[str, Any],
    told: Told,
) -> None:
    """Note a member of a sample."""
    if suffix in MEDIA_SUFFIXES:
        videos.append(member)
    elif suffix in (".json", ".txt") and member.size > MAX_SIDECAR:
        told.count(f"JSON or text members of tars over {MAX_SIDECAR:,} bytes passed over", member.name)
    elif suffix in (".json", ".txt"):
        content = tar.extractfile(member)
        assert content is not None, "only a regular file comes here"
        text = content.read().decode("utf-8", "replace")
        said.update({"caption": text.strip()} if suffix == ".txt" else _object(text, member.name, told))
    else:
        told.count("members of tars passed over, since they are neither media nor their JSON or text", member.name)


def _object(text: str, name: str, told: Told) -> Mapping[str, Any]:
    try:
        return object_of(text)
    except ValueError as reason:
        told.count("JSON members of tars passed over", f"{name}: {reason}")
        return {}


def _line(place: int, member: tarfile.TarInfo, name: str, said: Mapping[str, Any]) -> Line:
    ours = {our: text for our in FROM_JSON if isinstance(text := said.get(our), str)}
    where = {"url": name, "member": member.name, "offset": str(member.offset_data), "size": str(member.size)}
    return Line(place, where | ours, {key: value for key, value in said.items() if key not in ours})
