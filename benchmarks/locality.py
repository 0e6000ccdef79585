"""What the ballast of Ray's rows saves: `python -m benchmarks.locality URL` counts bytes that nodes fetch from a store.

Two stages read the same objects one after the other, on a Ray cluster of two nodes of this machine, each with a cache.
The least is once the objects' bytes, with both stages of each object on one node. URL is a folder, e.g. of a SeaweedFS,
for the objects, which are removed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.executors.ray import BALLAST
from storyloom.fs.access import filesystem
from storyloom.fs.cache import FOLDER
from storyloom.fs.files import files_at
from storyloom.fs.objects import brought, looked_up
from storyloom.fs.url import scheme_of

OBJECTS, SIZE = 40, 2 * 2**20
"""Objects in the store, and bytes of each."""

SECONDS = 0.3
"""For which a stage works on one."""

WORKERS, CPUS = 4, 4
"""Workers of a stage, and CPUs of a node."""


class Reader:
    """A worker that brings an object to its node's cache.

    Args:
        caches: Folder of the nodes' caches.
        ballast: Added to each row.
    """

    def __init__(self, caches: str, ballast: bytes) -> None:
        import ray

        self._ballast = {"ballast": [ballast]} if ballast else {}
        self._node = ray.get_runtime_context().get_node_id()
        os.environ[FOLDER] = f"{caches}/{self._node}"

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        url = str(batch["url"][0])
        found = looked_up(url, filesystem(scheme_of(url), 60.0, instance_credentials=False), instance_credentials=False)
        assert found is not None, "the store tells contents apart"
        with brought(found):
            time.sleep(SECONDS)
        return {"url": [url], "nodes": [f"{batch['nodes'][0]} {self._node}"], **self._ballast}


def measured(urls: list[str], ballast: bytes) -> tuple[int, int]:
    """Objects of which one node had both stages, and bytes that were fetched."""
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"url": url, "nodes": ""} for url in urls]
    dataset: ray.data.Dataset = ray.data.from_items(rows, override_num_blocks=len(urls))
    with tempfile.TemporaryDirectory() as caches:
        for _ in range(2):
            dataset = dataset.map_batches(
                Reader,
                fn_constructor_args=(caches, ballast),
                batch_size=1,
                num_cpus=1,
                compute=ray.data.ActorPoolStrategy(size=WORKERS, max_tasks_in_flight_per_actor=2),
                scheduling_strategy="SPREAD",
            )
        same = sum(len(set(row["nodes"].split())) == 1 for row in dataset.take_all())
        return same, sum(file.stat().st_size for file in Path(caches).glob("*/files/*/*"))


def main() -> None:
    """Measure without the ballast and with it."""
    import ray
    from ray.cluster_utils import Cluster

    console, place = Console(), sys.argv[1].rstrip("/")
    files, names = files_at(place), [f"{number}.mp4" for number in range(OBJECTS)]
    for name in names:
        files.replace(name, os.urandom(SIZE))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": CPUS, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=CPUS)
        ray.init(address=cluster.address, log_to_driver=False)
        for ballast in (b"", BALLAST):
            same, fetched = measured([f"{place}/{name}" for name in names], ballast)
            share = fetched / (OBJECTS * SIZE)
            console.print(f"ballast {len(ballast)}: {same} of {OBJECTS} on one node, {share:.2f} of the objects' bytes")
    finally:
        ray.shutdown()
        cluster.shutdown()
        for name in names:
            files.remove(name)


if __name__ == "__main__":
    main()
