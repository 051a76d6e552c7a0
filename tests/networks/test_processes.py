"""Two processes that see parts of each batch have the codebook of one that sees all of it."""

from __future__ import annotations

import ignite.distributed as idist
import torch

from monai_vqoasis.networks import VectorQuantizer
from monai_vqoasis.networks.processes import gather_rows, pick_rows

SIZES = [(2, 2), (2, 2), (2, 1), (1, 2), (2, 2), (2, 1)]  # items of each process, step by step


def batch(step: int) -> torch.Tensor:
    """Vectors in a few clusters far apart: codes die, and are revived. In eighths, so that sums do not round."""
    generator = torch.Generator().manual_seed(step)
    centres = torch.randn(20, 4, generator=torch.Generator().manual_seed(99)) * 10
    chosen = torch.randint(20, (sum(SIZES[step]), 8, 8), generator=generator)
    noise = torch.randn(*chosen.shape, 4, generator=generator)
    return ((centres[chosen] + noise) * 8).round().movedim(-1, 1) / 8


def learn(data_init: bool, rank: int | None = None) -> tuple[dict[str, torch.Tensor], list[int]]:
    """The book after all steps; with a ``rank``, from that process's part of each batch."""
    torch.manual_seed(0)
    quantizer = VectorQuantizer(32, 4, decay=0.5, data_init=data_init, revival_threshold=0.3)
    torch.manual_seed(5 + (rank or 0))  # what the others draw does not matter
    moved = []
    for step, sizes in enumerate(SIZES):
        whole = batch(step)
        part = whole if rank is None else whole.split(sizes)[rank]
        before = quantizer.embedding.clone()
        quantizer(part.clone().requires_grad_())
        moved.append(int((quantizer.embedding != before).any(1).sum()))
    quantizer(torch.full((1, 4, 2, 2), torch.nan if rank in (None, 1) else 1.0).requires_grad_())  # learns nothing
    return quantizer.state_dict(), moved


def work(rank: int, expected: dict[bool, tuple[dict[str, torch.Tensor], list[int]]]) -> None:
    torch.set_num_threads(1)
    for data_init, (book, moved) in expected.items():
        found, found_moved = learn(data_init, rank)
        assert found_moved == moved
        for name, value in book.items():
            assert torch.equal(found[name], value), name
    rows = torch.arange(6.0).view(3, 2) if rank == 0 else torch.arange(6.0, 10.0).view(2, 2)
    assert torch.equal(gather_rows(rows), torch.arange(10.0).view(5, 2))
    assert torch.equal(pick_rows(rows, torch.tensor([4, 0, 3])), torch.tensor([[8.0, 9.0], [0.0, 1.0], [6.0, 7.0]]))


def test_two_processes_learn_the_book_of_one():
    expected = {data_init: learn(data_init) for data_init in (True, False)}
    assert all(min(moved[1:]) > 0 for _, moved in expected.values())
    idist.spawn("gloo", work, args=(expected,), nproc_per_node=2)
