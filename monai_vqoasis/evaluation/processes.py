"""What an evaluation spends its time on, shared among the processes that torchrun started.

Each function is its namesake without ``_together``: every process computes its part of the slices, and has all of
them in the end. In a single process they are the same. All processes must call them in the same order.
"""

from __future__ import annotations

import copy

import ignite.distributed as idist
import torch
from monai.utils import evenly_divisible_all_gather

from monai_vqoasis.engines import SliceGenerator
from monai_vqoasis.evaluation.pair import prior_bits
from monai_vqoasis.evaluation.slices import CodedSlices, SliceSet, code_slices, draw_slices
from monai_vqoasis.networks import CodePrior, VectorQuantizedAutoencoder

__all__ = ["code_slices_together", "draw_slices_together", "prior_bits_together"]


def code_slices_together(
    vqvae: VectorQuantizedAutoencoder, slices: SliceSet, *args: object, **kwargs: object
) -> CodedSlices:
    """:func:`code_slices`, whose further arguments these are."""
    part = code_slices(vqvae, slices.subset(range(len(slices))[_own(len(slices))]), *args, **kwargs)
    pixels = _gather(part.reconstructions.pixels)
    return CodedSlices(SliceSet(pixels, slices.cases, slices.slice_indices), _gather(part.codes))


def prior_bits_together(prior: CodePrior | None, codes: torch.Tensor) -> torch.Tensor | None:
    """:func:`prior_bits`."""
    return None if prior is None else _gather(prior_bits(prior, codes[_own(len(codes))]))


def draw_slices_together(generator: SliceGenerator) -> SliceSet:
    """:func:`draw_slices`; a slice is the same whichever process draws it."""
    own = _own(len(generator))
    part = copy.copy(generator)
    part.seeds = generator.seeds[own]
    part.conditions = {name: values[own] for name, values in generator.conditions.items()}
    drawn = draw_slices(part)
    indices = generator.conditions.get("slice_index", [-1] * len(generator))
    return SliceSet(_gather(drawn.pixels), [f"seed {seed}" for seed in generator.seeds], indices)


def _own(number: int) -> slice:
    """The part of this process: the parts differ by one at most, in order of rank."""
    size, rank = idist.get_world_size(), idist.get_rank()
    return slice(number * rank // size, number * (rank + 1) // size)


def _gather(part: torch.Tensor) -> torch.Tensor:
    """The parts of all processes, in order of rank, on the CPU."""
    return evenly_divisible_all_gather(part.to(idist.device())).cpu() if idist.get_world_size() > 1 else part
