"""How near a reconstruction is to its image."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from ignite.metrics import Metric
from monai.handlers import IgniteMetricHandler
from monai.metrics import MSEMetric, PSNRMetric, SSIMMetric
from monai.utils.enums import CommonKeys as Keys

__all__ = ["fidelity_metrics", "image_pair"]


def image_pair(output: Mapping[str, object]) -> tuple[torch.Tensor, torch.Tensor]:
    """(reconstruction, image) of an engine's output, both B C H W in [0, 1]: what is displayed is what is measured."""
    prediction = output[Keys.PRED]
    reconstruction = prediction if isinstance(prediction, torch.Tensor) else prediction.reconstruction
    return reconstruction.detach().float().clamp(0, 1), output[Keys.IMAGE]


def fidelity_metrics() -> Mapping[str, Metric]:
    """Ignite metrics ``psnr`` (dB), ``ssim`` and ``mse``, each the mean over slices, on images in [0, 1].

    SSIM is that of Wang et al. 2004 (doi:10.1109/TIP.2003.819861): Gaussian window 11, sigma 1.5, data range 1.
    """
    metrics = {
        "psnr": PSNRMetric(max_val=1.0),
        "ssim": SSIMMetric(spatial_dims=2, data_range=1.0, win_size=11, kernel_sigma=1.5),
        "mse": MSEMetric(),
    }
    return {name: IgniteMetricHandler(metric, output_transform=image_pair) for name, metric in metrics.items()}
