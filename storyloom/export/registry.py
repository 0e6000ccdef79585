"""Every export format: its writer, and how its result is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from storyloom.export import (
    emu3,
    livecc,
    llama_factory,
    llava_interleave,
    mmc4,
    mosaicml,
    ms_swift,
    obelics,
    qwen3_vl,
    qwen_vl,
)
from storyloom.export.names import FormatName
from storyloom.export.read import SourceDocument
from storyloom.format.manifest import Published

PARQUET_BYTES = 256 * 2**20
"""As the Parquet files of OBELICS."""

TAR_BYTES = 256 * 2**20
"""The lower end of what WebDataset recommends (our choice)."""

MDS_BYTES = 64 * 2**20
"""The default of `MDSWriter`."""


def _no_files(published: Published, splits: list[str]) -> dict[str, bytes]:
    del published, splits
    return {}


def _nothing_odd(published: Published) -> list[str]:
    del published
    return []


@dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        write: Writes the documents of one split into a folder and returns warnings; its last argument is the size in
            bytes at which a new file begins.
        load: How to load the result, in one line; DEST stands for the folder, SPLIT for a split, SHARDS for the names
            of its tars, NAME for the dataset.
        file_bytes: Size at which a new file begins; None where a split is one file.
        needs_words: Whether it is about the times of words alone, and has no images.
        needs_codes: Whether it holds discrete codes of the images.
        files: Other files of the export, from the manifest and the names of the splits.
        odd: Warnings that hold for the whole dataset.
    """

    write: Callable[[Iterable[SourceDocument], Path, str, int], list[str]]
    load: str
    file_bytes: int | None = None
    needs_words: bool = False
    needs_codes: bool = False
    files: Callable[[Published, list[str]], dict[str, bytes]] = _no_files
    odd: Callable[[Published], list[str]] = _nothing_odd


_AS_TEXT = 'datasets.load_dataset("json", data_files="DEST/SPLIT.jsonl")'

FORMATS: dict[FormatName, Format] = {
    FormatName.OBELICS: Format(
        obelics.write, 'datasets.load_dataset("DEST", split="SPLIT")', PARQUET_BYTES, files=obelics.files
    ),
    FormatName.MMC4: Format(mmc4.write, "--mmc4_shards DEST/SPLIT/SHARDS", TAR_BYTES),
    FormatName.MS_SWIFT: Format(ms_swift.write, "ROOT_IMAGE_DIR=DEST swift pt --dataset DEST/SPLIT.jsonl"),
    FormatName.LLAMA_FACTORY: Format(
        llama_factory.write, "dataset_dir: DEST, dataset: NAME_SPLIT", files=llama_factory.files
    ),
    FormatName.LLAVA_INTERLEAVE: Format(llava_interleave.write, "--data_path DEST/SPLIT.json --image_folder DEST"),
    FormatName.QWEN_VL: Format(qwen_vl.write, '{"annotation_path": "DEST/SPLIT.jsonl", "data_path": "DEST"}'),
    FormatName.QWEN3_VL: Format(qwen3_vl.write, '{"annotation_path": "DEST/SPLIT.jsonl", "data_path": "DEST"}'),
    FormatName.LIVECC: Format(livecc.write, "--annotation_paths DEST/SPLIT_with_seeks.jsonl", needs_words=True),
    FormatName.EMU3: Format(emu3.write, _AS_TEXT, needs_codes=True, odd=emu3.foreign_codes),
    FormatName.EMU35: Format(emu3.write_35, _AS_TEXT, needs_codes=True, odd=emu3.foreign_codes_35),
    FormatName.MOSAICML: Format(
        mosaicml.write, 'streaming.StreamingDataset(local="DEST", split="SPLIT", batch_size=1)', MDS_BYTES
    ),
}
