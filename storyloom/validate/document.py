"""The rules about one `KEY.json`. All of those about its content are `storyloom.format.sample.Sample`'s."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from storyloom.format.sample import MANY_ERRORS, Sample
from storyloom.validate.rules import DOCUMENT
from storyloom.validate.tar import OnViolation

PYDANTIC = {"missing": "missing_key", "extra_forbidden": "unknown_key", "finite_number": "nan"}
"""Rule names of pydantic's own errors; an error that is neither here nor a rule of `Sample` is `wrong_value`."""


def read_document(key: str, content: bytes, stated: Mapping[str, Any], report: OnViolation) -> Sample | None:
    """The document in these bytes; None when it breaks a rule, which is reported.

    Args:
        key: Key of its members.
        content: Bytes of the member `KEY.json`.
        stated: What the dataset's manifest says of every document: `max_images`, `schema`; empty without one.
        report: Called with each violation.
    """
    value = _parsed(key, content, report)
    if value is None:
        return None
    try:
        sample = Sample.model_validate(value, context=dict(stated))
    except ValidationError as error:
        _report_all(key, error, report)
        return None
    if sample.sample_id != key:
        report("sample_id", f"sample_id is {sample.sample_id!r}, but the members are those of {key!r}", key)
    return sample


def _parsed(key: str, content: bytes, report: OnViolation) -> dict[str, Any] | None:
    not_finite: list[str] = []
    try:
        value = json.loads(content.decode(), parse_constant=not_finite.append)
    except UnicodeDecodeError as reason:
        report("utf8", f"it is not UTF-8: {reason}", key)
        return None
    except (ValueError, RecursionError) as reason:
        report("json", f"it is not JSON: {reason}", key)
        return None
    if not_finite:
        report("nan", f"it holds {not_finite[0]}", key)
        return None
    if not isinstance(value, dict):
        report("json", f"it holds a {type(value).__name__}, must be an object", key)
        return None
    return value if _written_well(key, content, value, report) else None


def _written_well(key: str, content: bytes, value: dict[str, Any], report: OnViolation) -> bool:
    """Compare with the canonical JSON of the document; False when its texts cannot be encoded."""
    try:
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as reason:
        report("utf8", f"it holds half a surrogate pair: {reason}", key)
        return False
    except RecursionError as reason:
        report("json", f"it is nested too deep: {reason}", key)
        return False
    if canonical != content:
        pairs = enumerate(zip(canonical, content, strict=False))
        place = next((n for n, (wanted, found) in pairs if wanted != found), min(len(canonical), len(content)))
        message = f"from byte {place} on it differs from sorted keys, compact separators and unescaped UTF-8"
        report("canonical_json", f"{message}: {content[place : place + 24]!r}", key)
    return True


def _report_all(key: str, error: ValidationError, report: OnViolation) -> None:
    if error.error_count() > MANY_ERRORS:
        report("wrong_value", f"{error.error_count()} values break a rule", key)
        return
    for one in error.errors(include_url=False, include_context=False):
        place = ".".join(str(step) for step in one["loc"])
        rule = PYDANTIC.get(one["type"], one["type"] if one["type"] in DOCUMENT else "wrong_value")
        if one["input"] is None and rule in ("wrong_value", "not_a_float"):
            rule = "null_scalar"
        rule = "key_pattern" if one["type"] == "key_pattern" else rule
        report(rule, f"{place}: {one['msg']}" if place else one["msg"], key)
