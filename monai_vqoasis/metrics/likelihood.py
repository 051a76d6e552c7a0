"""How well a prior predicts codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from ignite.metrics import Accuracy, Loss, Metric, MetricsLambda
from monai.utils.enums import CommonKeys as Keys

__all__ = ["bits_per_slice", "likelihood_metrics"]


def bits_per_slice(nats_per_code: float, latent_shape: Sequence[int]) -> float:
    """Length in bits of a grid of ``latent_shape`` codes at ``nats_per_code``."""
    return nats_per_code * math.prod(latent_shape) / math.log(2)


def _logits_and_codes(output: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return output[Keys.PRED].detach(), output[Keys.LABEL]


def likelihood_metrics(latent_shape: Sequence[int]) -> Mapping[str, Metric]:
    """Ignite metrics ``nats_per_code``, ``bits_per_slice`` and ``accuracy`` (share of codes guessed right)."""
    nats = Loss(F.cross_entropy, output_transform=_logits_and_codes)
    return {
        "nats_per_code": nats,
        "bits_per_slice": MetricsLambda(bits_per_slice, nats, tuple(latent_shape)),
        "accuracy": Accuracy(output_transform=_logits_and_codes),
    }
