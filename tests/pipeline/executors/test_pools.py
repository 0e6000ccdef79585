"""Workers per stage on clusters of different sizes."""

from pathlib import Path

import pytest

from pipeline.executors.pools import Pool, pools
from stages.registry import STAGES
from storyloom.errors import UsageError
from tests.runs import demo_config

STAGE_NAMES = tuple(stage.name for stage in STAGES)

LAPTOP = {"CPU": 2.0, "memory": 8e9}
ONE_GPU = {"CPU": 16.0, "GPU": 1.0, "memory": 64e9}
CLIP = "score.model=ViT-B-32"
MANY = {"CPU": 256.0, "GPU": 16.0, "memory": 1e12}


def sizes(
    tmp_path: Path, cluster: dict[str, float], *overrides: str, stages: tuple[str, ...] = STAGE_NAMES
) -> dict[str, Pool]:
    return pools(demo_config(tmp_path, *overrides), stages, cluster)


@pytest.mark.parametrize("cluster", [LAPTOP, ONE_GPU, MANY], ids=["laptop", "one GPU", "many GPUs"])
def test_one_worker_of_every_stage_fits_at_once(tmp_path: Path, cluster: dict[str, float]) -> None:
    found = sizes(tmp_path, cluster).values()
    assert sum(pool.cpus * pool.min_workers for pool in found) <= cluster["CPU"]
    assert sum(pool.gpus * pool.min_workers for pool in found) <= cluster.get("GPU", 0.0)


def test_cpus_that_are_shared_out_still_fit_when_ray_has_rounded_them(tmp_path: Path) -> None:
    found = sizes(tmp_path, {"CPU": 3.0, "memory": 8e9}).values()
    assert sum(round(pool.cpus, 4) * pool.min_workers for pool in found) <= 3.0


def test_without_a_gpu_nobody_asks_for_one(tmp_path: Path) -> None:
    assert {pool.gpus for pool in sizes(tmp_path, LAPTOP).values()} == {0.0}


def test_stages_with_a_model_share_a_gpu_and_the_others_take_none(tmp_path: Path) -> None:
    found = {name: pool.gpus for name, pool in sizes(tmp_path, ONE_GPU, CLIP).items()}
    assert found == {name: 0.5 if name in ("transcribe", "score") else 0.0 for name in STAGE_NAMES}


def test_pools_with_a_model_grow_to_all_gpus(tmp_path: Path) -> None:
    assert sizes(tmp_path, MANY, CLIP)["score"].max_workers == 32


def test_a_stage_that_is_told_to_stay_on_the_cpu_takes_no_gpu(tmp_path: Path) -> None:
    assert sizes(tmp_path, ONE_GPU, CLIP, "score.device=cpu")["score"].gpus == 0.0


def test_too_few_gpus_are_named_with_their_settings(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"1 GPU .* takes 2 .*transcribe.resources.gpus 1, score.resources.gpus 1"):
        sizes(tmp_path, ONE_GPU, "transcribe.resources.gpus=1", "score.resources.gpus=1")


def test_a_pool_with_a_stated_size_may_wait_for_nodes_to_come(tmp_path: Path) -> None:
    asked = ["score.resources.gpus=1", "score.resources.max_workers=8"]
    assert sizes(tmp_path, LAPTOP, *asked)["score"].max_workers == 8


def test_memory_bounds_a_pool(tmp_path: Path) -> None:
    found = sizes(tmp_path, ONE_GPU, "sample.resources.memory=16000000000")
    assert (found["sample"].memory, found["sample"].max_workers) == (16_000_000_000, 4)


def test_more_is_sent_ahead_than_a_worker_has_in_hand(tmp_path: Path) -> None:
    found = sizes(tmp_path, ONE_GPU, "score.resources.parts_at_once=2")["score"]
    assert (found.parts_at_once, found.tasks_in_flight) == (2, 4)


def test_a_worker_with_a_gpu_has_a_second_part_in_hand(tmp_path: Path) -> None:
    found = {name: pool.parts_at_once for name, pool in sizes(tmp_path, ONE_GPU, CLIP).items()}
    assert found == {name: 2 if name in ("transcribe", "score") else 1 for name in STAGE_NAMES}
