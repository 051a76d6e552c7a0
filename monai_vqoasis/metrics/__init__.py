"""What is measured: functions, and Ignite metrics around them."""

from monai_vqoasis.metrics.codebook import CodeHistogram, codebook_metrics, codes_used, perplexity
from monai_vqoasis.metrics.fidelity import fidelity_metrics, image_pair
from monai_vqoasis.metrics.likelihood import bits_per_slice, likelihood_metrics

__all__ = [
    "CodeHistogram",
    "bits_per_slice",
    "codebook_metrics",
    "codes_used",
    "fidelity_metrics",
    "image_pair",
    "likelihood_metrics",
    "perplexity",
]
