"""What stage 1 minimises."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from monai_vqoasis.networks import VQVAEOutput

__all__ = ["VQVAELoss"]


class VQVAELoss(nn.Module):
    """Mean squared error of the reconstruction plus the quantiser's loss.

    van den Oord et al. 2017 (https://arxiv.org/abs/1711.00937), equation 3, with a Gaussian likelihood.

    Args:
        terms: weight and function of further terms; each takes reconstruction and image (B C H W) and gives a scalar,
            in float32 whatever autocast says: in bfloat16 the variances of SSIM, for one, are lost.
    """

    def __init__(self, terms: Sequence[tuple[float, nn.Module]] = ()) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.terms = nn.ModuleList(term for _, term in terms)

    def forward(self, output: VQVAEOutput, image: torch.Tensor) -> torch.Tensor:
        """Scalar loss of ``output`` against ``image`` (B C H W)."""
        reconstruction = output.reconstruction.float()
        loss = F.mse_loss(reconstruction, image) + output.quantization_loss
        with torch.autocast(image.device.type, enabled=False):
            for weight, term in zip(self.weights, self.terms, strict=True):
                loss = loss + weight * term(reconstruction, image)
        return loss
