"""The document class of the reader: frames and texts in order, each with its times."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storyloom.errors import BadDataset, printable
from storyloom.format.codes import read_codes
from storyloom.format.interleave import SILENT, Mode, Part, Said, check_mode, interleaved, part_numbers
from storyloom.format.model import MOST_SECONDS
from storyloom.format.sample import SCHEMA, Pixels, SchemaName, TimedWord, added, codes_name, sound_name
from storyloom.format.tar import MAX_PIXELS
from storyloom.format.texts import Texts, placed, text_numbers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of the video.

    Attributes:
        time: Seconds from the start of the video, presentation time.
        jpeg: The file's bytes; `pixels` decodes them.
        width: Pixels.
        height: Pixels.
        similarity: With its text, by the model that the dataset's card names; -1.0 without one.
        shift: Seconds by which the text was moved against the clock.
        text: Number of its text among the document's texts; -1 without one.
        caption: What a model says that it shows; empty without one.
        fused: What is said and what is shown, as one text; empty without one.
        fuse_status: ``fused``; ``kept:`` and why what was said stays; ``failed:`` and why; or ``off``.
        codes: Its discrete codes, uint16, shape (rows, columns); None in a dataset without codes.
    """

    time: float
    jpeg: bytes = field(repr=False)
    width: int
    height: int
    similarity: float
    shift: float
    text: int
    caption: str = ""
    fused: str = ""
    fuse_status: str = "off"
    codes: NDArray[np.uint16] | None = field(default=None, repr=False, compare=False)

    def pixels(self) -> NDArray[np.uint8]:
        """The decoded picture: RGB, uint8, shape (height, width, 3).

        Raises:
            BadDataset: It is no JPEG of `width` and `height`, is damaged, or has over 64 million pixels.
        """
        import numpy as np
        from PIL.JpegImagePlugin import JpegImageFile

        try:
            # Image.open would open other formats, too, some of them with programs, and warn of a size
            with JpegImageFile(io.BytesIO(self.jpeg)) as image:
                if image.size == (self.width, self.height) and self.width * self.height <= MAX_PIXELS:
                    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
                flaw = f"it has {image.width}x{image.height} pixels, should have {self.width}x{self.height}"
        except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as reason:
            flaw = printable(str(reason))
        raise BadDataset(f"the frame at {self.time} s cannot be decoded: {flaw}")


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence that was spoken, or a part of one.

    Attributes:
        start: Seconds from the start of the video, of its first word.
        end: Seconds, of its last word.
        text: The words.
        source: Where they come from, e.g. ``asr``; ``silence`` for the ``...`` of `interleave` ``stream``.
        words: Each word with its start and end in seconds, in time order; empty without word times.
        sound: An Ogg Opus file from `start` to `end`, with one channel; empty in a dataset without sound, and for a
            part of a sentence.
    """

    start: float
    end: float
    text: str
    source: str
    words: tuple[TimedWord, ...] = field(default=(), repr=False)
    sound: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Document:
    """An interleaved document.

    Attributes:
        key: Unique in the dataset.
        items: Frames and texts in the document's order: time order, a frame before the text whose interval holds it,
            unless it was read with another `interleave`.
        video_id: The manifest's id of the video.
        video_url: URL of the media.
        title: Empty when unknown.
        language: BCP 47 code; empty when unknown.
        license: Empty when unknown.
        start: Seconds, of the document's first frame or word.
        end: Seconds, of its last.
        extra: The manifest's other columns, as a JSON object.
        channel: Who published the video; empty when unknown.
        upload_date: When, as ``2024-05-31``; empty when unknown.
        chapters: Start in seconds and title of each chapter of the video.
        lag: Seconds by which speech follows the picture in the video; 0.0 where unclear.
        lag_confidence: 0 to 1.
        video_start: Seconds in the source file at which the video starts.
    """

    key: str
    items: tuple[Frame | Text, ...] = field(repr=False)
    video_id: str
    video_url: str
    title: str
    language: str
    license: str
    start: float
    end: float
    extra: str
    channel: str
    upload_date: str
    chapters: tuple[tuple[float, str], ...]
    lag: float
    lag_confidence: float
    video_start: float

    @property
    def frames(self) -> list[Frame]:
        """The frames, in time order."""
        return [item for item in self.items if isinstance(item, Frame)]

    @property
    def texts(self) -> list[Text]:
        """The texts, in time order; `Frame.text` counts them."""
        return [item for item in self.items if isinstance(item, Text)]

    def with_texts(self, texts: Texts) -> Document:
        """The document with captions or fused texts beside its frames: the rule of `storyloom.format.texts`."""
        if texts == "text":
            return self
        frames, said = self.frames, self.texts
        text_of = [frame.text for frame in frames]
        shown = [[frame.caption for frame in frames], [frame.fused for frame in frames]]
        order = list(placed(texts, [isinstance(item, Frame) for item in self.items], text_of, *shown))
        numbers = text_numbers(order, text_of)
        items: list[Frame | Text] = []
        for kind, number in order:
            if kind == "image":
                items.append(replace(frames[number], text=numbers[number]))
            else:
                items.append(said[number] if kind == "text" else _told(frames[number], kind, said))
        return replace(self, items=tuple(items))

    def interleaved(self, mode: Mode, fps: float = 1.0) -> Document:
        """The document with its frames among the words: the rule of `storyloom.format.interleave`.

        A part of a sentence has its own words and their times, and no sound, which is the sentence's.

        Args:
            mode: ``sentence``, as the shard has it; ``word``; or ``stream``.
            fps: Intervals a second of ``stream``, 1 or 2.

        Raises:
            UsageError: There is no such mode, or none at so many intervals.
        """
        how = check_mode(mode, fps)
        if how.mode == "sentence":
            return self
        frames, said = self.frames, self.texts
        times, text_of = [frame.time for frame in frames], [frame.text for frame in frames]
        spoken = [Said(text.text, text.start, text.end, text.words) for text in said]
        is_image = [isinstance(item, Frame) for item in self.items]
        order = interleaved(how, is_image, times, spoken, (self.start, self.end))
        numbers = part_numbers(order, times, text_of)
        items = [
            _part(item, said) if isinstance(item, Part) else replace(frames[item], text=numbers[item]) for item in order
        ]
        return replace(self, items=tuple(items))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from storyloom.reader.html import document_html

        return document_html(self)


def _part(part: Part, said: Sequence[Text]) -> Text:
    """A text, or a part of one, or a silence."""
    if part.number < 0:
        return Text(part.start, part.end, part.text, SILENT)
    if part.whole:
        return said[part.number]
    return Text(part.start, part.end, part.text, said[part.number].source, tuple(part.words))


def _told(frame: Frame, kind: str, said: Sequence[Text]) -> Text:
    """A frame's caption, or its fused text, which has the interval of what was said."""
    if kind == "caption":
        return Text(frame.time, frame.time, frame.caption, kind)
    start, end = (said[frame.text].start, said[frame.text].end) if frame.text >= 0 else (frame.time, frame.time)
    return Text(start, end, frame.fused, kind)


Number = Annotated[float, Field(ge=-MOST_SECONDS, le=MOST_SECONDS)]


class _Values(BaseModel):
    """The types of the values of `KEY.json` that are read; a missing one is named where it is looked for."""

    model_config = ConfigDict(strict=True)

    sample_id: str = ""
    texts: list[str | None] = []
    images: list[str | None] = []
    image_time: list[Number] = []
    image_width: list[Pixels] = []
    image_height: list[Pixels] = []
    image_text_index: list[int] = []
    image_clip_score: list[Number] = []
    image_shift: list[Number] = []
    image_caption: list[str] = []
    image_fused: list[str] = []
    image_fuse_status: list[str] = []
    text_start: list[Number] = []
    text_end: list[Number] = []
    text_source: list[str] = []
    text_words: list[Annotated[int, Field(ge=0)]] = []
    words: list[str] = []
    word_start: list[Number] = []
    word_end: list[Number] = []
    video_id: str = ""
    video_url: str = ""
    title: str = ""
    doc_start: Number = 0.0
    doc_end: Number = 0.0
    language: str = ""
    license: str = ""
    extra: str = ""
    channel: str = ""
    upload_date: str = ""
    chapters: list[str] = []
    chapter_start: list[Number] = []
    lag: Number = 0.0
    lag_confidence: Number = 0.0
    video_start: Number = 0.0


def parse(
    content: bytes,
    jpegs: Mapping[str, bytes],
    sounds: Mapping[str, bytes] | None = None,
    codes: Mapping[str, bytes] | None = None,
) -> Document:
    """The document of a `KEY.json`, its images, the sounds of its texts and the codes of its images.

    Rules of the format that reading does not depend on are not checked; `storyloom validate` checks them.

    Args:
        content: Of `KEY.json`.
        jpegs: Images by member name.
        sounds: Sounds by member name; None or empty in a dataset without sound.
        codes: Files of codes by member name; None or empty in a dataset without codes.

    Raises:
        ValueError: The bytes are something else; the message says what is wrong.
    """
    try:
        values = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(values, dict) or values.get("schema") not in get_args(SchemaName):
        raise ValueError(f"it is no document of {' or '.join(get_args(SchemaName))}")
    try:
        _Values.model_validate(values)
        if values["schema"] != SCHEMA:
            values = added(len(values.get("image_time", [])), len(values.get("text_start", []))) | values
        return _document(values, jpegs, sounds or {}, codes or {})
    except ValidationError as error:
        raise ValueError(f"{error.error_count()} of its values have another type or range than the format's") from None
    except KeyError as error:
        raise ValueError(f"there is no {error}") from None
    except (TypeError, StopIteration) as error:
        raise ValueError(str(error) or "it has more positions than values") from None


OF_IMAGES = ("width", "height", "clip_score", "shift", "text_index", "caption", "fused", "fuse_status")
"""Keys of what is known of each image, without their beginning, in the order of a `Frame`'s fields."""


def _words_of_texts(values: Mapping[str, Any]) -> list[tuple[TimedWord, ...]]:
    timed = zip(values["words"], values["word_start"], values["word_end"], strict=True)
    words = [TimedWord(*one) for one in timed]
    ends = list(accumulate(values["text_words"], initial=0))
    if ends[-1] != len(words):
        raise ValueError(f"it has {len(words)} words, but its texts count {ends[-1]}")
    return [tuple(words[start:end]) for start, end in pairwise(ends)]


def _document(
    values: Mapping[str, Any], jpegs: Mapping[str, bytes], sounds: Mapping[str, bytes], codes: Mapping[str, bytes]
) -> Document:
    in_order = [jpegs[name] for name in values["images"] if name is not None]
    words = [text for text in values["texts"] if text is not None]
    of_images = [values[f"image_{name}"] for name in OF_IMAGES]
    heard = [sounds[sound_name(values["sample_id"], number)] if sounds else b"" for number in range(len(words))]
    of_texts = [values["text_start"], values["text_end"], words, values["text_source"], _words_of_texts(values), heard]
    drawn = [read_codes(codes[codes_name(values["sample_id"], n)]) if codes else None for n in range(len(in_order))]
    frames = iter([Frame(*row) for row in zip(values["image_time"], in_order, *of_images, drawn, strict=True)])
    texts = iter([Text(*row) for row in zip(*of_texts, strict=True)])
    items: list[Frame | Text] = []
    for name, text in zip(values["images"], values["texts"], strict=True):
        if (name is None) == (text is None):
            raise ValueError(f"position {len(items)} must hold either a text or an image")
        items.append(next(texts) if name is None else next(frames))
    return Document(
        key=values["sample_id"],
        items=tuple(items),
        video_id=values["video_id"],
        video_url=values["video_url"],
        title=values["title"],
        language=values["language"],
        license=values["license"],
        start=values["doc_start"],
        end=values["doc_end"],
        extra=values["extra"],
        channel=values["channel"],
        upload_date=values["upload_date"],
        chapters=tuple(zip(values["chapter_start"], values["chapters"], strict=True)),
        lag=values["lag"],
        lag_confidence=values["lag_confidence"],
        video_start=values["video_start"],
    )
