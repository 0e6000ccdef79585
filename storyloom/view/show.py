"""One document printed as text, in the order in which a model reads it."""

from __future__ import annotations

import os
from functools import partial

from rich.console import Console
from rich.text import Text

from storyloom.errors import UsageError
from storyloom.format.manifest import finished_dataset
from storyloom.format.reader import ShardReader
from storyloom.format.sample import Sample
from storyloom.view.text import LONGEST_NAME, LONGEST_SENTENCE, shown


def find_sample(output: str | os.PathLike[str], key: str | None) -> Sample:
    """A document of a finished dataset, in a folder or at a URL, by its key; the first one without a key.

    Raises:
        UsageError: The place holds no finished dataset, or no such document.
        BadShard: A shard is damaged.
    """
    published = finished_dataset(output)
    reader = ShardReader(output, walk=True)
    found = reader.find(published.shards, key)
    if found is None:
        raise UsageError(f"no document {key!r} in {reader.folder.address}")
    return found.sample()


def show_sample(sample: Sample, console: Console) -> None:
    """Print a document: a line per frame and per sentence. Texts are printed as `shown` has them, never as markup."""
    title = shown(sample.title or sample.video_url, LONGEST_NAME)
    say = partial(console.print, soft_wrap=True)  # wrapping a long word takes time that grows with its square
    say(Text.assemble((sample.sample_id, "bold"), f"  {title}  {sample.doc_start:.1f}–{sample.doc_end:.1f} s"))
    image = text = 0
    for name, sentence in zip(sample.images, sample.texts, strict=True):
        if name is not None:
            paired = sample.image_text_index[image] >= 0
            score = f"score {sample.image_clip_score[image]:+.3f}" if paired else "no sentence of its own"
            size = f"{sample.image_width[image]}x{sample.image_height[image]}"
            say(Text.assemble((f"  {sample.image_time[image]:8.2f} s  ▣ {name}", "cyan"), f"  {size}  {score}"))
            for what, told in (("shows", sample.image_caption[image]), ("fused", sample.image_fused[image])):
                if told:
                    say(Text.assemble(f"{'':13}{what}  ", (f"“{shown(told, LONGEST_SENTENCE)}”", "yellow")))
            image += 1
        if sentence is not None:
            words = shown(sentence, LONGEST_SENTENCE)
            say(Text.assemble(f"  {sample.text_start[text]:8.2f} s  ", (f"“{words}”", "green")))
            text += 1
