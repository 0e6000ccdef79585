"""`make demo-fuse`: the demo with captions and fusions, and one document before and after.

Captions come from `demo.eyes`, which picks one of 16 sentences; fusions from SmolLM2, a language model of 135 million
parameters, which a llama.cpp on this machine runs. It is far too small for the task: what it writes shows how answers
are asked for, checked and counted, and says nothing of what a model for the task writes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import storyloom
from demo.eyes import MODEL as EYES
from demo.eyes import looking
from tests.language_model import MODEL as WRITER
from tests.language_model import speaking

ROOT = Path(__file__).parents[1]
OUT = "out/demo-fuse"


def main() -> None:
    """Run the demo, and show its document."""
    with looking() as eyes, speaking() as writer:
        settings = {
            "work": f"{OUT}/work",
            "output": f"{OUT}/shards",
            "caption.enabled": "true",
            "caption.model": EYES,
            "caption.url": eyes,
            "fuse.enabled": "true",
            "fuse.model": WRITER,
            "fuse.url": writer,
            "fuse.concurrency": "4",
            "fuse.max_tokens": "80",
        }
        changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        command = [sys.executable, "-m", "pipeline.cli", "run", "configs/demo.yaml", *changes]
        subprocess.run(command, cwd=ROOT, check=True)
    show()


def show() -> None:
    """Print what is said and shown at each frame of the first document, and what came of both."""
    document = next(iter(storyloom.open(ROOT / OUT / "shards")))
    table = Table("time", "said", "caption", "fused")
    for frame in document.frames:
        said = document.texts[frame.text].text if frame.text >= 0 else ""
        table.add_row(f"{frame.time:.2f} s", said, frame.caption, frame.fused or frame.fuse_status)
    Console().print(table)


if __name__ == "__main__":
    main()
