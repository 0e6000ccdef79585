"""The table beside a shard must say what the shard's documents hold: each test breaks that in one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from storyloom.format.items import Items, read_items, rows_of
from tests.storyloom.validate.damage import SHARD, check, manifest, reseal, write_table

TABLE = SHARD.replace(".tar", ".parquet")


def rows(folder: Path) -> list[Items]:
    (shard,) = [one for one in manifest(folder).shards if one.file == SHARD]
    return list(rows_of(read_items((folder / TABLE).read_bytes(), shard.nsamples)))


def changed(folder: Path, change: Callable[[list[Items]], list[Items]]) -> list[tuple[str, str]]:
    """File and rule of what is wrong once the rows are others, and the manifest agrees with the file's hash."""
    write_table(folder, change(rows(folder)))
    reseal(folder)
    return [(file, rule) for file, _, rule in check(folder)]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: replace(row, key="other"),
        lambda row: replace(row, is_image=row.is_image[::-1]),
        lambda row: replace(row, image_width=[1, *row.image_width[1:]]),
        lambda row: replace(row, image_height=row.image_height[1:]),
        lambda row: replace(row, text_chars=[*row.text_chars, 1]),
        lambda row: replace(row, text_tokens=[1]),
        lambda row: replace(row, code_rows=[1], code_columns=[1]),
        lambda row: replace(row, code_rows=[1] * len(row.image_width)),
    ],
)
def test_a_row_that_says_something_else_than_its_document_is_refused(
    out: Path, change: Callable[[Items], Items]
) -> None:
    assert changed(out, lambda found: [change(found[0]), *found[1:]]) == [(TABLE, "items")]


@pytest.mark.parametrize("change", [lambda found: found[:-1], lambda found: [*found, found[0]], lambda _: []])
def test_a_table_with_more_or_fewer_rows_than_documents_is_refused(
    out: Path, change: Callable[[list[Items]], list[Items]]
) -> None:
    assert changed(out, change) == [(TABLE, "items")]


def test_what_is_no_table_is_refused(out: Path) -> None:
    (out / TABLE).unlink()
    (out / TABLE).write_bytes(b"PAR1 and nothing more PAR1")
    reseal(out)
    assert check(out) == [(TABLE, "", "items")]


def test_a_missing_table_is_named(out: Path) -> None:
    (out / TABLE).unlink()
    assert check(out) == [(TABLE, "", "missing_file")]


def test_another_table_than_the_manifest_says_is_refused(out: Path) -> None:
    write_table(out, [replace(row, text_tokens=[7] * len(row.text_chars)) for row in rows(out)])
    assert (SHARD, "", "manifest_hash") in check(out)


def test_the_manifests_tokens_are_held_against_the_table(out: Path) -> None:
    wanted = [replace(row, text_tokens=[7] * len(row.text_chars)) for row in rows(out)]
    assert changed(out, lambda _: wanted) == [(SHARD, "manifest_count")]
