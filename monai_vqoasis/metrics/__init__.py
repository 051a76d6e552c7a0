"""What is measured: functions, and MONAI and Ignite metrics around them."""

from monai_vqoasis.metrics.bootstrap import Estimate, estimate_mean
from monai_vqoasis.metrics.codebook import CodeHistogram, codebook_metrics, codes_used, perplexity
from monai_vqoasis.metrics.fidelity import (
    FIDELITY,
    FidelityMetric,
    brain_mask,
    fidelity_metrics,
    image_pair,
    ms_ssim,
    mse,
    psnr,
    ssim,
)
from monai_vqoasis.metrics.likelihood import bits_per_slice, likelihood_metrics

__all__ = [
    "FIDELITY",
    "CodeHistogram",
    "Estimate",
    "FidelityMetric",
    "bits_per_slice",
    "brain_mask",
    "codebook_metrics",
    "codes_used",
    "estimate_mean",
    "fidelity_metrics",
    "image_pair",
    "likelihood_metrics",
    "ms_ssim",
    "mse",
    "perplexity",
    "psnr",
    "ssim",
]
