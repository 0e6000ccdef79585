"""Commands that take a folder of finished shards: show."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Output, terminal


def show_command(
    output: Output,
    key: Annotated[str | None, typer.Argument(help="Key of a document; the first one when left out.")] = None,
) -> None:
    """Print one document: its frames and sentences in order, with times and scores."""
    from pipeline.show import find_sample, show_sample

    show_sample(find_sample(output, key), terminal())
