"""Publishing groups of shards as one finished dataset: final names, indexes, card and manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.publish.place import ShardSource, check, put, sha256_of
from pipeline.publish.rests import merged
from stages.write.stage import WriteConfig
from storyloom.card.card import card, summary
from storyloom.card.croissant import croissant
from storyloom.card.indexes import as_json, index_files
from storyloom.errors import RunFailed, UsageError
from storyloom.format.layout import MARKER, beside, index_name, items_name
from storyloom.format.manifest import MANIFEST, Provenance, Published, describe, values_flaw
from storyloom.format.shard import SPLITS, Shard
from storyloom.fs.files import Entry, Files
from storyloom.fs.ranges import MOST_WHOLE

ENERGON_DERIVED = (".nv-meta/index.sqlite", ".nv-meta/index.uuid")
"""Files that `energon prepare` adds: offsets in the shards, which are wrong once a shard has changed."""


OF_SHARDS = re.compile(r"data/(train|val)/shard-[0-9]{6}\.(tar|tar\.idx|parquet)")
"""A shard of a dataset, or a file beside it."""


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

    stale: list[str]
    shards: list[ShardSource]
    files: dict[str, bytes]


def publish(
    groups: Sequence[Sequence[Shard]],
    folders: Sequence[Files],
    rests: Files,
    output: Files,
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
        ShardSource(shard, folder, shard.file) for some, folder in zip(groups, folders, strict=True) for shard in some
    ]
    if not written:
        raise NothingToPublish("no video gave a document, so there is nothing to publish: the funnel says why")
    check(written)
    check_output(output)
    with output.alone(MARKER, UsageError):
        check_again()
        return _published(written, rests, output, config, provenance)


def _published(
    written: Sequence[ShardSource], rests: Files, output: Files, config: WriteConfig, provenance: Provenance
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
    if _content(output, MANIFEST) != manifest or changes.stale or changes.shards or changes.files:
        _apply(output, changes)
        output.replace(MANIFEST, manifest)
    return published


def _numbered(written: Sequence[ShardSource], rests: Files, target: int) -> list[ShardSource]:
    """The shards of the dataset, with their final names."""
    sources = []
    for split in SPLITS:
        of_split = [source for source in written if source.shard.split == split]
        whole = [source for source in of_split if not source.shard.is_rest]
        left = merged([source for source in of_split if source.shard.is_rest], rests, target)
        for number, source in enumerate([*whole, *left]):
            shard = source.shard.model_copy(update={"file": f"data/{split}/shard-{number:06d}.tar"})
            sources.append(ShardSource(shard, source.files, source.name))
    return sources


def check_output(output: Files) -> None:
    """Check that a dataset can be published in a folder; nothing is written.

    Raises:
        UsageError: It cannot be created or written.
        OutputNotOurs: It contains other files.
    """
    if flaw := output.flaw():
        raise UsageError(f"{output.address} cannot hold a dataset: {flaw}; choose another `output`")
    _refuse_foreign(output)


def _refuse_foreign(output: Files) -> None:
    there = output.entries()
    if (there or output.folders()) and not _ours(output):
        damaged = f"its {MANIFEST} is damaged or another program's"
        flaw = damaged if MANIFEST in {entry.name for entry in there} else "storyloom did not write what is in it"
        message = f"{output.address} is not empty, and {flaw}."
        raise OutputNotOurs(f"{message} Choose another `output`, or empty it; nothing was changed.")


def _ours(output: Files) -> bool:
    if output.entry(MARKER):
        return True
    try:
        manifest = json.loads(_content(output, MANIFEST) or b"{}")
    except ValueError:
        return False
    return isinstance(manifest, dict) and str(manifest.get("schema", "")).startswith("storyloom/")


def _changes(output: Files, sources: Sequence[ShardSource], files: dict[str, bytes]) -> Changes:
    known = _known(_content(output, MANIFEST))
    there = {entry.name: entry for folder in _folders() for entry in output.entries(folder)}
    shards = [source for source in sources if not _in_place(output, source, known, there)]
    names = {source.shard.file for source in sources}
    wanted = {*names, *(name for tar in names for name in beside(tar)), *files}
    stale = [name for name in _written_by_us(there) if name not in wanted]
    if shards or stale:
        stale += [name for name in ENERGON_DERIVED if name in there]
    return Changes(stale, shards, {name: new for name, new in files.items() if _content(output, name) != new})


def _known(manifest: bytes | None) -> dict[str, str]:
    """The hash of each shard by its name, as a manifest says; none by one that is missing or damaged."""
    try:
        return {shard.file: shard.sha256 for shard in Published.model_validate_json(manifest or b"").shards}
    except ValidationError:
        return {}


def _in_place(output: Files, source: ShardSource, known: dict[str, str], there: dict[str, Entry]) -> bool:
    """Whether the output already has this shard: the same file, or one that matches its manifest."""
    target, index = there.get(source.shard.file), there.get(index_name(source.shard.file))
    if target is None or index is None or output.read(index.name) != source.files.read(source.index):
        return False
    if items_name(source.shard.file) not in there or not _has_items(output, source):
        return False
    vouched = known.get(source.shard.file) == source.shard.sha256 and target.size == source.shard.filesize
    original = source.files.entry(source.name)
    if not (vouched or (original is not None and target.version == original.version)):
        return False
    # The index is written last: a newer shard was changed afterwards.
    return target.modified <= index.modified or sha256_of(output, source.shard.file) == source.shard.sha256


def _has_items(output: Files, source: ShardSource) -> bool:
    return output.read(items_name(source.shard.file)) == source.files.read(source.items)


def _folders() -> list[str]:
    return ["", ".nv-meta", *(f"data/{split}" for split in SPLITS)]


def _written_by_us(there: Iterable[str]) -> list[str]:
    """Files of an earlier run that may be stale."""
    derived = {*(f"data/{split}/sizes.json" for split in SPLITS), *(f"wids-{split}.json" for split in SPLITS)}
    return sorted(name for name in there if name in derived or OF_SHARDS.fullmatch(name))


def _apply(output: Files, changes: Changes) -> None:
    output.remove(MANIFEST)
    for name in changes.stale:
        output.remove(name)
    for source in changes.shards:
        put(source, output)
    for name, content in changes.files.items():
        output.replace(name, content)
    for split in SPLITS:
        if not output.entries(f"data/{split}"):
            output.remove_folder(f"data/{split}")


def _content(output: Files, name: str) -> bytes | None:
    return output.read_all([name])[0]
