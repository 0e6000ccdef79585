"""A dataset repository on the Hugging Face Hub, through its own client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from storyloom.push.files import PushFile
from storyloom.push.target import Found, OnBytes, PushFailed, Telling

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MESSAGE = "storyloom push"

MOST_TOGETHER = 50
"""Files of a commit (our choice): what an interruption costs is less than one."""


class HubTarget:
    """A dataset repository. Every commit names its parent, so that nobody else's commit is overwritten."""

    together = MOST_TOGETHER
    keeps_versions = True

    def __init__(self, repository: str, *, public: bool) -> None:
        self.address = f"hf://datasets/{repository}"
        self._repository, self._public = repository, public
        self._head: str | None = None
        self._client: HfApi | None = None

    def found(self) -> Mapping[str, Found]:
        from huggingface_hub.errors import RepositoryNotFoundError
        from huggingface_hub.hf_api import RepoFile

        with self._told():
            try:
                self._head = self._api().dataset_info(self._repository).sha
            except RepositoryNotFoundError:
                return {}
            tree = self._api().list_repo_tree(
                self._repository, recursive=True, repo_type="dataset", revision=self._head
            )
            return {
                one.path: Found(one.size, one.lfs.sha256 if one.lfs else "", "", "" if one.lfs else one.blob_id)
                for one in tree
                if isinstance(one, RepoFile)
            }

    def sha256(self, path: str) -> str:
        raise PushFailed(f"{self.address} does not tell what {path} holds")

    def read(self, path: str) -> bytes:
        raise PushFailed(f"{self.address} does not tell what {path} holds")

    def prepare(self) -> None:
        if self._head is None:
            with self._told():
                self._api().create_repo(self._repository, repo_type="dataset", private=not self._public, exist_ok=True)
                self._head = self._api().dataset_info(self._repository).sha

    def send(self, files: Sequence[PushFile], remove: Sequence[str], on_bytes: OnBytes) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        additions = [CommitOperationAdd(file.path, file.source()) for file in files]
        for addition, file in zip(additions, files, strict=True):
            addition.upload_info.sha256 = bytes.fromhex(file.sha256)
        with self._told():
            done = self._api().create_commit(
                self._repository,
                [*(CommitOperationDelete(path) for path in remove), *additions],
                commit_message=MESSAGE,
                repo_type="dataset",
                parent_commit=self._head,
            )
        self._head = done.oid
        on_bytes(sum(file.size for file in files))

    def _api(self) -> HfApi:
        if self._client is None:
            from huggingface_hub import HfApi
            from huggingface_hub.utils.tqdm import disable_progress_bars

            disable_progress_bars()  # ours is shown
            self._client = HfApi()
        return self._client

    def _told(self) -> Telling:
        from huggingface_hub import get_token

        return Telling(self.address, token=get_token() or "")
