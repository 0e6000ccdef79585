from __future__ import annotations

from pathlib import Path

import pytest

from stages.models import device
from stages.models.device import resolved_device, resolved_torch_device


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of /dev, on a machine that hides no GPU."""
    monkeypatch.setattr(device, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def test_auto_is_the_cpu_where_the_driver_shows_no_gpu(devices: Path) -> None:
    (devices / "nvidiactl").touch()
    assert resolved_device("auto") == "cpu"


def test_auto_is_the_gpu_that_the_driver_shows(devices: Path) -> None:
    (devices / "nvidia3").touch()
    assert resolved_device("auto") == "cuda"


@pytest.mark.parametrize("visible", ["", "-1"])
def test_auto_is_the_cpu_for_a_worker_from_which_gpus_are_hidden(
    devices: Path, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    (devices / "nvidia0").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert resolved_device("auto") == "cpu"


def test_torch_without_cuda_uses_the_cpu(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (devices / "nvidia0").touch()
    monkeypatch.setattr(device, "version", lambda _package: "2.13.0+cpu")
    assert resolved_torch_device("auto") == "cpu"
    monkeypatch.setattr(device, "version", lambda _package: "2.13.0")
    assert resolved_torch_device("auto") == "cuda"


def test_a_device_that_is_named_stays(devices: Path) -> None:
    (devices / "nvidia0").touch()
    assert (resolved_device("cpu"), resolved_device("cuda")) == ("cpu", "cuda")
