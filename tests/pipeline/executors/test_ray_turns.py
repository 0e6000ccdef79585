"""The budgets of hosts over a cluster."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipeline.executors.ray_session import ray_session
from pipeline.executors.ray_turns import LEASE, RENEWAL, Hosts, RayTurns, shared_turns
from pipeline.run import Selection, run
from stages.turns import LONGEST
from tests.downloads import CONTENT
from tests.http_server import serving
from tests.runs import Recorder, demo_config


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_lease_of_a_worker_that_is_not_heard_of_ends() -> None:
    clock = Clock()
    hosts = Hosts(LEASE, clock)
    assert hosts.take("a", 2, "first")
    assert hosts.take("a", 2, "second")
    assert not hosts.take("a", 2, "third")
    assert hosts.take("b", 1, "fourth")
    clock.now += LEASE - 1
    hosts.renew({"first": "a"})
    clock.now += 2
    assert hosts.take("a", 2, "third")
    assert not hosts.take("a", 2, "fifth")
    hosts.give_back("a", "first")
    hosts.give_back("a", "first")
    assert hosts.take("a", 2, "fifth")


def test_an_actor_that_started_anew_learns_of_the_turns_that_are_taken() -> None:
    hosts = Hosts(LEASE, Clock())
    hosts.renew({"first": "a"})
    assert not hosts.take("a", 1, "second")


def test_requests_keep_their_distance_and_pauses_are_bounded() -> None:
    clock = Clock()
    hosts = Hosts(LEASE, clock)
    assert hosts.due("a", 5.0) == 0.0
    assert hosts.due("a", 5.0) == 5.0
    clock.now += 5.0
    assert hosts.due("a", 0.0) == 0.0
    hosts.pause("a", 1e30)
    hosts.pause("a", 1.0)
    assert hosts.due("a", 0.0) == LONGEST


@pytest.mark.ray
@pytest.mark.slow
def test_workers_of_a_cluster_share_the_turns_and_the_dead_hold_none() -> None:
    def can_take(turns: RayTurns) -> bool:
        return turns.take("a.example", 1) is not None

    def hold(turns: RayTurns) -> None:
        while not can_take(turns):
            time.sleep(0.1)
        time.sleep(600)

    with ray_session(""), shared_turns(lease=2 * RENEWAL) as turns:
        import ray

        remote = ray.remote(num_cpus=0.1, max_retries=0)
        holder = remote(hold).remote(turns)
        while (give_back := turns.take("a.example", 1)) is not None:  # the holder has not started
            give_back()
            time.sleep(0.1)
        assert not ray.get(remote(can_take).remote(turns))
        ray.cancel(holder, force=True)
        ended = time.monotonic()
        while not ray.get(remote(can_take).remote(turns)):
            assert time.monotonic() - ended < LEASE
            time.sleep(1)


@pytest.mark.ray
@pytest.mark.slow
def test_workers_on_ray_fetch_no_more_at_once_than_a_host_has_turns(tmp_path: Path) -> None:
    with serving(CONTENT) as server:
        urls = [server.url(f"slow?v={number}") for number in range(12)]
        (tmp_path / "list.txt").write_text("\n".join(urls))
        config = demo_config(
            tmp_path,
            f"manifest={tmp_path / 'list.txt'}",
            "runner.kind=ray",
            "runner.max_failed_share=1.0",
            "parts.videos=2",
            "download.resources.min_workers=3",
            "download.per_host=1",
            "download.allow_private_addresses=true",
        )
        run(config, Selection(("download",)), Recorder())
        assert len(server.requests) == 12
        assert server.most_at_once == 1
