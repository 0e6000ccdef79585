"""`make demo-s3`: the demo with work and shards in a SeaweedFS on this machine; the shards are those of `make demo`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from storyloom.fs.files import files_at
from tests.stores import BUCKET, seaweed

ROOT = Path(__file__).parents[1]
STORYLOOM = [sys.executable, "-m", "pipeline.cli"]
LOCAL = ROOT / "out" / "demo" / "shards"


def main() -> None:
    """Run the demo twice, hold its shards against each other, and let the user look at those in the store."""
    storyloom("run", "configs/demo.yaml")
    with seaweed() as store:
        os.environ |= store.environment
        output = f"s3://{BUCKET}/shards"
        storyloom("run", "configs/demo.yaml", "--set", f"work=s3://{BUCKET}/work", "--set", f"output={output}")
        local, remote = content(str(LOCAL)), content(output)
        if local != remote:
            sys.exit(f"{LOCAL} and {output} differ in {sorted(dict(local.items() ^ remote.items()))}")
        print(f"\nThe {len(local)} files of {output} are those of {LOCAL.relative_to(ROOT)}, byte for byte.")
        if sys.stdin.isatty():
            told = " ".join(f"{name}={value}" for name, value in store.environment.items())
            print(f"Look at them from another terminal:\n  export {told}\n  .venv/bin/storyloom show {output}")
            input("The store ends with Enter. ")


def storyloom(*words: str) -> None:
    """A command of storyloom."""
    print(f"\n$ storyloom {' '.join(words)}", flush=True)
    subprocess.run([*STORYLOOM, *words], cwd=ROOT, check=True)


def content(place: str) -> dict[str, str]:
    """SHA-256 of every file of a dataset, by name."""
    files = files_at(place)
    return {one.name: hashlib.sha256(files.read(one.name)).hexdigest() for one in files.tree()}


if __name__ == "__main__":
    main()
