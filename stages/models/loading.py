"""Loading of models that strangers made: as weights only, without their code, and without a question on a terminal."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager

from stages.base import StageSetupError


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Load a model; whatever a library raises over its files becomes one error that names it.

    Args:
        what: The config's key with its value, e.g. ``score.model 'ViT-B-32'``.

    Raises:
        StageSetupError: It cannot be loaded.
    """
    try:
        yield
    except (StageSetupError, MemoryError):
        raise
    except pickle.UnpicklingError as reason:
        raise StageSetupError(
            f"{what} cannot be loaded: its weights are a pickle that may run code, which is never done;"
            " have them saved as safetensors, or as a state dict of plain tensors"
        ) from reason
    except Exception as reason:  # libraries raise anything over a damaged model, `Exception` itself too
        text = str(reason).partition(" Available:")[0]  # open_clip appends the names of all its models
        cause = text if isinstance(reason, OSError | RuntimeError | ValueError) else f"{type(reason).__name__}: {text}"
        raise StageSetupError(f"{what} cannot be loaded: {cause}") from reason


def never_run_model_code() -> None:
    """Have transformers refuse a model's own code; by default it asks on the terminal whether to run it."""
    import transformers.dynamic_module_utils as dynamic

    dynamic.TIME_OUT_REMOTE_CODE = 0  # as transformers' own tests have it: no time to answer is a no
