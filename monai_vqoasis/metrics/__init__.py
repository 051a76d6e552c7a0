"""What is measured: functions, and MONAI and Ignite metrics around them."""

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.metrics.anatomy import brain_area, left_right_symmetry, ventricle_fraction, wasserstein
from monai_vqoasis.metrics.audit import reported_ssim
from monai_vqoasis.metrics.bootstrap import Estimate, estimate_mean
from monai_vqoasis.metrics.codebook import CodeHistogram, codebook_metrics, codes_used, perplexity
from monai_vqoasis.metrics.features import EfficientNetLiteFeatures, extract_features
from monai_vqoasis.metrics.fidelity import (
    FIDELITY,
    FidelityMetric,
    fidelity_metrics,
    image_pair,
    ms_ssim,
    mse,
    psnr,
    ssim,
)
from monai_vqoasis.metrics.generation import (
    FrechetMetric,
    KIDMetric,
    frechet_distance,
    kernel_distance,
    pair_ms_ssim,
)
from monai_vqoasis.metrics.likelihood import bits_per_slice, likelihood_metrics
from monai_vqoasis.metrics.neighbours import nearest_neighbours

__all__ = [
    "FIDELITY",
    "CodeHistogram",
    "EfficientNetLiteFeatures",
    "Estimate",
    "FidelityMetric",
    "FrechetMetric",
    "KIDMetric",
    "bits_per_slice",
    "brain_area",
    "brain_mask",
    "codebook_metrics",
    "codes_used",
    "estimate_mean",
    "extract_features",
    "fidelity_metrics",
    "frechet_distance",
    "image_pair",
    "kernel_distance",
    "left_right_symmetry",
    "likelihood_metrics",
    "ms_ssim",
    "mse",
    "nearest_neighbours",
    "pair_ms_ssim",
    "perplexity",
    "psnr",
    "reported_ssim",
    "ssim",
    "ventricle_fraction",
    "wasserstein",
]
