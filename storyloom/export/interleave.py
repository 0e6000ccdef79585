"""Documents with their frames among the words, as an export writes them."""

from __future__ import annotations

from storyloom.format.interleave import SILENT, Interleaving, Part, Said, interleaved, part_numbers
from storyloom.format.sample import Sample


def with_frames_among_words(sample: Sample, how: Interleaving) -> Sample:
    """A document in a mode of `storyloom.format.interleave`, for a trainer.

    In mode ``word`` a frame in a sentence that cannot be split may stand behind it, otherwise every rule of the format
    is kept. In mode ``stream`` words stand after the frames during which they end, so positions are no longer in the
    order of the times alone. An image's score and shift stay those that it has with its whole sentence.
    """
    if how.mode == "sentence":
        return sample
    columns = sample.spoken, sample.text_start, sample.text_end, sample.words_of_texts()
    said = [Said(*line) for line in zip(*columns, strict=True)]
    is_image = [name is not None for name in sample.images]
    items = interleaved(how, is_image, sample.image_time, said, (sample.doc_start, sample.doc_end))
    pictures = sample.pictures
    parts = [item for item in items if isinstance(item, Part)]
    words = [word for part in parts for word in part.words]
    return sample.model_copy(
        update={
            "texts": [item.text if isinstance(item, Part) else None for item in items],
            "images": [None if isinstance(item, Part) else pictures[item] for item in items],
            "image_text_index": part_numbers(items, sample.image_time, sample.image_text_index),
            "text_start": [part.start for part in parts],
            "text_end": [part.end for part in parts],
            "text_source": [SILENT if part.number < 0 else sample.text_source[part.number] for part in parts],
            "text_words": [len(part.words) for part in parts],
            "words": [word.text for word in words],
            "word_start": [word.start for word in words],
            "word_end": [word.end for word in words],
        }
    )
