"""What stage 1 minimises."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from monai_vqoasis.networks import VQVAEOutput

__all__ = ["VQVAELoss"]


class VQVAELoss(nn.Module):
    """Mean squared error of the reconstruction plus the quantiser's loss.

    van den Oord et al. 2017 (https://arxiv.org/abs/1711.00937), equation 3, with a Gaussian likelihood.
    """

    def forward(self, output: VQVAEOutput, image: torch.Tensor) -> torch.Tensor:
        """Scalar loss of ``output`` against ``image`` (B C H W)."""
        return F.mse_loss(output.reconstruction.float(), image) + output.quantization_loss
