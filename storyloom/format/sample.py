"""A shard's sample: the model of `KEY.json`, with every rule of docs/format.md that concerns one document."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import accumulate, islice, pairwise
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from storyloom.format.model import MOST_SECONDS, Model
from storyloom.format.tokens import special_token

SCHEMA = "storyloom/2"
"""Name and version of the format that is written. Version 1, which lacks the keys of `ADDED`, is still read."""

SchemaName = Literal["storyloom/1", "storyloom/2"]


def added(images: int, texts: int) -> dict[str, Any]:
    """The keys that version 2 added, with the values of a document in which they are unknown, as one of version 1.

    Args:
        images: Number of the document's images.
        texts: Number of its texts.
    """
    return {
        "channel": "",
        "chapter_start": [],
        "chapters": [],
        "extra": "{}",
        "image_caption": [""] * images,
        "image_fuse_status": ["off"] * images,
        "image_fused": [""] * images,
        "lag": 0.0,
        "lag_confidence": 0.0,
        "text_words": [0] * texts,
        "upload_date": "",
        "video_start": 0.0,
        "word_end": [],
        "word_start": [],
        "words": [],
    }


ADDED = frozenset(added(0, 0))
"""Names of the keys that version 2 added."""

FUSE_STATUS = re.compile(r"off|fused|(?:kept|failed):[a-z_]+")
"""What became of the fusion of what is said and shown at an image."""

KEY_PATTERN = re.compile(r"[0-9a-z][0-9a-z_-]{0,63}")
"""No dots, since readers cut a member's name at its first one; Hugging Face drops names that start with ``__``."""

PLACEHOLDERS_1 = ("<image>", "<video>", "<audio>", "<|endofchunk|>")
"""Literals that version 1 kept out of texts; version 2 keeps out all of `tokens`."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Unicode's category Cc, control characters."""

MANY_ERRORS = 100
"""Errors of one document that are told apart (our choice)."""

IMAGE_DIGITS = 3
"""Digits of the number of an image, or of a text's sound, in its member name: so at most 1,000 of each a document."""

MOST_SOUNDS = 10**IMAGE_DIGITS
"""Texts of a document whose sound is kept."""


MAX_NAME = 16_384
"""Characters of a URL, a title, a licence and their like (our choice): they are repeated and counted. Where lists of
videos are read, texts are cut to a quarter of it."""


class FormatError(ValueError):
    """A document or shard breaks a rule of the shard format and is refused.

    Args:
        key: Key of the document, or name of the file.
        rule: Short machine-readable name of the rule, e.g. ``placeholder``; docs/errors.md lists them all.
        message: What is wrong with which value, and how to fix it.
    """

    def __init__(self, key: str, rule: str, message: str) -> None:
        super().__init__(f"{key}: {message} [{rule}]")
        self.key = key
        self.rule = rule


def _broken(rule: str, message: str) -> PydanticCustomError:
    """A validation error whose type is the name of the rule."""
    # pydantic formats the message as a template: braces that come from the data must not be taken for fields
    return PydanticCustomError(rule, "{message}", {"message": message})


def _real_float(value: Any) -> Any:
    if not isinstance(value, float):
        raise _broken("not_a_float", f"{value!r} must be a float such as 2.0: readers infer types from few documents")
    return value


def _key(value: Any) -> Any:
    if isinstance(value, str) and not KEY_PATTERN.fullmatch(value):
        raise _broken("key_pattern", f"key {value!r} does not match ^{KEY_PATTERN.pattern}$")
    return value


Real = Annotated[float, BeforeValidator(_real_float), Field(allow_inf_nan=False)]
Float = Annotated[Real, Field(ge=-MOST_SECONDS, le=MOST_SECONDS)]
Time = Annotated[Real, Field(ge=0.0, le=MOST_SECONDS)]
Score = Annotated[Real, Field(ge=-1.0, le=1.0)]
Name = Annotated[str, Field(max_length=MAX_NAME)]
Pixels = Annotated[int, Field(ge=1, le=65_535)]


class TimedWord(NamedTuple):
    """A spoken word, and when it begins and ends, in seconds."""

    text: str
    start: float
    end: float


class Sample(Model):
    """One interleaved document as a shard holds it. Every key is required, nothing is converted.

    `Sample.model_validate(data, context={"max_images": n, "schema": name})` also bounds the number of images, and asks
    for this version of the format.

    Attributes:
        schema_: Name and version of the format; the key in JSON is ``schema``.
        sample_id: Key of the sample: the stem of its members' names.
        texts: By position; None where the position is an image.
        images: By position, the full name of the tar member; None where the position is a text.
        image_time: Seconds, presentation time of each image.
        image_width: Pixels of each image.
        image_height: Pixels of each image.
        image_text_index: For each image the index of its text among the texts that are not None; -1 without one.
        image_clip_score: Similarity of each image and its text; -1.0 without one.
        image_shift: Seconds by which the aligner moved the image's text against the clock.
        image_caption: What a model says that each image shows; empty without one.
        image_fused: What is said and what is shown at each image, as one text; empty where its status is another than
            ``fused``.
        image_fuse_status: ``fused``; ``kept:`` and why what was said stays as it is; ``failed:`` and why; or ``off``.
        text_start: Seconds, of each text's first word.
        text_end: Seconds, of each text's last word.
        text_source: Where each text comes from, e.g. ``asr``; ``fused`` where it stands instead of what was said.
        text_words: How many of the words belong to each text; 0 without word times.
        words: The words of all texts, in time order; empty without word times.
        word_start: Seconds, of each word.
        word_end: Seconds, of each word.
        video_id: The manifest's id of the video.
        video_url: URL of the media.
        title: Empty when unknown.
        doc_start: Seconds, of the document's first frame or word.
        doc_end: Seconds, of its last frame or word.
        language: BCP 47 code; empty when unknown.
        license: Empty when unknown.
        extra: The manifest's other columns, as a JSON object.
        channel: Who published the video, as its site says; empty when unknown.
        upload_date: When, as ``2024-05-31``; empty when unknown.
        chapters: Titles of the video's chapters, as its site says.
        chapter_start: Seconds, of each.
        lag: Seconds by which speech follows the picture, as the aligner estimated it for the video.
        lag_confidence: 0 to 1; 0.0 where no lag was estimated.
        video_start: Seconds in the source file at which the video starts; 0.0 but for a clip of a longer file.
    """

    model_config = ConfigDict(strict=True)

    schema_: SchemaName = Field(alias="schema")
    sample_id: Annotated[str, BeforeValidator(_key)]
    texts: list[str | None]
    images: list[str | None]
    image_time: list[Time]
    image_width: list[Pixels]
    image_height: list[Pixels]
    image_text_index: list[int]
    image_clip_score: list[Score]
    image_shift: list[Float]
    image_caption: list[str]
    image_fused: list[str]
    image_fuse_status: list[Name]
    text_start: list[Time]
    text_end: list[Time]
    text_source: list[Annotated[Name, Field(min_length=1)]]
    text_words: list[Annotated[int, Field(ge=0)]]
    words: list[str]
    word_start: list[Time]
    word_end: list[Time]
    video_id: Name
    video_url: Name
    title: Name
    doc_start: Time
    doc_end: Time
    language: Name
    license: Name
    extra: str
    channel: Name
    upload_date: str
    chapters: list[Name]
    chapter_start: list[Time]
    lag: Float
    lag_confidence: Annotated[Time, Field(le=1.0)]
    video_start: Time

    @property
    def spoken(self) -> list[str]:
        """The texts without the positions of images."""
        return [text for text in self.texts if text is not None]

    @property
    def pictures(self) -> list[str]:
        """Member names of the images, without the positions of texts."""
        return [image for image in self.images if image is not None]

    @model_validator(mode="after")
    def _of_the_dataset(self, info: ValidationInfo) -> Self:
        wanted = (info.context or {}).get("schema", self.schema_)
        if self.schema_ != wanted:
            raise _broken("schema", f"schema is {self.schema_}, but the dataset's is {wanted}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _of_version_1(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("schema") != "storyloom/1":
            return values
        if later := sorted(ADDED & values.keys()):
            raise _broken("unknown_key", f"{later[0]} is no key of storyloom/1")
        return values | added(*(_length(values.get(name)) for name in ("image_time", "text_start")))

    @model_validator(mode="after")
    def _positions(self) -> Self:
        if len(self.texts) != len(self.images):
            message = f"{len(self.texts)} texts but {len(self.images)} images: one entry per position in both"
            raise _broken("parallel_lists", message)
        for position, pair in enumerate(zip(self.texts, self.images, strict=True)):
            if sum(item is not None for item in pair) != 1:
                raise _broken("one_of_pair", f"position {position} must hold either a text or an image, else null")
        if not self.spoken:
            raise _broken("no_text", "a document needs at least one text")
        if not self.pictures:
            raise _broken("no_image", "a document needs at least one image")
        return self

    @model_validator(mode="after")
    def _images(self, info: ValidationInfo) -> Self:
        limit = (info.context or {}).get("max_images", 10**IMAGE_DIGITS)
        pictures, texts = self.pictures, len(self.spoken)
        if len(pictures) > limit:
            raise _broken("too_many_images", f"{len(pictures)} images, but the dataset's max_images is {limit}")
        for number, name in enumerate(pictures):
            if name != image_name(self.sample_id, number):
                raise _broken("member_name", f"image {name!r} must be {image_name(self.sample_id, number)!r}")
        for index in self.image_text_index:
            if not -1 <= index < texts:
                raise _broken("text_index", f"image_text_index {index} points at none of {texts} texts")
        return self

    @model_validator(mode="after")
    def _one_value_each(self) -> Self:
        for prefix, count in (("image_", len(self.pictures)), ("text_", len(self.spoken))):
            for name in (field for field in type(self).model_fields if field.startswith(prefix)):
                if len(getattr(self, name)) != count:
                    message = f"{name} has {len(getattr(self, name))} values, but there are {count} {prefix[:-1]}s"
                    raise _broken("one_value_each", message)
        return self

    @model_validator(mode="after")
    def _language(self) -> Self:
        captions = filter(None, [*self.image_caption, *self.image_fused])  # an empty one stands for none
        for text in [*self.spoken, *captions, *self.words]:
            if token := self._token_in(text):
                raise _broken("placeholder", f"text {text!r} holds {token!r}, which is no text to a trainer")
            if CONTROL.search(text):
                raise _broken("control_character", f"text {text!r} holds a control character")
            if not text.strip():
                raise _broken("blank_text", f"text {text!r} says nothing")
        return self

    @model_validator(mode="after")
    def _fusions(self) -> Self:
        for fused, status in zip(self.image_fused, self.image_fuse_status, strict=True):
            if not FUSE_STATUS.fullmatch(status):
                raise _broken("fuse_status", f"image_fuse_status {status!r} does not match {FUSE_STATUS.pattern}")
            if bool(fused) != (status == "fused"):
                raise _broken("fuse_status", f"image_fused is {fused!r} where image_fuse_status is {status!r}")
        return self

    @model_validator(mode="after")
    def _word_times(self) -> Self:
        counts = {name: len(getattr(self, name)) for name in ("words", "word_start", "word_end")}
        counts["text_words"] = sum(self.text_words)
        if len(set(counts.values())) > 1:
            raise _broken("word_count", f"the numbers of words differ: {counts}")
        times = list(zip(self.word_start, self.word_end, strict=True))
        if any(later < earlier for (earlier, _), (later, _) in pairwise(times)):
            raise _broken("time_order", f"word_start must not fall: {self.word_start}")
        for words, start, end in zip(self.words_of_texts(), self.text_start, self.text_end, strict=True):
            for word in words:
                if not start <= word.start <= word.end <= end:
                    message = (
                        f"word {word.text!r} from {word.start} to {word.end} is not in its text's [{start}, {end}]"
                    )
                    raise _broken("word_interval", message)
            for between in (" ", ""):
                if token := special_token(between.join(word.text for word in words)):
                    raise _broken("placeholder", f"words form {token!r}, which is no text to a trainer")
        return self

    def words_of_texts(self) -> list[list[TimedWord]]:
        """The words of each text, in time order; empty lists without word times."""
        words = map(TimedWord, self.words, self.word_start, self.word_end)
        return [list(islice(words, count)) for count in self.text_words]

    def _token_in(self, text: str) -> str:
        if self.schema_ == "storyloom/1":
            return next((token for token in PLACEHOLDERS_1 if token in text), "")
        return special_token(text)

    @model_validator(mode="after")
    def _time_order(self) -> Self:
        intervals = list(zip(self.text_start, self.text_end, strict=True))
        if backwards := next(((start, end) for start, end in intervals if end < start), None):
            raise _broken("text_interval", f"a text ends at {backwards[1]}, before it starts at {backwards[0]}")
        for name in ("image_time", "text_start"):
            if any(later < earlier for earlier, later in pairwise(getattr(self, name))):
                raise _broken("time_order", f"{name} must not fall: {getattr(self, name)}")
        if [image is not None for image in self.images] != frames_first(self.image_time, intervals):
            message = "positions must be in time order, a frame before the text whose interval holds it"
            raise _broken("position_order", message)
        inside = [*self.image_time, *self.text_start, *self.text_end]
        if min(inside) < self.doc_start or max(inside) > self.doc_end:
            message = f"times from {min(inside)} to {max(inside)} leave [{self.doc_start}, {self.doc_end}]"
            raise _broken("document_span", message)
        return self

    @model_validator(mode="after")
    def _of_the_source(self) -> Self:
        if len(self.chapters) != len(self.chapter_start):
            message = f"{len(self.chapters)} chapters but {len(self.chapter_start)} values of chapter_start"
            raise _broken("chapters", message)
        if any(later < earlier for earlier, later in pairwise(self.chapter_start)):
            raise _broken("chapters", f"chapter_start must not fall: {self.chapter_start}")
        if self.upload_date and not _is_date(self.upload_date):
            raise _broken("upload_date", f"upload_date {self.upload_date!r} is no date such as 2024-05-31")
        if not _is_object(self.extra):
            raise _broken(
                "extra", "extra must be a JSON object as a string, such as '{}', each key once, numbers finite"
            )
        return self

    def to_json_bytes(self) -> bytes:
        """The bytes of `KEY.json`: UTF-8, sorted keys, no spaces, every time and score with a decimal point."""
        values = self.model_dump(by_alias=True, exclude=set(ADDED) if self.schema_ == "storyloom/1" else None)
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_object(text: str) -> bool:
    """Whether every JSON parser reads the same object in it: no key twice, every number finite."""
    try:
        value = json.loads(text, parse_constant=_no_number, object_pairs_hook=once_each)
        json.dumps(value, allow_nan=False)
        return isinstance(value, dict)
    except (ValueError, RecursionError):
        return False


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of JSON's pairs; a hook of `json.loads` that refuses a key that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def image_name(key: str, number: int) -> str:
    """Name of a document's image in the tar, e.g. ``KEY.000.jpg``."""
    return f"{key}.{number:0{IMAGE_DIGITS}d}.jpg"


def sound_name(key: str, number: int) -> str:
    """Name of the sound of a document's text in the tar, e.g. ``KEY.t000.opus``; the ``t`` tells texts from images."""
    return f"{key}.t{number:0{IMAGE_DIGITS}d}.opus"


def codes_name(key: str, number: int) -> str:
    """Name of the codes of a document's image in the tar, e.g. ``KEY.000.codes.npy``."""
    return f"{key}.{number:0{IMAGE_DIGITS}d}.codes.npy"


def frames_first(image_times: Sequence[float], text_intervals: Sequence[tuple[float, float]]) -> list[bool]:
    """The order of a document's positions: for each, whether it is an image (else a text).

    A frame comes right before the first text whose half-open interval holds it; a frame that none holds comes after
    the texts that started before it. At equal time the frame comes first.

    Args:
        image_times: Seconds, in time order.
        text_intervals: Start and end in seconds, in order of their starts.
    """
    starts = [start for start, _ in text_intervals]
    latest_ends = list(accumulate((end for _, end in text_intervals), max))
    following = []
    for time in image_times:
        holder = bisect_right(latest_ends, time)  # the first text that ends after it; texts after that start later
        held = holder < len(starts) and starts[holder] <= time
        following.append(min(holder if held else len(starts), bisect_left(starts, time)))
    positions = sorted([(text, 0) for text in following] + [(text, 1) for text in range(len(starts))])
    return [kind == 0 for _, kind in positions]


def refusal(key: str, error: ValidationError) -> FormatError:
    """The first broken rule of a document as a `FormatError`; rules of pydantic keep pydantic's names."""
    if error.error_count() > MANY_ERRORS:  # pydantic would make an object of each
        return FormatError(key, "wrong_value", f"{error.error_count()} values break a rule")
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    return FormatError(key, first["type"], f"{place}: {first['msg']}" if place else first["msg"])
