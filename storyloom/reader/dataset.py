"""Finished shards as a torch dataset with splitting, shuffling and exact resuming."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from storyloom.errors import UsageError
from storyloom.format.interleave import Mode, check_interleaving
from storyloom.format.reader import ShardReader
from storyloom.format.texts import Texts, check_texts
from storyloom.fs.url import without_secrets
from storyloom.reader.document import Document
from storyloom.reader.order import Order, Share, Shuffle
from storyloom.reader.shards import as_document, load_documents, load_manifest

BEFORE_CHOICES = {"texts": "text", "interleave": "sentence"}
"""What the states that do not say so were saved with: they are older than the choice."""

if TYPE_CHECKING:
    import pyarrow as pa


class DocumentDataset(IterableDataset[Document]):
    """The documents of a finished dataset, each once an epoch over all ranks and DataLoader workers.

    `state_dict` and `load_state_dict` follow torchdata's StatefulDataLoader, which carries them to and from workers.
    With torch's own DataLoader they work only without workers.

    Attributes:
        content: What the documents are, whatever their order: the dataset's SHA-256, split, texts and places of frames.
        shuffle: How they are mixed; None in the order in which they were written.
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
        interleave: Mode = "sentence",
        fps: float = 1.0,
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
            interleave: Where the frames stand: before whole sentences; at the ``word``; or interval by interval, as a
                ``stream``. The last two need word times. docs/reader.md has the rule.
            fps: Intervals a second of ``stream``, 1 or 2.

        Raises:
            UsageError: There is no finished dataset at `url`, it has no such split or texts, or no word times where
                they are needed, or an argument makes no sense.
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
        self._how = check_interleaving(interleave, fps, texts, manifest.shards, without_secrets(self._url))
        self.shuffle = Shuffle(seed, window) if shuffle else None
        self.content = {"dataset": manifest.sha256, "split": split, "texts": texts, "interleave": str(self._how)}
        self._source = {**self.content, "shuffle": shuffle, "seed": seed, "window": window}
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
        self.check_node()
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

    def numbers(self, epoch: int) -> NDArray[np.int64]:
        """The documents of all ranks in the order of an epoch: each one's number in the split.

        Returns:
            int64, shape (documents,).
        """
        counts = [shard.nsamples for shard in self._shards]
        begins = list(accumulate(counts, initial=0))
        order = Order(counts, Share(), self.shuffle, epoch)
        return np.fromiter((begins[shard] + number for shard, number in order), np.int64, len(order))

    def numbered(self, numbers: Iterable[int]) -> Iterator[Document]:
        """Documents by their number in the split."""
        ends = list(accumulate(shard.nsamples for shard in self._shards))
        shards = ((bisect_right(ends, number), number) for number in numbers)
        return self._load((shard, number - ends[shard] + self._shards[shard].nsamples) for shard, number in shards)

    def without_pictures(self) -> Iterator[Document]:
        """All documents of the split, of all ranks, in the order of their numbers; no frame has a JPEG."""
        reader = ShardReader(self._url, self._options)
        for shard in self._shards:
            yield from (
                as_document(stored, self._texts, self._how, pictures=False) for stored in reader.json_only(shard)
            )

    def tables(self) -> Iterator[pa.Table]:
        """The table beside each shard of the split, with a row a document: see `ShardReader.items`."""
        reader = ShardReader(self._url, self._options)
        return (reader.items(shard) for shard in self._shards)

    def share(self) -> Share:
        """The part of an epoch that this process reads: of this rank, and of the DataLoader's worker that it is."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        return Share(self._rank, self._world_size, worker, workers)

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
            then = (BEFORE_CHOICES | state_dict["source"])[name]
            if then != here:
                raise UsageError(f"the state was saved with {name} = {then!r}, but here it is {here!r}")
        self._loaded = state_dict["epoch"], state_dict["position"]

    def _read(self, order: Order, positions: Iterable[int]) -> Iterator[Document]:
        return self._load(order[position] for position in positions)

    def _load(self, places: Iterable[tuple[int, int]]) -> Iterator[Document]:
        """Documents by the number of their shard and their number in it, in that order."""
        reader = ShardReader(self._url, self._options)  # a connection does not survive the fork to a worker
        wanted = ((self._shards[shard], number) for shard, number in places)
        yield from load_documents(reader, wanted, self._texts, self._how)

    def _order(self, epoch: int) -> Order:
        return Order([shard.nsamples for shard in self._shards], self.share(), self.shuffle, epoch)

    def _identity(self) -> dict[str, Any]:
        return self._source | vars(self.share())

    def check_node(self) -> None:
        """See that rank and world size are still those that the dataset was made for.

        Raises:
            UsageError: torch.distributed says otherwise by now.
        """
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
