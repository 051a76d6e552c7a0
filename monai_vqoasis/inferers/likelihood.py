"""How likely codes are, position by position."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from monai_vqoasis.networks import CodePrior

__all__ = ["bits_per_code"]


@torch.no_grad()
def bits_per_code(prior: CodePrior, codes: torch.Tensor, batch_size: int = 32) -> torch.Tensor:
    """Bits that each code costs under the prior, -log2 p(code | codes before it): one pass of the network a batch.

    Summed over a grid it is the grid's -log2 likelihood, by the chain rule.

    Args:
        prior: a trained stage 2; evaluated in evaluation mode, and left in the mode it was in.
        codes: int64, B h w.
        batch_size: grids at a time.

    Returns:
        float32, B h w, at least 0, on the device of ``codes``.
    """
    training = prior.training
    prior.eval()
    nats = [F.cross_entropy(prior(part).float(), part, reduction="none") for part in codes.split(batch_size)]
    prior.train(training)
    return torch.cat(nats) / math.log(2)
