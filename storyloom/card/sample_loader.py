"""How Megatron-Energon turns a raw sample of this dataset into its sample types.

Energon loads a copy of this file from the dataset's `.nv-meta` folder; it imports the standard library only.
"""

from typing import Any


def part_filter(part: str) -> bool:
    """Whether a member of the sample is needed: the document and its images."""
    return part == "json" or part.endswith(".jpg")


def interleaved(sample: dict[str, Any]) -> dict[str, Any]:
    """Fields of an `InterleavedSample`: texts and decoded images in the document's order."""
    document = sample["json"]
    pairs = zip(document["texts"], document["images"], strict=True)
    return {"sequence": [_image(sample, name) if text is None else text for text, name in pairs]}


def similarity(sample: dict[str, Any]) -> dict[str, Any]:
    """Fields of a `SimilarityInterleavedSample`: images, texts, and each image's text (-1 where it has none)."""
    document = sample["json"]
    return {
        "images": [_image(sample, name) for name in document["images"] if name is not None],
        "texts": [text for text in document["texts"] if text is not None],
        "matched_text_indices": document["image_text_index"],
    }


def _image(sample: dict[str, Any], name: str) -> Any:
    """The decoded image: Energon names a sample's parts without its key."""
    return sample[name.partition(".")[2]]
