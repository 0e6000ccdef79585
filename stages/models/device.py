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


def no_device(setting: str, wanted: Literal["auto", "cpu", "cuda"], *, torch: bool = False) -> list[str]:
    """Why a device that a setting asks for cannot be used on this machine, with the remedy; empty when it can.

    Args:
        setting: Its key, e.g. ``score.device``.
        wanted: Its value.
        torch: Whether torch is what uses it.
    """
    if wanted != "cuda":
        return []
    if resolved_device("auto") != "cuda":
        return [f"{setting} is cuda, and this machine shows no GPU of NVIDIA's: set it to auto or cpu"]
    if torch and version("torch").endswith("+cpu"):
        return [
            f"{setting} is cuda, and the installed torch is built without CUDA: install another build, or set it to cpu"
        ]
    return []


def resolved_torch_device(wanted: Literal["auto", "cpu", "cuda"]) -> Device:
    """The same for torch: ``auto`` is ``cpu`` if torch is built without CUDA."""
    if wanted == "auto" and version("torch").endswith("+cpu"):
        return "cpu"
    return resolved_device(wanted)
