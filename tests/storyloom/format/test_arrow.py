"""Arrow schemas follow the models, and rows survive the way through Arrow."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.manifest import ManifestRow
from schemas.row import Row, RowError
from schemas.rows import FramesRow, TranscriptRow, Word
from stages.base import Stage
from stages.registry import registered
from storyloom.format.arrow import arrow_schema
from storyloom.format.model import Model

KEY = "0123456789abcdef0123"


def through_arrow(row: Model) -> dict[str, Any]:
    table = pa.Table.from_pylist([row.model_dump()], schema=arrow_schema(type(row)))
    values: dict[str, Any] = table.to_pylist()[0]
    return values


@pytest.mark.parametrize(
    "row",
    [ManifestRow, *(stage.row for stage in registered() if issubclass(stage, Stage))],
    ids=lambda row: row.__name__,
)
def test_every_row_has_an_arrow_schema_with_its_fields_in_order(row: type[Model]) -> None:
    assert arrow_schema(row).names == list(row.model_fields)


def test_only_optional_fields_are_nullable() -> None:
    schema = arrow_schema(Row)
    assert {field.name for field in schema if field.nullable} == {"error", "dropped"}


def test_a_type_that_arrow_cannot_hold_is_refused_by_name() -> None:
    class Wrong(Model):
        anything: dict[str, int]

    with pytest.raises(TypeError, match="anything"):
        arrow_schema(Wrong)


@given(
    text=st.text(max_size=20),
    start=st.floats(0, 1e5),
    length=st.floats(0, 100),
    retryable=st.booleans(),
)
def test_rows_come_back_from_arrow_as_they_went_in(text: str, start: float, length: float, *, retryable: bool) -> None:
    word = Word(start=start, end=start + length, text=text, probability=0.5)
    segment = {
        "start": start,
        "end": start + length,
        "avg_logprob": -0.1,
        "no_speech_prob": 0.0,
        "compression_ratio": 1.0,
        "words": [word],
    }
    row = TranscriptRow.model_validate({"video": KEY, "language": "en", "segments": [segment]})
    failed = TranscriptRow(video=KEY, error=RowError(stage="s", code="c", message=text, retryable=retryable))
    assert TranscriptRow.model_validate(through_arrow(row)) == row
    assert TranscriptRow.model_validate(through_arrow(failed)) == failed


def test_frames_whose_times_do_not_rise_are_refused() -> None:
    frame = {"time": 1.0, "start": 0.5, "scene": 0, "width": 2, "height": 2, "black": 0.0, "sharpness": 0.0}
    with pytest.raises(ValueError, match="rise strictly"):
        FramesRow.model_validate({"video": KEY, "frames": [frame, frame]})


def test_frames_without_their_jpeg_are_refused() -> None:
    frame = {"time": 1.0, "start": 0.5, "scene": 0, "width": 2, "height": 2, "black": 0.0, "sharpness": 0.0}
    with pytest.raises(ValueError, match="1 frames but 2 JPEGs"):
        FramesRow.model_validate({"video": KEY, "frames": [frame], "jpegs": [b"a", b"b"]})
