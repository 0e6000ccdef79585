"""The check of one shard and its `.tar.idx`, in one pass over the file."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from storyloom.format.codes import codes_shape
from storyloom.format.counts import Counts
from storyloom.format.layout import index_of
from storyloom.format.opus import LEAST, RATE, opus_samples
from storyloom.format.sample import KEY_PATTERN, Sample, codes_name, image_name, sound_name
from storyloom.format.tar import INDEX_TYPE, MAX_SAMPLE
from storyloom.fs.folder import DataFolder
from storyloom.fs.ranges import ByteRange
from storyloom.validate.document import read_document
from storyloom.validate.items import ItemsCheck
from storyloom.validate.jpeg import COLOUR, JpegHeader, decoding_problems, picture
from storyloom.validate.result import PLACE, ShardFacts, ShardResult, ShardTask
from storyloom.validate.stream import HashedStream
from storyloom.validate.tar import Member, Members
from storyloom.validate.violation import Violations

SHOWN = 5
"""Names of members in a message, at most."""

FOLD = 1000
"""Documents whose counts are summed at a time: a shard may hold any number of small ones (our choice)."""

INEXACT = RATE // 1000
"""Samples by which a sound may be shorter or longer than its text: times have 3 decimals."""

IMAGE_PART = re.compile(r"\d{3}\.jpg", re.ASCII)
CODES_PART = re.compile(r"\d{3}\.codes\.npy", re.ASCII)
SOUND_PART = re.compile(r"t\d{3}\.opus", re.ASCII)


@dataclass
class _Run:
    """Members of one key that follow each other."""

    key: str
    offset: int
    parts: list[str] = field(default_factory=list)
    document: bytes | None = None
    pictures: dict[str, JpegHeader] = field(default_factory=dict)
    sounds: dict[str, int] = field(default_factory=dict)
    """Samples of each."""
    codes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Rows and columns of each."""


class _Reader:
    def __init__(self, task: ShardTask) -> None:
        self.task = task
        self._folder = DataFolder(task.folder)
        self.violations = Violations()
        self.facts = ShardFacts()
        self.starts: list[int] = []
        self.keys: list[tuple[int, int, int]] = []
        self.videos: dict[int, int] = {}
        self._counts: list[Counts] = []
        self._understood = True
        self._seen: set[str] = set()
        self._run: _Run | None = None
        self._items: ItemsCheck | None = None

    def report(self, rule: str, message: str, key: str = "") -> None:
        self.violations.add(self.task.file, rule, message, key)

    def why(self, reason: OSError) -> str:
        """Why the shard could not be read."""
        return self._folder.why(reason)

    def read(self) -> None:
        """Check all of the shard.

        Raises:
            OSError: It cannot be read.
        """
        with self._folder.open(self.task.file) as file:
            self._read(file, file.seek(0, io.SEEK_END))

    def _read(self, file: io.RawIOBase, size: int) -> None:
        file.seek(0)
        stream = HashedStream(file)
        members = Members(stream, size, self.report)
        if self._has_items:
            self._items = ItemsCheck(self._folder, self.task.file, self.violations)
        for member in members:
            self._take(member)
        self._finish_run(cut_off=not members.whole)
        stream.drain()
        self.facts.whole = members.whole
        self.facts.filesize = stream.offset
        self.facts.sha256, self.facts.md5sum = stream.sha256.hexdigest(), stream.md5.hexdigest()
        self.facts.counts = Counts.total(self._counts) if self._understood else None
        self._finish_items(whole=members.whole)
        if members.whole and not self.facts.nsamples:
            self.report("empty_shard", "it holds no document; a split that has none has no shard")
        elif members.whole:
            self._check_index([*self.starts, members.end])

    @property
    def _has_items(self) -> bool:
        """Whether the dataset's version of the format has a table beside each shard."""
        return self.task.stated.get("schema") != "storyloom/1"

    def _finish_items(self, *, whole: bool) -> None:
        """End the check of the table, and take from it what the documents do not say."""
        counts = self.facts.counts
        if self._items is None:
            self.facts.counts = counts.without_sizes() if counts else None
            return
        if whole:
            self._items.finish()
        self.facts.items_sha256 = self._items.sha256
        self.facts.has_tokens = self._items.whole
        self.facts.counts = counts.model_copy(update={"ntokens": self._items.tokens}) if counts else None

    def _take(self, member: Member) -> None:
        key, _, part = member.name.partition(".")
        run = self._run
        if run is None or run.key != key or (part == "json" and "json" in run.parts):
            self._finish_run()
            run = self._run = _Run(key, member.offset)
            self.starts.append(member.offset)
        run.parts.append(part)
        if part == "json":
            run.document = member.data
        elif IMAGE_PART.fullmatch(part):
            self.facts.nimages += 1
            if member.data is not None and (found := self._picture(member.name, key, member.data)):
                run.pictures[part] = found
        elif SOUND_PART.fullmatch(part):
            if member.data is not None:
                self._take_sound(member.name, part, member.data, run)
        elif CODES_PART.fullmatch(part):
            if member.data is not None:
                self._take_codes(member.name, part, member.data, run)
        else:
            forms = "KEY.json, KEY.NNN.jpg, KEY.NNN.codes.npy, KEY.tNNN.opus"
            self.report("member_suffix", f"{member.name!r} is none of {forms}", key)

    def _take_sound(self, name: str, part: str, data: bytes, run: _Run) -> None:
        try:
            run.sounds[part] = opus_samples(data)
        except ValueError as flaw:
            self.report("opus", f"{name!r} is no Ogg Opus file: {flaw}", run.key)

    def _take_codes(self, name: str, part: str, data: bytes, run: _Run) -> None:
        try:
            run.codes[part] = codes_shape(data)
        except ValueError as flaw:
            self.report("codes", f"{name!r} is no file of codes: {flaw}", run.key)

    def _picture(self, name: str, key: str, data: bytes) -> JpegHeader | None:
        found = picture(data)
        if found is None:
            self.report("jpeg", f"{name!r} is no JPEG with one frame header: it starts with {data[:4]!r}", key)
            return None
        if found.components != COLOUR:
            self.report("rgb", f"{name!r} has {found.components} components, must be {COLOUR}", key)
        if not found.baseline:
            self.report("baseline", f"{name!r} is not a baseline JPEG with 8 bits", key)
        if self.task.deep and found.components == COLOUR:
            for rule, message in decoding_problems(data, found):
                self.report(rule, f"{name!r}: {message}", key)
        return found

    def _finish_run(self, *, cut_off: bool = False) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        if not KEY_PATTERN.fullmatch(run.key):
            self.report("key_pattern", f"key {run.key!r} does not match ^{KEY_PATTERN.pattern}$", run.key)
        images = [part for part in run.parts if IMAGE_PART.fullmatch(part)]
        if images != [image_name("", number)[1:] for number in range(len(images))]:
            self.report("image_numbers", f"images are numbered {_short(images)}, must be 000, 001, …", run.key)
        sounds = [part for part in run.parts if SOUND_PART.fullmatch(part)]
        if sounds and run.parts[-len(sounds) :] != [sound_name("", number)[1:] for number in range(len(sounds))]:
            message = f"sounds are numbered {_short(sounds)}, must be t000, t001, … after the images"
            self.report("sound_numbers", message, run.key)
        codes = [part for part in run.parts if CODES_PART.fullmatch(part)]
        between = [part for part in run.parts if part not in sounds][-len(codes) :]
        if codes and between != [codes_name("", number)[1:] for number in range(len(codes))]:
            message = f"codes are numbered {_short(codes)}, must be 000, 001, … after the images"
            self.report("code_numbers", message, run.key)
        if "json" not in run.parts:
            apart = run.key in self._seen
            message = "members lie apart from its document" if apart else f"{_short(run.parts)} without KEY.json"
            self.report("contiguous" if apart else "no_document", message, run.key)
            self._seen.add(run.key)
            return
        if run.parts[0] != "json":
            self.report("document_first", f"KEY.json comes after {run.parts[0]}", run.key)
        self._seen.add(run.key)
        self.facts.nsamples += 1
        self.keys.append((digest(run.key), self.task.number, run.offset))
        if run.document is not None:
            counts = (None, None, None) if cut_off else (len(images), len(sounds), len(codes))
            self._check_document(run, run.document, *counts)
        else:
            self._understood = False
            self._check_items(run, None)

    def _check_document(
        self, run: _Run, content: bytes, images: int | None, sounds: int | None, codes: int | None
    ) -> None:
        sample = read_document(run.key, content, self.task.stated, self.report)
        self._check_items(run, sample)
        if sample is None:
            self._understood = False
            return
        if images not in (None, len(sample.pictures)):
            message = f"the document lists {len(sample.pictures)} images, but {images} follow it"
            self.report("image_count", message, run.key)
        for number, stated in enumerate(zip(sample.image_width, sample.image_height, strict=True)):
            found = run.pictures.get(image_name("", number)[1:])
            if found and (found.width, found.height) != stated:
                message = f"is {found.width}x{found.height}, the document says {stated[0]}x{stated[1]}"
                self.report("image_size", f"{image_name(run.key, number)!r} {message}", run.key)
        if sounds is not None:
            self._check_sounds(run, sample, sounds)
        if codes is not None:
            self._check_codes(run, sample, codes)
        self._count(sample, run, sounds or 0)

    def _check_items(self, run: _Run, sample: Sample | None) -> None:
        if self._items is not None:
            damaged = len(run.codes) < sum(map(bool, map(CODES_PART.fullmatch, run.parts)))
            self._items.take(run.key, sample, None if damaged else [run.codes[part] for part in sorted(run.codes)])

    def _check_codes(self, run: _Run, sample: Sample, codes: int) -> None:
        """Check that a document has codes of each image, or none where the dataset has none."""
        images = len(sample.pictures)
        has_codes = self.task.stated.get("has_codes", codes > 0)
        if codes != (images if has_codes else 0):
            of_all = "one for each" if has_codes else "the manifest says that no document has any"
            self.report(
                "code_count", f"{codes} files of codes follow the document of {images} images: {of_all}", run.key
            )

    def _check_sounds(self, run: _Run, sample: Sample, sounds: int) -> None:
        """Check that a document has one for each text and as long as that, or none where the dataset has none."""
        texts = len(sample.spoken)
        has_sound = self.task.stated.get("has_sound", sounds > 0)
        if sounds != (texts if has_sound else 0):
            of_all = "one for each" if has_sound else "the manifest says that no document has any"
            self.report("sound_count", f"{sounds} sounds follow the document of {texts} texts: {of_all}", run.key)
        for number, (start, end) in enumerate(zip(sample.text_start, sample.text_end, strict=True)):
            found = run.sounds.get(sound_name("", number)[1:])
            if found is not None and abs(found - max((end - start) * RATE, LEAST)) > INEXACT:
                message = f"lasts {found / RATE:.3f} s, its text {end - start:.3f} s"
                self.report("sound_length", f"{sound_name(run.key, number)!r} {message}", run.key)

    def _count(self, sample: Sample, run: _Run, sounds: int) -> None:
        codes = sum(rows * columns for rows, columns in run.codes.values())
        self._counts.append(Counts.of(sample, sounds, codes=codes))
        self.facts.ntexts += len(sample.spoken)
        if len(self._counts) == FOLD:
            self._counts = [Counts.total(self._counts)]
        self.videos.setdefault(digest(video_of(sample)), run.offset)

    def _check_index(self, ends: list[int]) -> None:
        file = str(index_of(Path(self.task.file)))
        for start, end in pairwise(ends):
            if end - start > MAX_SAMPLE:
                message = f"the document at byte {start} has {end - start} bytes, more than {MAX_SAMPLE}"
                self.report("member_size", message)
        wanted = np.array(ends, dtype=INDEX_TYPE).tobytes()
        (found,) = self._folder.read([ByteRange(file, 0, len(wanted) + 1)])
        if isinstance(found, FileNotFoundError):
            self.violations.add(file, "missing_file", "the shard has no index, so it may be unfinished")
            return
        if isinstance(found, Exception):
            self.violations.add(file, "unreadable", self._folder.why(found))
            return
        if found != wanted:
            self.violations.add(file, "tar_idx", _index_difference(found, wanted))


def validate_shard(task: ShardTask) -> ShardResult:
    """Check a shard and its index. Any content gives a result; nothing is raised."""
    reader = _Reader(task)
    facts: ShardFacts | None = None
    try:
        reader.read()
        facts = reader.facts
    except OSError as reason:
        reader.report("unreadable", reader.why(reason))
    videos = [(video, task.number, offset) for video, offset in reader.videos.items()]
    return ShardResult(
        task.file, reader.violations, facts, np.array(reader.keys, dtype=PLACE), np.array(videos, dtype=PLACE)
    )


def digest(text: str) -> int:
    """64 bits of a hash."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def video_of(sample: Sample) -> str:
    """The identity of a sample's source video."""
    return sample.video_id or sample.video_url


def _short(parts: list[str]) -> str:
    return ", ".join([*parts[:SHOWN], *["…"] * (len(parts) > SHOWN)])


def _index_difference(found: bytes, wanted: bytes) -> str:
    if len(found) != len(wanted):
        size = "more" if len(found) > len(wanted) else len(found)
        return f"it has {size} bytes, must be {len(wanted)}: 8 for each document, and 8"
    offsets, right = np.frombuffer(found, INDEX_TYPE), np.frombuffer(wanted, INDEX_TYPE)
    place = int(np.argmax(offsets != right))
    return f"entry {place} is {offsets[place]}, must be {right[place]}"
