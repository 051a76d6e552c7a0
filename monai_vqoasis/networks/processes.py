"""What several processes compute on their parts of a batch as one would on the whole; alone, a process does nothing."""

from __future__ import annotations

import torch
from torch import distributed

__all__ = ["from_first_process", "gather_rows", "pick_rows", "sum_over_processes"]


def sum_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """Sum of the ``tensor`` of each process, the same to the last bit in all of them."""
    if _several():
        tensor = tensor.contiguous()
        distributed.all_reduce(tensor)
    return tensor


def from_first_process(tensor: torch.Tensor) -> torch.Tensor:
    """The ``tensor`` of process 0: where it was drawn at random, all go on with that draw."""
    if _several():
        tensor = tensor.contiguous()
        distributed.broadcast(tensor, src=0)
    return tensor


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """The rows (N ...) of all processes, one process after the other; each may have another number of them."""
    if not _several():
        return rows
    start, total = _place(rows)
    joined = rows.new_zeros(total, *rows.shape[1:])
    joined[start : start + len(rows)] = rows
    return sum_over_processes(joined)


def pick_rows(rows: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """``gather_rows(rows)[indices]``, without gathering all of them."""
    if not _several():
        return rows[indices]
    own = indices - _place(rows)[0]
    inside = (own >= 0) & (own < len(rows))
    picked = rows.new_zeros(len(indices), *rows.shape[1:])
    picked[inside] = rows[own[inside]]
    return sum_over_processes(picked)


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _place(rows: torch.Tensor) -> tuple[int, int]:
    """Index of this process's first row among those of all, and how many those are."""
    numbers = torch.zeros(distributed.get_world_size(), dtype=torch.int64, device=rows.device)
    numbers[distributed.get_rank()] = len(rows)
    numbers = sum_over_processes(numbers)
    return int(numbers[: distributed.get_rank()].sum()), int(numbers.sum())
