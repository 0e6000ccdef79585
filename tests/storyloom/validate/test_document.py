"""Rules about `KEY.json`: each test breaks one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storyloom.format.sample import ADDED
from storyloom.validate.dataset import validate_dataset
from storyloom.validate.spread import in_this_process
from tests.storyloom.validate import damage
from tests.storyloom.validate.damage import (
    SHARD,
    as_canonical,
    check,
    edit_document,
    first_key,
    members,
    replace_document,
)

Change = Callable[[dict[str, Any]], object]


def lists(**new: Any) -> Change:
    return lambda document: document.update(new)


def only(kind: str) -> Change:
    """Leave only a document's texts, or only its images."""

    def change(document: dict[str, Any]) -> None:
        other = "images" if kind == "texts" else "texts"
        kept = [value for value in document[kind] if value is not None]
        document[kind], document[other] = kept, [None] * len(kept)
        for name in document:
            if name.startswith("image_" if kind == "texts" else "text_"):
                document[name] = []
        if kind == "images":
            document["image_text_index"] = [-1] * len(kept)

    return change


def text(change: Callable[[str], str]) -> Change:
    return lambda document: document.update(texts=[one and change(one) for one in document["texts"]])


def test_a_document_of_another_version_than_the_manifest_is_refused(out: Path) -> None:
    """Hugging Face's `datasets` drops the keys that the card of version 1 does not name."""
    old = edit_document(out, lambda d: [d.pop(key) for key in ADDED] and d.update(schema="storyloom/1"))
    assert check(out) == [(SHARD, old, "schema")]
    published = damage.manifest(out)
    damage.write_files(out, published.model_copy(update={"schema_": "storyloom/1"}))
    assert {rule for _, key, rule in check(out) if key not in ("", old)} == {"schema"}


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("missing_key", lambda d: d.pop("license")),
        ("unknown_key", lists(more="x")),
        ("null_scalar", lists(title=None)),
        ("null_scalar", lists(doc_end=None)),
        ("wrong_value", lists(title=7)),
        ("wrong_value", lists(title="x" * 16_385)),
        ("wrong_value", lists(schema="storyloom/3")),
        ("wrong_value", lists(image_width=[64, 0])),
        ("wrong_value", lists(image_clip_score=[0.25, 1.5])),
        ("wrong_value", lists(image_time=[-1.0, 2.5])),
        ("not_a_float", lists(doc_start=0)),
        ("not_a_float", lists(image_time=[0.5, 2])),
        ("parallel_lists", lambda d: d["texts"].append("more")),
        ("one_of_pair", lambda d: d["texts"].__setitem__(0, "both")),
        ("one_of_pair", lambda d: (d["texts"].append(None), d["images"].append(None))),
        ("no_text", only("images")),
        ("no_image", only("texts")),
        ("member_name", lambda d: d.update(images=[one and one.split(".", 1)[1] for one in d["images"]])),
        ("text_index", lists(image_text_index=[0, 2])),
        ("text_index", lists(image_text_index=[-2, 1])),
        ("one_value_each", lists(image_shift=[0.0])),
        ("one_value_each", lists(text_source=["asr"])),
        ("chapters", lists(chapters=["Intro"])),
        ("upload_date", lists(upload_date="20240531")),
        ("fuse_status", lists(image_fuse_status=["kept", "off"])),
        ("word_count", lists(words=["so"])),
        ("word_interval", lists(words=["so"], word_start=[1.0], word_end=[9.0], text_words=[1, 0])),
        ("extra", lists(extra="[]")),
        ("extra", lists(extra='{"a":NaN}')),
        ("extra", lists(extra='{"a":1e999}')),
        ("extra", lists(extra='{"a":{"b":1,"b":2}}')),
        ("placeholder", text(lambda one: one + " <image>")),
        ("placeholder", text(lambda one: one + "<|endofchunk|>")),
        ("control_character", text(lambda one: one + "\u0007")),
        ("control_character", text(lambda one: one + "\n")),
        ("blank_text", text(lambda _: " ")),
        ("text_interval", lambda d: d.update(text_end=[d["text_end"][0], d["text_start"][1] - 0.5])),
        ("time_order", lambda d: d.update(image_time=d["image_time"][::-1])),
        (
            "position_order",
            lambda d: d.update(texts=d["texts"][::-1], images=[d["images"][2], None, d["images"][0], None][::-1]),
        ),
        ("document_span", lambda d: d.update(doc_end=d["doc_end"] - 3.0)),
        ("sample_id", None),
        ("key_pattern", None),
    ],
)
def test_a_document_that_breaks_a_rule_is_named_with_it(out: Path, rule: str, change: Change | None) -> None:
    key = first_key(out)
    other = {"sample_id": "another-0000", "key_pattern": "An.other"}.get(rule)
    if other:  # the names of the images follow from it
        edit_document(
            out, lambda d: d.update(sample_id=other, images=[i and i.replace(key, other) for i in d["images"]])
        )
    else:
        assert change is not None
        edit_document(out, change)
    assert check(out) == [(SHARD, key, rule)]


def test_a_document_with_more_images_than_the_dataset_allows_is_refused(out: Path) -> None:
    found = members(out)
    key = found[0][0].partition(".")[0]
    from tests.storyloom.validate.damage import write_members

    document = json.loads(found[0][1])
    names = [f"{key}.{n:03d}.jpg" for n in range(5)]
    document["texts"] = [None] * 5 + [one for one in document["texts"] if one]
    document["images"] = [*names, *[None] * (len(document["texts"]) - 5)]
    for name in document:
        if name.startswith("image_"):
            document[name] = (document[name] * 5)[:5]
    document["image_time"] = [document["doc_start"]] * 5
    jpeg = found[1][1]
    write_members(out, [(found[0][0], as_canonical(document)), *((name, jpeg) for name in names), *found[3:]])
    assert check(out) == [(SHARD, key, "too_many_images"), (SHARD, "", "manifest_count")]


def content(out: Path) -> bytes:
    return members(out)[0][1]


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("utf8", lambda old: old.replace(b'"title":"', b'"title":"\xff')),
        ("utf8", lambda old: old.replace(b'"title":"', b'"title":"\\ud800')),
        ("json", lambda _: b""),
        ("json", lambda old: old[:-1]),
        ("json", lambda _: b"[" * 200_000),
        ("json", lambda _: b'{"doc_end":' + b"1" * 5000 + b"}"),
        ("json", lambda _: b"[1.0]"),
        ("nan", lambda old: old.replace(b'"doc_start":', b'"doc_start":NaN,"x":')),
        ("nan", lambda old: old.replace(b'"doc_start":', b'"doc_start":-Infinity,"x":')),
        ("canonical_json", lambda old: json.dumps(json.loads(old)).encode()),
        ("canonical_json", lambda old: json.dumps(json.loads(old), separators=(",", ":")).encode()[:-1] + b"\n}"),
        (
            "canonical_json",
            lambda old: as_canonical(dict(reversed(json.loads(old).items()))).replace(b"[0.5", b"[0.50"),
        ),
        ("canonical_json", lambda old: old.replace(b'"license":""', b'"license":"x","license":""')),
    ],
)
def test_a_document_that_is_not_written_as_json_should_be_is_refused(
    out: Path, rule: str, change: Callable[[bytes], bytes]
) -> None:
    old = content(out)
    new = change(old)
    if new == old:
        pytest.skip("the document has no such number")
    key = replace_document(out, new)
    assert check(out) == [(SHARD, key, rule)]


def test_a_million_wrong_values_are_told_in_one_line(out: Path) -> None:
    edit_document(out, lists(image_shift=[1] * 1_000_000))
    (violation,) = validate_dataset(out, spread=in_this_process).violations.kept
    assert (violation.rule, violation.message) == ("wrong_value", "1000000 values break a rule")


def test_messages_hold_nothing_that_steers_a_terminal(out: Path) -> None:
    edit_document(out, lambda d: d.update({"\x1b[2J\u202e": "x"}))
    (violation,) = validate_dataset(out, spread=in_this_process).violations.kept
    assert violation.rule == "unknown_key"
    assert violation.message.isprintable()
    assert r"\x1b[2J\u202e" in violation.message
