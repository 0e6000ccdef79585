"""The device that a model runs on, resolved before a library that uses it is imported."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Literal

Device = Literal["cpu", "cuda"]

DEVICES = Path("/dev")
"""Folder with the device files of NVIDIA's driver, in containers too."""


def resolved_device(wanted: Literal["auto", "cpu", "cuda"]) -> Device:
    """A config's device on this machine: ``auto`` is ``cuda`` where this process sees a GPU."""
    if wanted != "auto":
        return wanted
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    return "cuda" if not hidden and any(DEVICES.glob("nvidia[0-9]*")) else "cpu"


def resolved_torch_device(wanted: Literal["auto", "cpu", "cuda"]) -> Device:
    """The same for torch: ``auto`` is ``cpu`` if torch is built without CUDA."""
    if wanted == "auto" and version("torch").endswith("+cpu"):
        return "cpu"
    return resolved_device(wanted)
