"""Finished shards as a torch dataset with splitting, shuffling and exact resuming."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch.utils.data import IterableDataset, get_worker_info

from storyloom.errors import UsageError
from storyloom.format.reader import ShardReader
from storyloom.format.texts import Texts, check_texts
from storyloom.fs.url import without_secrets
from storyloom.reader.document import Document
from storyloom.reader.order import Order, Share, Shuffle
from storyloom.reader.shards import load_documents, load_manifest

READ_AHEAD = 16
"""Documents that are requested at once: hides the latency of a remote store (our choice)."""


class DocumentDataset(IterableDataset[Document]):
    """The documents of a finished dataset, each once an epoch over all ranks and DataLoader workers.

    `state_dict` and `load_state_dict` follow torchdata's StatefulDataLoader, which carries them to and from workers.
    With torch's own DataLoader they work only without workers.
    """

    def __init__(
        self,
        url: str | os.PathLike[str],
        split: Literal["train", "val"] = "train",
        *,
        shuffle: bool = False,
        seed: int = 0,
        window: int = 10_000,
        rank: int | None = None,
        world_size: int | None = None,
        storage_options: Mapping[str, Any] | None = None,
        texts: Texts = "text",
    ) -> None:
        """Read the manifest; shards are opened by the process that reads the documents.

        Args:
            url: Folder of the dataset, or any URL that fsspec reads: ``https://``, ``s3://``, ``memory://`` and so on.
            split: ``train`` or ``val``.
            shuffle: Mix the documents, differently in each epoch.
            seed: Of the shuffling; the same on all ranks.
            window: Shards come in random order; then documents are permuted within windows of this size, at no cost
                in memory (our choice).
            rank: Of the data-parallel group; from torch.distributed, else from ``RANK``, else 0.
            world_size: Number of such groups; from torch.distributed, else from ``WORLD_SIZE``, else 1.
            storage_options: fsspec's options for the URL.
            texts: Which texts stand beside the frames: ``text``, what was said; ``caption``; or ``fused``, where one
                image's text says both. docs/reader.md has the rule.

        Raises:
            UsageError: There is no finished dataset at `url`, it has no such split or texts, or an argument makes no
                sense.
        """
        if window < 1:
            raise UsageError(f"window is {window}: at least 1 document")
        if (rank is None) != (world_size is None):
            raise UsageError("give both rank and world_size, or none of them")
        self._given = rank is not None
        self._rank, self._world_size = _node() if rank is None or world_size is None else (rank, world_size)
        if not 0 <= self._rank < self._world_size:
            raise UsageError(f"rank is {self._rank}, but must be from 0 to world_size - 1 = {self._world_size - 1}")
        self._url, self._options = os.fspath(url), dict(storage_options or {})
        manifest = load_manifest(ShardReader(self._url, self._options))
        self._shards = [shard for shard in manifest.shards if shard.split == split]
        if not self._shards:
            present = dict.fromkeys(shard.split for shard in manifest.shards)
            raise UsageError(f"{self._url} has no split {split!r}, only {', '.join(present)}")
        check_texts(texts, manifest.shards, without_secrets(self._url))
        self._texts = texts
        self._shuffle = Shuffle(seed, window) if shuffle else None
        self._source = {
            "dataset": manifest.sha256,
            "split": split,
            "texts": texts,
            "shuffle": shuffle,
            "seed": seed,
            "window": window,
        }
        # In shared memory, so that persistent workers learn of a new epoch
        self._epoch = torch.tensor(0).share_memory_()  # type: ignore[no-untyped-call]
        self._current = 0, 0
        self._loaded: tuple[int, int] | None = None

    def __len__(self) -> int:
        """Documents of this rank in an epoch."""
        return len(Share(self._rank, self._world_size).bounds(sum(shard.nsamples for shard in self._shards)))

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration, as with torch's DistributedSampler; a loaded state takes precedence."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Document]:
        self._check_node()
        # Eagerly, not with the first document: a loader may take the state before
        self._current = self._loaded or (int(self._epoch), 0)
        self._loaded = None
        return self._documents(*self._current)

    def _documents(self, epoch: int, position: int) -> Iterator[Document]:
        order = self._order(epoch)
        for document in self._read(order, range(position, len(order))):
            position += 1
            self._current = epoch, position
            yield document

    @property
    def position(self) -> int:
        """Number of documents of the epoch that this worker has yielded."""
        return self._current[1]

    def at(self, positions: Sequence[int]) -> Iterator[Document]:
        """Documents by their position in this worker's order of the current epoch."""
        return self._read(self._order(self._current[0]), positions)

    def state_dict(self) -> dict[str, Any]:
        """The state of the iteration: the epoch, and how many of its documents this worker has yielded."""
        epoch, position = self._loaded or self._current
        return {"epoch": epoch, "position": position, "source": self._identity()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Let the next iteration continue after the last document that was yielded before.

        Raises:
            UsageError: The state is of another dataset, split, order, rank or worker.
        """
        for name, here in self._identity().items():
            then = ({"texts": "text"} | state_dict["source"])[name]  # those without `texts` are older than the choice
            if then != here:
                raise UsageError(f"the state was saved with {name} = {then!r}, but here it is {here!r}")
        self._loaded = state_dict["epoch"], state_dict["position"]

    def _read(self, order: Order, positions: Sequence[int]) -> Iterator[Document]:
        reader = ShardReader(self._url, self._options)  # a connection does not survive the fork to a worker
        for first in range(0, len(positions), READ_AHEAD):
            wanted = (order[position] for position in positions[first : first + READ_AHEAD])
            places = [(self._shards[shard], number) for shard, number in wanted]
            yield from load_documents(reader, places, self._texts)

    def _order(self, epoch: int) -> Order:
        return Order([shard.nsamples for shard in self._shards], self._share(), self._shuffle, epoch)

    def _share(self) -> Share:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        return Share(self._rank, self._world_size, worker, workers)

    def _identity(self) -> dict[str, Any]:
        return self._source | vars(self._share())

    def _check_node(self) -> None:
        if not self._given and _distributed() and _node() != (self._rank, self._world_size):
            rank, world_size = _node()
            raise UsageError(
                f"the dataset was made for rank {self._rank} of {self._world_size}, but torch.distributed says "
                f"{rank} of {world_size}: make it after init_process_group, or give rank and world_size"
            )


def _distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _node() -> tuple[int, int]:
    """Rank and world size of this process."""
    if _distributed():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
