"""A folder of files, on a disk or in an object store: what a run keeps and makes lies in one.

The names of files are relative to the folder, with forward slashes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from storyloom.fs.cache import NodeCache, machine_cache


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that is there.

    Attributes:
        name: Its name.
        size: Bytes.
        version: Differs between two contents of one name; what it looks like is the store's own affair.
        modified: Seconds since 1970 at which it was created or replaced; 0.0 where the store does not tell.
    """

    name: str
    size: int
    version: str
    modified: float = field(default=0.0, compare=False)


class Files(Protocol):
    """A folder of files.

    A file appears whole or not at all, and never changes while it is read: `create` leaves what is there as it is, and
    `replace` puts another file in its place.

    All methods raise `OSError` where the disk or the store fails, so that it is never mistaken for a fault of the data.

    Attributes:
        address: Its path, or its URL without secrets, without a slash at its end.
        keeps_bytes: Whether what is there is what was written, since the store itself checks its bytes; else it is held
            against a hash before it is given on.
        cached: Whether what is read as a whole is brought to each machine that reads it.
    """

    address: str
    keeps_bytes: bool
    cached: bool

    def within(self, folder: str) -> Files:
        """The files of a folder of this one."""

    def flaw(self, *, by_trying: bool = False) -> str:
        """Why files cannot be created here; empty if they can.

        Args:
            by_trying: Whether something is created, of which nothing stays; else what can be told without is looked at.
        """

    def free(self) -> int | None:
        """Free bytes; None where there is no end to them."""

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: There is none.
        """

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        """Content of each of several files, asked for at once where the store can; None where there is none."""

    def open(self, name: str) -> BinaryIO:
        """A file to read from at any place.

        Raises:
            FileNotFoundError: There is none.
        """

    def local(self, name: str, identity: str = "") -> AbstractContextManager[Path]:
        """A file of this machine with the content of a file, as long as the block lasts.

        Args:
            name: The file's.
            identity: What tells its content apart from every other, such as its hash: what was brought to this machine
                under it before is used again. The caller checks what it is given.

        Raises:
            FileNotFoundError: There is none.
        """

    def entry(self, name: str) -> Entry | None:
        """A file, if it is there."""

    def entries(self, folder: str = "", beginning: str = "") -> list[Entry]:
        """The files in a folder by name, those in folders within it left out; none where there is no such folder.

        Args:
            folder: Its name.
            beginning: What the names in the folder begin with; no other is looked at.
        """

    def tree(self, folder: str = "") -> Iterator[Entry]:
        """The files in a folder and all folders within it, by name."""

    def folders(self, folder: str = "") -> list[str]:
        """The names of the folders in a folder, sorted."""

    def stamp(self, folder: str) -> str:
        """What is another one once a file appears in a folder or goes; empty where only its listing tells."""

    def prepare(self, folders: Sequence[str]) -> None:
        """See that files can be created in these folders, and remove leftovers.

        Raises:
            OSError: They cannot; the message names the place.
        """

    def remove_leftovers(self) -> None:
        """Remove what killed writers of this machine left."""

    def folder_here(self, name: str) -> Path:
        """A folder of this machine for what programs write by themselves.

        On a disk it is the folder of that name, so that its files are seen by all; else nobody sees them but this
        machine, until they are created here: `create` takes files in it, too. It need not exist.
        """

    def scratch(self) -> AbstractContextManager[Path]:
        """An empty folder of this machine for files that are to be created here; it goes with the block."""

    def create(self, name: str, content: bytes | Path, *, private: bool = False, identity: str = "") -> bool:
        """Create a file; one that is there stays as it is.

        Args:
            name: Of the file.
            content: Its content, or a file in `scratch` or `folder_here`, which must not be changed any more.
            private: Whether only its owner may read it, where files have owners.
            identity: As `local` takes it: of a file, its content need not be brought to this machine again.

        Returns:
            Whether the file that is there has this content: false where another writer was first with another.
        """

    def link(self, name: str, file: Path, identity: str) -> None:
        """Have a file of this machine seen under a name, in place of what is there.

        On a disk a symbolic link leads to it; a store gets its content, since no other machine sees the file.

        Args:
            name: Of the file here.
            file: Anywhere on this machine; must not change meanwhile.
            identity: As `create` takes it.
        """

    def forget(self, identity: str) -> None:
        """Not use again what was brought to this machine under an identity: it is damaged."""

    def create_folder(self, name: str, content: Path) -> None:
        """Create a folder's files from a folder in `scratch`; where the folder is there it stays as it is.

        Its files may come one by one: what says that they are all there must be written afterwards.
        """

    def replace_folder(self, name: str, content: Path, last: str, meanwhile: bytes) -> None:
        """Put a folder's files in the place of those that are in a folder here.

        Where that does not happen at once they come one by one, and a file says meanwhile that they are not all there.

        Args:
            name: Of the folder here.
            content: A folder in `scratch`.
            last: Name within it of the file that comes last.
            meanwhile: Its content until then.
        """

    def replace(self, name: str, content: bytes | Path, *, durably: bool = True, private: bool = False) -> None:
        """Create a file, or replace it.

        Args:
            name: Of the file.
            content: As `create` takes it.
            durably: Whether a power cut must not cost it.
            private: As `create` takes it.
        """

    def copy(self, name: str, source: Files, source_name: str) -> None:
        """Put a file of another folder in the place of a file here, without its bytes passing where that can be.

        Args:
            name: Of the file here.
            source: The other folder.
            source_name: Of the file there.
        """

    def alone(self, marker: str, unchanged: type[Exception]) -> AbstractContextManager[None]:
        """Hold the folder against all others that hold it so; waits for them.

        Args:
            marker: A file in it that is there meanwhile, and stays there where the block fails.
            unchanged: An exception that says that nothing was changed: the marker goes then, too.
        """

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def remove_folder(self, folder: str) -> None:
        """Remove the files in a folder and all folders within it, if there are any."""

    def unfinished(self, age: float) -> list[Entry]:
        """What writers left unfinished here that began so many seconds ago, as entries for `abandon`.

        A writer that is killed leaves it, in a store for ever and at its owner's cost; nobody reads it.
        """

    def abandon(self, found: Entry) -> None:
        """Remove what was left `unfinished`."""


def files_at(place: str | os.PathLike[str], cache: NodeCache | None = None) -> Files:
    """The files of a folder.

    Args:
        place: Its path, or its URL for fsspec, such as ``s3://bucket/folder``.
        cache: Where what is read whole from a store is kept on this machine; the machine's usual one if not given.

    Raises:
        UsageError: The URL's store needs a package that is missing, or is none that fsspec knows.
    """
    from storyloom.fs.disk import DiskFiles
    from storyloom.fs.store import StoreFiles

    named = os.fspath(place)
    return StoreFiles(named, cache or machine_cache()) if "://" in named else DiskFiles(Path(named))
