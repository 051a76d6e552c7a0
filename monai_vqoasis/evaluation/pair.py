"""The trained pair that is evaluated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import monai
import torch

import monai_vqoasis
from monai_vqoasis.evaluation.slices import SliceSet
from monai_vqoasis.inferers import bits_per_code
from monai_vqoasis.networks import CodePrior

__all__ = ["describe", "prior_bits"]


def prior_bits(prior: CodePrior | None, codes: torch.Tensor) -> torch.Tensor | None:
    """Bits that the codes (int64, N h w) of each slice cost under the prior, N on the CPU; None without a prior."""
    if prior is None:
        return None
    device = next(prior.parameters()).device
    return bits_per_code(prior, codes.to(device)).sum((1, 2)).cpu()


def describe(
    slices: SliceSet, dataset_dir: str | os.PathLike[str], section: str, **weights: str | os.PathLike[str] | None
) -> Mapping[str, str]:
    """What a report is about, for its head: data, files, versions."""
    versions = {"monai_vqoasis": monai_vqoasis.__version__, "MONAI": monai.__version__, "PyTorch": torch.__version__}
    return {
        "slices": f"{len(slices)} of {len(set(slices.cases))} people, section {section} of {Path(dataset_dir).name}",
        **{name.replace("_", " "): Path(path).name if path else "none" for name, path in weights.items()},
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
