"""Every snippet of a generated card, run as it stands in the consumer's own environment: nothing is lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storyloom.card.snippets import FOLDER, SNIPPETS
from tests.consumers.conftest import in_the_tars

pytestmark = [pytest.mark.consumers, pytest.mark.timeout(300)]

HANDED = {
    "Megatron-Energon": ("texts", "sizes"),  # its InterleavedSample has no place for times
    "Megatron-Energon, with times": ("texts", "sizes", "image_time", "text_start", "image_caption", "words"),
    "NeMo Curator": ("texts", "sizes", "image_time", "text_start"),
}
"""What consumers hand out that have no place for all."""

COLLECT = Path(__file__).with_name("collect.py")
ENVIRONMENTS = Path(__file__).with_name("envs")
"""Each folder locks the environment of a consumer that cannot share ours; `make test-consumers` installs them."""


def snippets_of(card: str) -> dict[str, str]:
    found = re.findall(r"^### ([^\n]+)\n\n```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    return dict(found)


def python_of(environment: str) -> str:
    if not environment:
        return sys.executable
    python = ENVIRONMENTS / environment / ".venv/bin/python"
    assert python.exists(), f"{python} is missing: `make test-consumers` installs it"
    return str(python)


def collect(consumer: str, code: str, folder: Path, environment: str = "") -> dict[str, Any]:
    """What the consumer saw of each document."""
    snippet, target = folder / "snippet.py", folder / "seen.json"
    snippet.write_text(code, encoding="utf-8")
    ran = subprocess.run(
        [python_of(environment), str(COLLECT), consumer, str(snippet), str(target)],
        cwd=folder,
        # Ray would start workers with the `uv run` that started the tests, or join a cluster that is already there.
        env=os.environ
        | {
            "HF_HUB_OFFLINE": "1",
            "HOME": str(folder),
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_ADDRESS": "local",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-6000:]
    found: dict[str, Any] = json.loads(target.read_bytes())
    return found


def test_the_card_has_a_snippet_for_every_consumer(out: Path) -> None:
    assert list(snippets_of((out / "README.md").read_text())) == list(SNIPPETS)


@pytest.mark.parametrize(
    ("consumer", "environment"),
    [
        ("webdataset", ""),
        ("wids", ""),
        ("Hugging Face datasets", ""),
        ("Hugging Face datasets", "datasets-2-21"),
        ("Megatron-Energon", ""),
        ("Megatron-Energon, with times", ""),
        ("NeMo Curator", "nemo-curator"),
        ("Ray Data", ""),
        ("mlcroissant", ""),
    ],
)
def test_a_snippet_sees_every_document_every_image_and_every_time(
    out: Path, tmp_path: Path, consumer: str, environment: str
) -> None:
    code = snippets_of((out / "README.md").read_text())[consumer].replace(FOLDER, str(out))
    found = collect(consumer, code, tmp_path, environment)
    # Croissant describes the whole dataset and names no splits.
    splits = ("train", "val") if consumer == "mlcroissant" else ("train",)
    expected = {key: each for split in splits for key, each in in_the_tars(out, split).items()}
    if handed := HANDED.get(consumer):
        expected = {key: {name: each[name] for name in handed} for key, each in expected.items()}
    assert found == expected


@pytest.mark.parametrize("streaming", [True, False])
def test_datasets_2_21_streams_and_maps_every_split(out: Path, tmp_path: Path, *, streaming: bool) -> None:
    code = (
        "from datasets import load_dataset\n"
        f"splits = load_dataset({str(out)!r}, streaming={streaming})\n"
        "documents = [row for split in ('train', 'validation') for row in splits[split]]\n"
    )
    found = collect("Hugging Face datasets", code, tmp_path, "datasets-2-21")
    assert found == in_the_tars(out, "train") | in_the_tars(out, "val")
