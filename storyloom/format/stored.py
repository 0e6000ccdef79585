"""A document as its shard holds it, and the error about a shard that is not what it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from pydantic import ValidationError

from storyloom.errors import BadDataset, printable
from storyloom.format.sample import Sample, codes_name, refusal, sound_name
from storyloom.fs.url import without_secrets

WAY_OUT = (
    "Compare it with its sha256 in manifest.json, as `storyloom validate` does; then fetch it again, or write it again"
    " with `storyloom run CONFIG --only write --force`"
)


class BadShard(BadDataset):
    """A shard or its index is gone, cut off, damaged, or not what the manifest says.

    Raise it through `at`. The constructor takes a message alone, since torch's DataLoader rebuilds a worker's exception
    from its message.

    Attributes:
        shard: Path or URL of the tar file, or of its index.
        place: Where in it, such as ``document 3``; empty where it is the file.
    """

    shard = place = ""

    @classmethod
    def at(cls, shard: str, place: str, flaw: str, way_out: str = WAY_OUT) -> Self:
        """The error that names a shard, a place in it, what is wrong there, and the way out."""
        error = cls(without_secrets(f"{shard}{', ' if place else ''}{place}: {printable(flaw)}. {way_out}."))
        error.shard, error.place = shard, place
        return error


class Replaced(BadShard):
    """Another dataset was put in the place of the one that is read, or is about to be: nothing of it was given."""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as its shard holds it; nothing is checked but the tar's headers.

    Attributes:
        shard: Path or URL of the shard.
        number: Of the document in the shard, from 0.
        key: Of its members.
        content: `KEY.json` byte for byte.
        jpegs: Its images by member name, in their order; empty where only the JSON was read.
        sounds: The sounds of its texts likewise; empty in a dataset without them.
        codes: The codes of its images likewise; empty in a dataset without them.
        has_sounds: Whether the texts of its shard have sounds, as `manifest.json` says.
        has_codes: Whether the images of its shard have codes, as `manifest.json` says.
    """

    shard: str
    number: int
    key: str
    content: bytes
    jpegs: Mapping[str, bytes] = field(default_factory=dict)
    sounds: Mapping[str, bytes] = field(default_factory=dict)
    codes: Mapping[str, bytes] = field(default_factory=dict)
    has_sounds: bool = False
    has_codes: bool = False

    @property
    def size(self) -> int:
        """Bytes of its members."""
        return len(self.content) + sum(
            len(one) for kind in (self.jpegs, self.sounds, self.codes) for one in kind.values()
        )

    def bad(self, flaw: str) -> BadShard:
        """The error that says what is wrong with this document."""
        return BadShard.at(self.shard, f"document {self.number}", flaw)

    def sample(self) -> Sample:
        """The JSON, with every rule of the format checked.

        Raises:
            BadShard: It breaks a rule.
        """
        try:
            return Sample.model_validate_json(self.content)
        except ValidationError as error:
            raise self.bad(str(refusal(self.key, error))) from error

    def pictures(self, sample: Sample) -> list[bytes]:
        """The JPEGs in the order of the sample's images.

        Raises:
            BadShard: The images after the JSON are not those that it lists.
        """
        if list(self.jpegs) != sample.pictures:
            raise self.bad(f"it lists the images {sample.pictures}, but {list(self.jpegs)} follow it")
        return list(self.jpegs.values())

    def check_beside(self, images: int, texts: int) -> None:
        """See that each image has its codes and each text its sound where the shard has them, and nothing else has.

        Args:
            images: Number of the document's images.
            texts: Number of its texts.

        Raises:
            BadShard: One of these files is missing, or there is one too many.
        """
        kinds = (
            (self.codes, self.has_codes, codes_name, images, "images"),
            (self.sounds, self.has_sounds, sound_name, texts, "texts"),
        )
        for files, stated, name, count, what in kinds:
            wanted = {name(self.key, number) for number in range(count)} if stated else set()
            if lost := min(wanted - files.keys(), default=""):
                raise self.bad(f"there is no {lost!r}, but manifest.json counts such files in the shard")
            if extra := min(files.keys() - wanted, default=""):
                why = (
                    f"belongs to none of its {count} {what}"
                    if stated
                    else "is in a shard without such, by manifest.json"
                )
                raise self.bad(f"{extra!r} {why}")


def stored_document(address: str, number: int, members: Sequence[tuple[str, bytes]]) -> StoredDocument:
    """A document of its members in the tar.

    Args:
        address: Path or URL of the shard.
        number: Of the document in the shard, from 0.
        members: Names and contents, in their order.

    Raises:
        BadShard: They do not begin with the JSON.
    """
    name, content = members[0] if members else ("nothing", b"")
    if not name.endswith(".json"):
        raise BadShard.at(address, f"document {number}", f"it begins with {name!r} instead of KEY.json")
    sounds = {part: data for part, data in members[1:] if part.endswith(".opus")}
    codes = {part: data for part, data in members[1:] if part.endswith(".codes.npy")}
    jpegs = {part: data for part, data in members[1:] if part not in sounds and part not in codes}
    return StoredDocument(address, number, name.removesuffix(".json"), content, jpegs, sounds, codes)
