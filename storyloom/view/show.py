"""One document printed as text, in the order in which a model reads it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from storyloom.errors import UsageError
from storyloom.format.manifest import finished_dataset
from storyloom.format.reader import ShardReader
from storyloom.format.sample import Sample


def find_sample(output: Path, key: str | None) -> Sample:
    """A document of a finished output folder by its key; the first one without a key.

    Raises:
        UsageError: The folder holds no finished dataset, or no such document.
        BadShard: A shard is damaged.
    """
    published = finished_dataset(output)
    found = ShardReader(output, walk=True).find(published.shards, key)
    if found is None:
        raise UsageError(f"no document {key!r} in {output}")
    return found.sample()


def show_sample(sample: Sample, console: Console) -> None:
    """Print a document: a line per frame and per sentence."""
    title = sample.title or sample.video_url
    console.print(
        f"[bold]{escape(sample.sample_id)}[/bold]  {escape(title)}  {sample.doc_start:.1f}–{sample.doc_end:.1f} s"
    )
    image = text = 0
    for name, sentence in zip(sample.images, sample.texts, strict=True):
        if name is not None:
            paired = sample.image_text_index[image] >= 0
            score = f"score {sample.image_clip_score[image]:+.3f}" if paired else "no sentence of its own"
            size = f"{sample.image_width[image]}x{sample.image_height[image]}"
            console.print(
                f"  [cyan]{sample.image_time[image]:8.2f} s  ▣ {name}[/cyan]  {size}  {score}", highlight=False
            )
            image += 1
        if sentence is not None:
            times = f"{sample.text_start[text]:8.2f} s"
            console.print(f"  {times}  [green]“{escape(sentence)}”[/green]", highlight=False)
            text += 1
