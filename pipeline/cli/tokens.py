"""The command that says how many tokens a dataset has for models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, Output, local_path, terminal


def tokens_command(
    output: Output,
    models: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="MODEL,…",
            help="Models, or folders with a processor for transformers; all models of the table when left out.",
        ),
    ] = "",
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", parser=local_path, help="A tokenizer.json, or its folder: measures the texts on a sample."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count the tokens of an epoch for each model. Images by their sizes in the manifest; no picture is opened."""
    from storyloom.format.image_tokens import image_models
    from storyloom.format.manifest import finished_dataset
    from storyloom.tokens.account import ImageCost, account, check_names, check_sizes, told_texts
    from storyloom.tokens.processor import is_folder, processor_cost
    from storyloom.tokens.show import print_account

    names = [name.strip() for name in models.split(",") if name.strip()]
    costs: list[ImageCost] = []
    for name in names:
        costs += [processor_cost(name)] if is_folder(name) else image_models([name])
    check_names(costs)
    published = finished_dataset(output)
    check_sizes(published, output)
    text = told_texts(published)
    if tokenizer is not None:
        from storyloom.format.reader import ShardReader
        from storyloom.format.tokenizer import TextTokenizer
        from storyloom.tokens.measure import measured_texts

        text = measured_texts(ShardReader(output), published, TextTokenizer(tokenizer))
    found = account(published, costs or image_models([]), text)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=1))
    else:
        print_account(found, terminal())
