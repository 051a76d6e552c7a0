"""The order in which slices are seen: a function of seed and epoch, so that a run can go on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized

import torch
from torch.utils.data import Sampler

__all__ = ["EpochSampler"]


class EpochSampler(Sampler[int]):
    """A permutation of the data drawn from (seed, epoch) alone.

    Several processes share each batch of ``num_replicas * batch_size`` items that one process would see: what is left
    for the last is divided as evenly as it goes, and where there are fewer items than processes some are seen twice,
    so that all processes make the same number of steps.

    Args:
        data_source: what is sampled.
        seed: with the epoch, gives the permutation.
        num_replicas: number of processes.
        rank: which of them this is.
        batch_size: items of a batch of one process; matters for several.

    Attributes:
        epoch: set by the trainer when an epoch starts.
        start: items to leave out at the head of the next pass, set when a run resumes inside an epoch.
    """

    def __init__(
        self, data_source: Sized, seed: int = 0, num_replicas: int = 1, rank: int = 0, batch_size: int = 1
    ) -> None:
        self.data_source = data_source
        self.seed = seed
        self.num_replicas = num_replicas
        self.rank = rank
        self.batch_size = batch_size
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return len(self._share(range(len(self.data_source))))

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.data_source), generator=generator).tolist()
        start, self.start = self.start, 0
        return iter(self._share(order)[start:])

    def _share(self, order: Sequence[int]) -> list[int]:
        """The items of this process."""
        share: list[int] = []
        joined = self.num_replicas * self.batch_size
        for first in range(0, len(order), joined):
            batch = list(order[first : first + joined])
            if len(batch) < self.num_replicas:
                batch = (batch * self.num_replicas)[: self.num_replicas]
            begin, end = (len(batch) * rank // self.num_replicas for rank in (self.rank, self.rank + 1))
            share += batch[begin:end]
        return share
