"""The commit of a repository on the Hugging Face hub from which a model is loaded."""

from __future__ import annotations

from pathlib import Path

from stages.base import StageSetupError

BRANCH = "main"

SECONDS = 10.0
"""Timeout of requests to the hub (our choice)."""


def hub_commit(repository: str) -> str:
    """The repository's commit in the local cache; if it is not cached, the hub's current one.

    Raises:
        StageSetupError: It is not in the cache, and the hub cannot be reached.
    """
    return cached_commit(repository) or _newest_commit(repository)


def cached_commit(repository: str) -> str:
    """The commit that the local cache last loaded of a repository's main branch; empty when there is none."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    try:
        commit = (folder / "refs" / BRANCH).read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return commit if (folder / "snapshots" / commit).is_dir() else ""


def _newest_commit(repository: str) -> str:
    from huggingface_hub import HfApi, constants

    way_out = (
        f"download it where the hub can be reached (`hf download {repository}`) and set HF_HUB_CACHE to that cache,"
        " or name a local folder"
    )
    if constants.HF_HUB_OFFLINE:
        raise StageSetupError(f"{repository} is not in the cache, and HF_HUB_OFFLINE is set: {way_out}")
    try:
        commit = HfApi().model_info(repository, revision=BRANCH, timeout=SECONDS).sha
    except Exception as reason:  # from any HTTP library that huggingface_hub may use
        raise StageSetupError(f"the hub says nothing of {repository} ({reason}): {way_out}") from reason
    assert commit is not None
    return commit
