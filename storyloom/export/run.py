"""`storyloom export`: a finished dataset in another format, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyloom.card.front_matter import SPLIT_NAMES
from storyloom.errors import UsageError
from storyloom.export.names import FormatName
from storyloom.export.place import RECORD, as_record, earlier_export, replacing_folder
from storyloom.export.read import SourceDocument, documents
from storyloom.export.registry import FORMATS
from storyloom.export.sequences import Rows, SequenceRule
from storyloom.format.interleave import AS_STORED, Interleaving, Mode, check_interleaving
from storyloom.format.manifest import Published, finished_dataset
from storyloom.format.shard import Shard
from storyloom.format.texts import Texts, check_texts
from storyloom.fs.files import files_at
from storyloom.fs.place import folder_place
from storyloom.fs.url import redacted
from storyloom.view.counts import count_of

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[list[Shard]], AbstractContextManager[Iterable[Shard]]]


def tracked(console: Console) -> Progress:
    """A bar on a terminal, nothing elsewhere."""
    from rich.progress import track

    @contextmanager
    def progress(shards: list[Shard]) -> Iterator[Iterable[Shard]]:
        found: Any = track(shards, description=shards[0].split, console=console, disable=not console.is_terminal)
        # Its thread ends here also where a shard is damaged: at Python's own end 3.13 waits for ever.
        with closing(found):
            yield found

    return progress


@dataclass
class Exported:
    """The result of an export.

    Attributes:
        dest: Path or URL of the folder.
        name: The dataset's name.
        documents: By split, with the split's name in the export; a split without any is left out.
        images: By split.
        warnings: Surprising ways in which a trainer treats the data.
        replaced: Whether an earlier export was there.
    """

    dest: str | os.PathLike[str]
    name: str
    documents: dict[str, int]
    images: dict[str, int]
    warnings: list[str]
    replaced: bool


def export(
    output: str | os.PathLike[str],
    name: FormatName,
    dest: str | os.PathLike[str],
    file_bytes: int | None = None,
    progress: Progress = nullcontext,
    texts: Texts = "text",
    interleave: Mode = "sentence",
    fps: float | None = None,
    sequences: SequenceRule | None = None,
) -> Exported:
    """Write a finished dataset in another format. The folder appears when it is complete.

    Args:
        output: Folder of the finished dataset, or its URL.
        name: The format.
        dest: Folder to make, by path or by the URL of one in a store; new, empty, or an earlier export, which is
            replaced.
        file_bytes: Size at which a new file begins; None for the format's own.
        progress: A context whose value iterates over the shards, e.g. with a progress bar.
        texts: Which texts stand beside the images: see `storyloom.format.texts`.
        interleave: Where the images stand among the words: see `storyloom.format.interleave`.
        fps: Intervals a second of ``stream``; None for 1.
        sequences: How long rows of OBELICS may be; None for whole documents.

    Raises:
        UsageError: `output` holds no finished dataset, or none with these texts, word times or tokens where they are
            needed, the format does not take a size, or `dest` can be no folder.
        DestinationTaken: `dest` holds something else; nothing was changed.
        BadShard: A shard is damaged; `dest` is as it was.
    """
    published = finished_dataset(output)
    address = redacted(os.fspath(output))
    check_texts(texts, published.shards, address)
    how = check_interleaving(interleave, 1.0 if fps is None else fps, texts, published.shards, address)
    _check_options(name, texts, interleave, fps, file_bytes, sequences)
    form = FORMATS[name]
    if form.needs_words and not any(shard.timed_words for shard in published.shards):
        raise UsageError(f"{address} has no word times, which {name} needs: make it with write.words: true")
    if form.needs_codes and not published.has_codes:
        raise UsageError(f"{address} has no visual tokens, which {name} needs: make it with tokenize.enabled: true")
    how = AS_STORED if form.needs_words else how  # words alone are the same in every mode
    limit = file_bytes or form.file_bytes or 0
    dest = _destination(os.fspath(dest))
    done = Exported(dest, published.name, {}, {}, form.odd(published), replaced=earlier_export(dest) is not None)
    with replacing_folder(dest) as folder:
        for split in published.splits:
            with progress(published.of(split)) as shards:
                found = documents(output, shards, texts, how)
                counted = _counted(found, done, SPLIT_NAMES[split], images=not form.needs_words)
                first = list(islice(counted, 1))
                if first:  # loaders take no empty split
                    whole = chain(first, counted)
                    rows = Rows(sequences) if sequences else None
                    done.warnings += form.write(rows.of(whole) if rows else whole, folder, SPLIT_NAMES[split], limit)
                    done.warnings += _cuts(rows, split) if rows else []
            if left_out := published.splits[split].nsamples - done.documents.get(SPLIT_NAMES[split], 0):
                why = f"none of their images has a text with --texts {texts}"
                done.warnings.append(f"{count_of(left_out, 'documents')} of {split} left out: {why}")
        if not done.documents:
            raise UsageError(f"{address} has no document with --texts {texts}, whatever its manifest says")
        for path, content in form.files(published, list(done.documents)).items():
            (folder / path).write_bytes(content)
        (folder / RECORD).write_bytes(as_record(folder, _record(published, name, texts, how, sequences, done)))
    return done


def _check_options(
    name: FormatName,
    texts: Texts,
    interleave: Mode,
    fps: float | None,
    file_bytes: int | None,
    sequences: SequenceRule | None,
) -> None:
    """Refuse options that say nothing for a format or a mode.

    Raises:
        UsageError: One of them does.
    """
    if fps is not None and interleave != "stream":
        raise UsageError(f"--fps is about --interleave stream, and says nothing with {interleave}. Leave it out.")
    if FORMATS[name].needs_words and texts != "text":
        raise UsageError(f"{name} is about words that were said: it takes no --texts {texts}. Leave it out.")
    if file_bytes is not None and FORMATS[name].file_bytes is None:
        raise UsageError(f"{name} writes one file a split, so --file-bytes says nothing. Leave it out.")
    if sequences is not None and name != FormatName.OBELICS:
        raise UsageError(f"--sequence-length cuts rows of obelics, and says nothing with {name}. Leave it out.")


def load_hint(name: FormatName, done: Exported) -> str:
    """How to load an export, in one line that can be pasted; one at a URL as a copy in a folder of its name."""
    split = next(iter(done.documents))
    dest = os.fspath(done.dest)
    files = [entry.name.rpartition("/")[2] for entry in files_at(dest).entries(split)]
    tars = [name for name in files if name.endswith(".tar")]
    first, last = (tars[0], tars[-1]) if tars else ("", "")
    number, ending = len("shard-"), len(".tar")
    several = f"'shard-{{{first[number:-ending]}..{last[number:-ending]}}}.tar'"
    line = FORMATS[name].load
    path = dest.rpartition("/")[2] if "://" in dest else dest
    quoted = json.dumps(path, ensure_ascii=False)[1:-1] if '"' in line else shlex.quote(path)
    filled = {"SHARDS": several if len(tars) > 1 else first, "SPLIT": split, "NAME": done.name, "DEST": quoted}
    return re.sub("|".join(filled), lambda found: filled[found[0]], line)


def _cuts(rows: Rows, split: str) -> list[str]:
    """What was cut so that no row is too long."""
    if not rows.documents:
        return []
    cut = f"{count_of(rows.documents, 'documents')} of {split} became {count_of(rows.rows, 'rows')}"
    texts = f", {count_of(rows.texts, 'texts')} cut within" if rows.texts else ""
    return [f"{cut}{texts}, so that none has over {rows.rule.length:,} tokens"]


def _destination(dest: str) -> str:
    """A destination as an absolute path without links, or as a URL.

    Raises:
        UsageError: No folder can be there.
    """
    try:
        return folder_place(dest) if "://" in dest else str(Path(dest).resolve())
    except ValueError as reason:
        raise UsageError(f"{redacted(dest)} cannot hold an export: {reason}") from None


def _counted(found: Iterable[SourceDocument], done: Exported, split: str, *, images: bool) -> Iterator[SourceDocument]:
    for document in found:
        done.documents[split] = done.documents.get(split, 0) + 1
        done.images[split] = done.images.get(split, 0) + (len(document.jpegs) if images else 0)
        yield document


def _record(
    published: Published,
    name: FormatName,
    texts: Texts,
    how: Interleaving,
    sequences: SequenceRule | None,
    done: Exported,
) -> dict[str, Any]:
    """The content of `export.json`: the source dataset and how it was made."""
    return {
        "format": name.value,
        "texts": texts,
        "interleave": how.mode,
        **({"fps": how.fps} if how.mode == "stream" else {}),
        **({"sequence_length": sequences.length, **sequences.counted_by} if sequences else {}),
        "dataset": published.name,
        "dataset_sha256": published.sha256,
        "documents": done.documents,
        "images": done.images,
        "provenance": published.provenance.model_dump(mode="json"),
    }
