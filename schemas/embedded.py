"""Parquet files that hold videos, as Hugging Face's datasets do: a column of structs with ``bytes`` and ``path``."""

from __future__ import annotations

import pyarrow as pa


def media_column(schema: pa.Schema) -> str:
    """The name of the first column that holds videos; empty for none."""
    for field in schema:
        if pa.types.is_struct(field.type):
            kinds = {
                field.type.field(number).name: field.type.field(number).type for number in range(field.type.num_fields)
            }
            held = kinds.get("bytes", pa.null())
            if "path" in kinds and (pa.types.is_binary(held) or pa.types.is_large_binary(held)):
                return str(field.name)
    return ""
