"""The files of configs/cluster fit this release, Ray's own schema and each other."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from schemas.config import RunnerConfig
from tests.runs import ROOT

CLUSTER = ROOT / "configs" / "cluster"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKED = {one["name"]: one["version"] for one in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}


def read(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


def groups() -> list[dict[str, Any]]:
    spec = read("rayjob.yaml")["spec"]["rayClusterSpec"]
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def pods() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each pod of the job, with its container."""
    for group in groups():
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        yield pod, container


def test_the_file_for_ray_up_is_one_that_rays_autoscaler_takes() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(read("ray-up.yaml"))
    validate_config(prepared)  # against ray-schema.json
    assert prepared["available_node_types"].keys() == {"head", "gpu"}


@pytest.mark.parametrize("name", ["rayjob.yaml", "ray-up.yaml", "Dockerfile"])
def test_images_have_the_tag_of_this_release(name: str) -> None:
    tags = re.findall(r"REGISTRY/storyloom:(\S+)", (CLUSTER / name).read_text())
    assert tags
    assert set(tags) == {PROJECT["version"]}


def test_the_job_runs_on_the_ray_of_the_lock_file() -> None:
    assert read("rayjob.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == LOCKED["ray"]


def test_the_image_has_the_client_of_the_bucket_and_extras_that_exist() -> None:
    extras = re.findall(r"--extra (\S+)", (CLUSTER / "Dockerfile").read_text().partition("RUN uv sync")[2])
    assert {"run", "cluster", "s3"} <= set(extras) <= PROJECT["optional-dependencies"].keys()


def test_the_head_is_on_demand_and_workers_are_spot() -> None:
    types = read("ray-up.yaml")["available_node_types"]
    assert types["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    kinds = [pod["nodeSelector"]["eks.amazonaws.com/capacityType"] for pod, _ in pods()]
    assert kinds == ["ON_DEMAND", "SPOT", "SPOT"]


def test_credentials_come_from_the_machine_and_stand_in_no_file() -> None:
    assert {pod["serviceAccountName"] for pod, _ in pods()} == {"storyloom"}
    assert all(
        "IamInstanceProfile" in one["node_config"] for one in read("ray-up.yaml")["available_node_types"].values()
    )
    for name in ("rayjob.yaml", "ray-up.yaml", "runtime-env.yaml", "Dockerfile"):
        assert not re.search(r"(?i)secret|access_key|password|token", (CLUSTER / name).read_text()), name


def test_each_node_has_a_cache_on_a_disk_with_room_for_it() -> None:
    for pod, container in pods():
        environment = {one["name"]: one["value"] for one in container["env"]}
        assert environment["STORYLOOM_CACHE"] in {one["mountPath"] for one in container["volumeMounts"]}
        (size,) = (one["emptyDir"]["sizeLimit"] for one in pod["volumes"] if one["name"] == "cache")
        assert int(environment["STORYLOOM_CACHE_BYTES"]) < int(size.removesuffix("Gi")) * 2**30
    options = dict(
        one.removeprefix("--env=").split("=") for one in read("ray-up.yaml")["docker"]["run_options"] if "env" in one
    )
    (disk,) = read("ray-up.yaml")["available_node_types"]["gpu"]["node_config"]["BlockDeviceMappings"]
    assert int(options["STORYLOOM_CACHE_BYTES"]) < disk["Ebs"]["VolumeSize"] * 2**30


def test_workers_have_longer_to_end_than_the_grace_and_no_longer_than_any_cloud_gives() -> None:
    for pod, _ in [*pods()][1:]:
        assert RunnerConfig().grace_seconds < pod["terminationGracePeriodSeconds"] <= 30


def test_what_a_pod_mounts_is_a_volume_of_its_own() -> None:
    for pod, container in pods():
        assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}


def test_the_job_starts_the_command_of_this_release() -> None:
    assert read("rayjob.yaml")["spec"]["entrypoint"].startswith("python -m pipeline.cli run ")
