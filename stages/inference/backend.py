"""The back end that a stage's settings name, its revision, and what this machine lacks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.base import Context
from stages.inference.settings import ModelConfig
from stages.models.hub import hub_commit
from stages.models.loading import loading
from stages.models.names import nearest
from stages.models.revision import content_revision, library_versions

if TYPE_CHECKING:
    from stages.inference.asking import Backend

SECONDS = 5.0
"""Seconds for a server to say which models it has (our choice)."""


def backend_of(stage: str, config: ModelConfig, context: Context) -> Backend:
    """The back end, with its model loaded where it is one of this process.

    Raises:
        StageSetupError: The model cannot be loaded.
    """
    if config.backend == "server":
        from stages.inference.server import Server

        return Server(config, stage, context.seed, context.turns)
    with loading(f"{stage}.model {config.model!r}"):
        if config.backend == "vllm":
            from stages.inference.vllm_model import VllmModel

            return VllmModel(config, context.seed)
        from stages.inference.transformers_model import TransformersModel

        return TransformersModel(config)


def model_revision(config: ModelConfig) -> str:
    """The model that answers: as the settings name it, and for one of this process by content, with its libraries."""
    name = f"{config.model}@{config.revision}" if config.revision else config.model
    if config.backend == "server":
        return name
    libraries = {"transformers": ("transformers", "torch", "llguidance"), "vllm": ("vllm", "torch")}[config.backend]
    known = content_revision(config.model)
    if known == config.model:  # it is no folder
        known = f"{config.model}@{config.revision or hub_commit(config.model)}"
    return f"{known}; {library_versions(*libraries)}"


def unreachable(stage: str, config: ModelConfig) -> list[str]:
    """That no server answers at the address, that it refuses the key, or that it has another model.

    Args:
        stage: Name of the stage.
        config: Its settings.
    """
    if config.backend != "server":
        return []
    import openai

    from stages.inference.client import NO_PROXY, PROXY_ERRORS

    try:
        http = openai.DefaultHttpxClient(follow_redirects=False)
    except PROXY_ERRORS:
        return [f"{stage}.url: {NO_PROXY}"]
    try:
        with openai.OpenAI(
            base_url=config.url, api_key=config.key, max_retries=0, timeout=SECONDS, http_client=http
        ) as client:
            models = [model.id for model in client.models.list()]
    except openai.AuthenticationError:
        return [f"{stage}.url {config.url} refuses the key: set the environment variable {config.api_key}"]
    except openai.APIConnectionError:
        start = f"start one, e.g. `vllm serve {config.model}`, or name its address"
        return [f"{stage}.url: no server answers at {config.url}; {start}"]
    except (openai.APIError, ValueError, TypeError):  # it does not say which models it has
        return []
    if models and config.model not in models:
        return [f"{stage}.model: the server {config.url} has no model {config.model!r}{nearest(config.model, models)}"]
    return []
