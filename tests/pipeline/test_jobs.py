"""The ways onto a cluster, against a real one on this machine: a submitted job, an address, metrics."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.runs import ROOT, Finished, clip, content_of, demo_config, run_quietly

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

CLUSTER = ROOT / "configs" / "cluster"
METRICS_PORT = 28090
DASHBOARD_PORT = 28265
PORT = 26379
CLIENT_PORT = 20001
TOKEN = "a" * 64
ENVIRONMENT = {
    **os.environ,
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": TOKEN,
}
RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture(scope="module")
def head() -> Iterator[None]:
    """A cluster of one node, started as docs/cluster.md and the cluster files start it."""
    options = [f"--port={PORT}", f"--dashboard-port={DASHBOARD_PORT}", f"--metrics-export-port={METRICS_PORT}"]
    options += [f"--ray-client-server-port={CLIENT_PORT}", "--dashboard-host=127.0.0.1", "--num-cpus=4"]
    command = [RAY, "start", "--head", "--block", "--disable-usage-stats", *options]
    node = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        for port in (PORT, DASHBOARD_PORT):  # not the client server: a bare connection upsets its forks
            wait_for(port, node)
        yield
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.wait(timeout=60)


def wait_for(port: int, node: subprocess.Popen[bytes]) -> None:
    """Until something listens there."""
    for _ in range(600):
        assert node.poll() is None, "ray start ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    pytest.fail(f"nothing listens at port {port}")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    clip(folder / "a.mp4", 0, 7)
    clip(folder / "b.mp4", 8, 7)
    return folder


@pytest.fixture(scope="module")
def inline_run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    config = demo_config(tmp_path_factory.mktemp("inline"), f"manifest={clips}", *SETTINGS, "runner.kind=inline")
    run_quietly(config)
    return Finished(config)


def submitted(command: list[str]) -> subprocess.CompletedProcess[str]:
    """The end of a job; a node that has just started refuses jobs until its agent is there, too."""
    for _ in range(60):
        done = subprocess.run(
            command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=600
        )
        if "No available agent" not in done.stderr:
            return done
        time.sleep(2)
    pytest.fail("no agent takes the job")


SETTINGS = ["parts.videos=1", "filter.threshold=0.0", "filter.min_words=1"]


def run_arguments(folder: Path, clips: Path, address: str) -> list[str]:
    places = [f"manifest={clips}", f"work={folder / 'work'}", f"output={folder / 'out'}"]
    overrides = [part for setting in [*places, *SETTINGS] for part in ("--set", setting)]
    return ["-m", "pipeline.cli", "run", "configs/demo.yaml", *overrides, "--runner", "ray", "--address", address]


@pytest.mark.usefixtures("head")
def test_a_submitted_job_brings_its_code_and_gives_the_same_bytes(
    clips: Path, tmp_path: Path, inline_run: Finished
) -> None:
    command = [RAY, "job", "submit", "--address", f"http://127.0.0.1:{DASHBOARD_PORT}"]
    command += ["--working-dir", str(ROOT), "--runtime-env", str(CLUSTER / "runtime-env.yaml"), "--"]
    command += [sys.executable, *run_arguments(tmp_path, clips, "auto")]
    done = submitted(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    assert content_of(tmp_path / "out") == content_of(inline_run.config.output)


@pytest.mark.usefixtures("head")
def test_a_client_from_elsewhere_gives_the_same_bytes_and_workers_export_metrics(
    clips: Path, tmp_path: Path, inline_run: Finished
) -> None:
    command = [sys.executable, *run_arguments(tmp_path, clips, f"ray://127.0.0.1:{CLIENT_PORT}")]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert content_of(tmp_path / "out") == content_of(inline_run.config.output)
    assert scraped("ray_storyloom_parts_total", STAGES) >= STAGES


STAGES = frozenset({"download", "transcribe", "sample", "align", "score", "filter"})


def scraped(name: str, stages: frozenset[str] = frozenset()) -> set[str]:
    """The stages of a metric, once the node exports it, and of these stages: each worker exports its own."""
    found: set[str] = set()
    for _ in range(60):
        text = urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=10).read().decode()
        found |= set(re.findall(rf'^{name}\{{.*?stage="(\w+)".*?\}} [\d.e+]+$', text, re.MULTILINE))
        if found and stages <= found:
            break
        time.sleep(1)
    return found


@pytest.mark.usefixtures("head")
def test_the_dashboard_draws_metrics_that_workers_export() -> None:
    panels = json.loads((CLUSTER / "grafana.json").read_text())["panels"]
    drawn = {name for panel in panels for t in panel["targets"] for name in re.findall(r"ray_storyloom_\w+", t["expr"])}
    assert drawn
    assert [name for name in sorted(drawn) if not scraped(name)] == []
