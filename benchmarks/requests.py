"""What a run asks of an object store: `python -m benchmarks.requests` counts the requests of two runs over nothing.

The videos are not there, so that every stage passes them on: what is counted is what happens around a stage. The runs
differ in their number of parts alone; the difference is what a part costs.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from pipeline.config import load_config
from pipeline.progress.terminal import TerminalListener
from pipeline.run import Selection, run
from storyloom.errors import RunFailed

FEWER, MORE = 8, 24
"""Parts of the two runs."""

REQUEST = re.compile(r'"?(GET|PUT|POST|HEAD|DELETE) (\S+) HTTP')

LISTS = ("list-type=", "?prefix=", "&prefix=")
"""What is in the address of a request for a listing."""


class Counting(logging.Handler):
    """Counts the requests that a server logs."""

    def __init__(self) -> None:
        super().__init__()
        self.found = Counter[str]()

    def emit(self, record: logging.LogRecord) -> None:
        if request := REQUEST.search(re.sub(r"\x1b\[[0-9;]*m", "", record.getMessage())):
            method, address = request.groups()
            self.found["LIST" if method == "GET" and any(sign in address for sign in LISTS) else method] += 1


@contextmanager
def counted() -> Iterator[tuple[str, Counter[str]]]:
    """A bucket of moto's server in this process, and the requests that it has answered."""
    from moto.server import ThreadedMotoServer

    counting, log = Counting(), logging.getLogger("werkzeug")
    log.setLevel(logging.INFO)
    log.addHandler(counting)
    log.propagate = False
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    try:
        import s3fs

        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("bench")
        yield "s3://bench", counting.found
    finally:
        server.stop()
        log.removeHandler(counting)


def of_parts(parts: int, place: str, found: Counter[str]) -> tuple[Counter[str], int]:
    """The requests of a run over so many parts, and the number of its stages."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "videos.txt"
        manifest.write_text("".join(f"nothing-{number}.mp4\n" for number in range(parts)))
        changes = [f"manifest={manifest}", f"work={place}/{parts}", f"output={folder}/shards", "runner.kind=inline"]
        changes += ["parts.videos=1", f"parts.group={FEWER}", "runner.max_failed_share=1.0"]
        config = load_config(Path(__file__).parents[1] / "configs" / "demo.yaml", changes)
        before = found.copy()
        with suppress(RunFailed):  # there is no document
            run(config, Selection(), TerminalListener(Console(file=open(os.devnull, "w"))))  # noqa: PTH123, SIM115
        return found - before, len(config.graph.names)


def main() -> None:
    """Print the requests for a part in a stage, by method."""
    with counted() as (place, found):
        fewer, stages = of_parts(FEWER, place, found)
        more, _ = of_parts(MORE, place, found)
    for method in sorted(fewer | more):
        print(f"{method}: {(more[method] - fewer[method]) / (MORE - FEWER) / stages:.1f}")  # noqa: T201


if __name__ == "__main__":
    main()
