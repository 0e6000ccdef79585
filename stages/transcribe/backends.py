"""The speech recognisers that `transcribe` can be configured with: what they are made of, and how they are loaded."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from stages.base import StageSetupError
from stages.models.demo import DEMO, DemoModelMissing, whisper_folder, whisper_revision
from stages.models.revision import content_revision
from stages.transcribe.recognizer import Recogniser

if TYPE_CHECKING:
    from stages.transcribe.stage import TranscribeConfig

LIBRARIES = {"faster-whisper": ("faster-whisper", "ctranslate2"), "openai-whisper": ("openai-whisper", "torch")}
"""Packages whose versions may change what is heard."""


def recogniser_revision(config: TranscribeConfig) -> str:
    """Revision of the configured model, and the versions of the libraries behind it.

    Raises:
        StageSetupError: The model is not there.
    """
    try:
        model = whisper_revision() if config.model == DEMO else content_revision(config.model)
    except DemoModelMissing as missing:
        raise StageSetupError(str(missing)) from missing
    return "; ".join([model, *(f"{package} {version(package)}" for package in LIBRARIES[config.backend])])


def load_recogniser(config: TranscribeConfig) -> Recogniser:
    """The configured back end with its model.

    Raises:
        StageSetupError: The model is not there, or the library cannot load it.
    """
    if config.backend == "openai-whisper" and config.model == DEMO:
        raise StageSetupError("transcribe.model 'demo' is for faster-whisper; name a checkpoint of openai-whisper")
    try:
        if config.backend == "faster-whisper":
            from stages.transcribe.faster_whisper import FasterWhisper

            return FasterWhisper(
                str(whisper_folder()) if config.model == DEMO else str(_expanded(config.model)),
                device=config.device,
                compute_type=config.compute_type,
                cpu_threads=config.cpu_threads,
                beam_size=config.beam_size,
                batch_size=config.batch_size,
                vad=config.vad,
            )
        from stages.transcribe.openai_whisper import OpenaiWhisper

        return OpenaiWhisper(
            str(_expanded(config.model)),
            device=config.device,
            compute_type=config.compute_type,
            cpu_threads=config.cpu_threads,
            beam_size=config.beam_size,
        )
    except DemoModelMissing as missing:
        raise StageSetupError(str(missing)) from missing
    except (ImportError, OSError, RuntimeError, ValueError) as reason:
        message = f"transcribe.model {config.model!r} cannot be loaded by {config.backend}: {reason}"
        raise StageSetupError(message) from reason


def _expanded(model: str) -> Path | str:
    """A local path with its ``~`` resolved; a name that is no path as it is."""
    path = Path(model).expanduser()
    return path if path.exists() else model
