"""Arrow schemas derived from the pydantic models, so that no row is described twice."""

from __future__ import annotations

import functools
import types
import typing
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel

from storyloom.format.model import Model

_SCALARS: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.large_binary(),
}


@functools.cache
def arrow_schema(model: type[Model]) -> pa.Schema:
    """The Arrow schema of a row model: its fields in their order, nullable only where the model says so.

    Raises:
        TypeError: A field has a type that a row may not have.
    """
    return pa.schema(_fields(model))


def _fields(model: type[BaseModel]) -> list[pa.Field]:
    hints = typing.get_type_hints(model, include_extras=False)
    return [_field(name, hints[name]) for name in model.model_fields]


def _field(name: str, annotation: Any) -> pa.Field:
    annotation = _plain(annotation)
    optional = get_origin(annotation) in (Union, types.UnionType)
    if optional:
        (annotation,) = (arg for arg in get_args(annotation) if arg is not type(None))
    return pa.field(name, _type(name, annotation), nullable=optional)


def _type(name: str, annotation: Any) -> pa.DataType:
    annotation = _plain(annotation)
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if get_origin(annotation) is Literal:
        return pa.string()
    if get_origin(annotation) is list:
        (item,) = get_args(annotation)
        return pa.list_(_field("element", item))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return pa.struct(_fields(annotation))
    raise TypeError(f"field {name!r} has type {annotation!r}, which no Arrow type stands for")


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
