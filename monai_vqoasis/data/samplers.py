"""The order in which slices are seen: a function of seed and epoch, so that a run can go on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import torch
from torch.utils.data import Sampler

__all__ = ["EpochSampler"]


class EpochSampler(Sampler[int]):
    """A permutation of the data drawn from (seed, epoch) alone.

    Args:
        data_source: what is sampled.
        seed: with the epoch, gives the permutation.

    Attributes:
        epoch: set by the trainer when an epoch starts.
        start: items to leave out at the head of the next pass, set when a run resumes inside an epoch.
    """

    def __init__(self, data_source: Sized, seed: int = 0) -> None:
        self.data_source = data_source
        self.seed = seed
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return len(self.data_source)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.data_source), generator=generator).tolist()
        start, self.start = self.start, 0
        return iter(order[start:])
