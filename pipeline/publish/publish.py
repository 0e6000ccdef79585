"""Publishing groups of shards as one finished dataset: final names, indexes, card and manifest."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.publish.place import ShardSource, check, put, sha256_of
from pipeline.publish.rests import merged
from stages.write.stage import WriteConfig
from storyloom.card.card import card, summary
from storyloom.card.croissant import croissant
from storyloom.card.indexes import as_json, index_files
from storyloom.errors import RunFailed, UsageError
from storyloom.format.layout import MARKER, SHARD_FILE, index_of
from storyloom.format.manifest import MANIFEST, Provenance, Published, describe, read_manifest, values_flaw
from storyloom.format.shard import SPLITS, Shard
from storyloom.fs.atomic import TEMPORARY_SUFFIX, sync_folder, write_atomically
from storyloom.fs.ranges import MOST_WHOLE

ENERGON_DERIVED = (".nv-meta/index.sqlite", ".nv-meta/index.uuid")
"""Files that `energon prepare` adds: offsets in the shards, which are wrong once a shard has changed."""


class OutputNotOurs(UsageError):
    """The output folder contains files that storyloom did not write."""


class NothingToPublish(RunFailed):
    """No group has a document."""


@dataclass(frozen=True)
class Changes:
    """The differences between an output folder and the dataset to publish there.

    Attributes:
        stale: Files to remove.
        shards: Shards to place.
        files: Path within the output and content of the other files to write.
    """

    stale: list[Path]
    shards: list[ShardSource]
    files: dict[str, bytes]


def publish(
    groups: Sequence[Sequence[Shard]],
    folders: Sequence[Path],
    rests: Path,
    output: Path,
    config: WriteConfig,
    provenance: Provenance,
    check_again: Callable[[], None] = lambda: None,
) -> Published:
    """Publish these shards as a dataset in `output`: each split's full ones in the order of the groups, then the rests.

    The manifest is removed first and written last, so that its presence marks a complete dataset. Publishing the same
    again changes no file.

    Args:
        groups: The shards of each group.
        folders: The folder of each group's shards.
        rests: Folder for the shards merged from the groups' rests; kept, so that they are merged once.
        output: Folder of the dataset; new, empty, or written by storyloom before.
        config: Section of the config.
        provenance: How the shards were made.
        check_again: Called once no other run can publish there, before anything changes; it may raise.

    Raises:
        OutputNotOurs: The output folder contains other files; nothing was changed.
        NothingToPublish: There is no shard; nothing was changed.
        BadShard: A shard does not match its group's result.
        FormatError: Two groups have the same shard, so their keys are not unique.
    """
    written = [
        ShardSource(shard, folder / shard.file) for some, folder in zip(groups, folders, strict=True) for shard in some
    ]
    if not written:
        raise NothingToPublish("no video gave a document, so there is nothing to publish: the funnel says why")
    check(written)
    with _alone(output, check_again):
        return _published(written, rests, output, config, provenance)


@contextmanager
def _alone(output: Path, check_again: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock on the folder, through the marker file, which is kept if the block fails."""
    _refuse_foreign(output)
    output.mkdir(parents=True, exist_ok=True)
    marker = output / MARKER
    while True:
        lock = marker.open("ab")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if marker.exists() and os.path.samestat(os.fstat(lock.fileno()), marker.stat()):
            break
        lock.close()  # the previous holder removed the file
    with lock:
        try:
            check_again()
        except UsageError:
            marker.unlink(missing_ok=True)  # nothing was changed
            raise
        yield
        marker.unlink(missing_ok=True)


def _published(
    written: Sequence[ShardSource], rests: Path, output: Path, config: WriteConfig, provenance: Provenance
) -> Published:
    """Bring the locked folder to the dataset of these shards."""
    sources = _numbered(written, rests, config.shard_bytes)
    published = describe(config.name, config.max_images, [source.shard for source in sources], provenance)
    files = {
        **index_files(published),
        "croissant.json": as_json(croissant(published, summary(published))),
        "README.md": card(published).encode(),
    }
    manifest = as_json(published.model_dump(mode="json", by_alias=True))
    if len(manifest) > MOST_WHOLE or values_flaw(manifest):  # no reader would take it
        raise UsageError(f"{MANIFEST} would be too large to be read: choose a larger `write.shard_bytes`")
    changes = _changes(output, sources, files)
    if _content(output / MANIFEST) != manifest or changes.stale or changes.shards or changes.files:
        _apply(output, changes)
        write_atomically(output / MANIFEST, manifest)
    return published


def _numbered(written: Sequence[ShardSource], rests: Path, target: int) -> list[ShardSource]:
    """The shards of the dataset, with their final names."""
    sources = []
    for split in SPLITS:
        of_split = [source for source in written if source.shard.split == split]
        whole = [source for source in of_split if not source.shard.is_rest]
        left = merged([source for source in of_split if source.shard.is_rest], rests, target)
        for number, source in enumerate([*whole, *left]):
            shard = source.shard.model_copy(update={"file": f"data/{split}/shard-{number:06d}.tar"})
            sources.append(ShardSource(shard, source.path))
    return sources


def check_output(output: Path) -> None:
    """Check that a dataset can be published in a folder; nothing is written.

    Raises:
        UsageError: It cannot be created or written.
        OutputNotOurs: It contains other files.
    """
    if broken := [folder for folder in (output, *output.parents) if os.path.lexists(folder) and not folder.exists()]:
        raise UsageError(f"{broken[0]} is a link to nothing: choose another `output`")
    try:
        there = next(folder for folder in (output, *output.parents) if folder.exists())
    except OSError as reason:
        raise UsageError(f"{output} cannot hold a dataset: {reason}; choose another `output`") from reason
    if not there.is_dir():
        raise UsageError(f"{there} is no folder, so {output} cannot hold a dataset: choose another `output`")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{there} cannot be written, so {output} cannot hold a dataset: choose another `output`")
    _refuse_foreign(output)


def _refuse_foreign(output: Path) -> None:
    if output.exists() and not _ours(output) and (not output.is_dir() or any(output.iterdir())):
        damaged = f"its {MANIFEST} is damaged or another program's"
        flaw = damaged if (output / MANIFEST).is_file() else "storyloom did not write what is in it"
        message = f"{output} is not empty, and {flaw}."
        raise OutputNotOurs(f"{message} Choose another `output`, or empty it; nothing was changed.")


def _ours(output: Path) -> bool:
    if (output / MARKER).exists():
        return True
    try:
        manifest = json.loads(_content(output / MANIFEST) or b"{}")
    except ValueError:
        return False
    return isinstance(manifest, dict) and str(manifest.get("schema", "")).startswith("storyloom/")


def _changes(output: Path, sources: Sequence[ShardSource], files: dict[str, bytes]) -> Changes:
    before = read_manifest(output)
    known = {shard.file: shard.sha256 for shard in before.shards} if before else {}
    shards = [source for source in sources if not _in_place(output, source, known)]
    names = {Path(source.shard.file) for source in sources}
    wanted = {output / name for name in {*names, *map(index_of, names), *map(Path, files)}}
    stale = [path for path in _written_by_us(output) if path not in wanted]
    if shards or stale:
        stale += [output / name for name in ENERGON_DERIVED if (output / name).exists()]
    return Changes(stale, shards, {name: new for name, new in files.items() if _content(output / name) != new})


def _in_place(output: Path, source: ShardSource, known: dict[str, str]) -> bool:
    """Whether the output already has this shard: the same file, or one that matches its manifest."""
    target = output / source.shard.file
    if not target.exists() or _content(index_of(target)) != index_of(source.path).read_bytes():
        return False
    vouched = known.get(source.shard.file) == source.shard.sha256 and target.stat().st_size == source.shard.filesize
    if not (vouched or target.samefile(source.path)):
        return False
    # The index is written last: a newer shard was changed afterwards.
    untouched = target.stat().st_mtime_ns <= index_of(target).stat().st_mtime_ns
    return untouched or sha256_of(target) == source.shard.sha256


def _written_by_us(output: Path) -> list[Path]:
    """Files of an earlier run that may be stale."""
    folders = [output, output / ".nv-meta", *(output / "data" / split for split in SPLITS)]
    found = [path for folder in folders for path in sorted(folder.glob(f".*{TEMPORARY_SUFFIX}"))]
    for split in SPLITS:
        folder = output / "data" / split
        found += [path for path in sorted(folder.glob("shard-*")) if SHARD_FILE.fullmatch(path.name)]
        found += [path for path in (folder / "sizes.json", output / f"wids-{split}.json") if path.exists()]
    return found


def _apply(output: Path, changes: Changes) -> None:
    (output / MANIFEST).unlink(missing_ok=True)
    sync_folder(output)
    for path in changes.stale:
        path.unlink()
    for source in changes.shards:
        put(source, output)
    for name, content in changes.files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output / name, content)
    for split in SPLITS:
        folder = output / "data" / split
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
