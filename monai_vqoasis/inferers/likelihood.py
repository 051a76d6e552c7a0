"""How likely codes are, position by position."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F

from monai_vqoasis.networks import CodePrior

__all__ = ["bits_per_code"]


@torch.no_grad()
def bits_per_code(
    prior: CodePrior,
    codes: torch.Tensor,
    batch_size: int = 32,
    conditions: Mapping[str, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Bits that each code costs under the prior, -log2 p(code | codes before it): one pass of the network a batch.

    Summed over a grid it is the grid's -log2 likelihood, by the chain rule.

    Args:
        prior: a trained stage 2; evaluated in evaluation mode, and left in the mode it was in.
        codes: int64, B h w.
        batch_size: grids at a time.
        conditions: that the prior is told, int64, B each; None for none.

    Returns:
        float32, B h w, at least 0, on the device of ``codes``.
    """
    training = prior.training
    prior.eval()
    nats = []
    for start in range(0, len(codes), batch_size):
        part = slice(start, start + batch_size)
        known = {name: values[part] for name, values in (conditions or {}).items()}
        nats.append(F.cross_entropy(prior(codes[part], **known).float(), codes[part], reduction="none"))
    prior.train(training)
    return torch.cat(nats) / math.log(2)
