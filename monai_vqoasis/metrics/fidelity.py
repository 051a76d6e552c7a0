"""How near a reconstruction is to its image, over the whole slice and inside the brain."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from ignite.metrics import Metric
from monai.handlers import IgniteMetricHandler
from monai.metrics.regression import RegressionMetric, compute_ssim_and_cs
from monai.metrics.utils import do_metric_reduction
from monai.utils.enums import CommonKeys as Keys
from monai.utils.enums import MetricReduction

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.errors import InputError

__all__ = [
    "FIDELITY",
    "FidelityMetric",
    "fidelity_metrics",
    "image_pair",
    "ms_ssim",
    "mse",
    "psnr",
    "ssim",
]

WINDOW = 11
SIGMA = 1.5
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def mse(prediction: torch.Tensor, image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Mean squared error of each slice.

    Args:
        prediction: B 1 H W in [0, 1]; clamped, since what is displayed is what is measured.
        image: B 1 H W in [0, 1].
        mask: bool, B 1 H W, the pixels that count; None for all. A slice without any gives NaN.

    Returns:
        B.

    Raises:
        InputError: for shapes that differ or are not B 1 H W, or an image outside [0, 1].
    """
    prediction, image = _checked(prediction, image)
    return _mean((prediction - image).square(), mask)


def psnr(prediction: torch.Tensor, image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Peak signal-to-noise ratio of each slice in dB, -10 log10(:func:`mse`); infinite for a perfect copy."""
    return -10 * mse(prediction, image, mask).log10()


def ssim(prediction: torch.Tensor, image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Structural similarity of each slice, -1 to 1: the mean of its map over the pixels that count.

    Wang et al. 2004 (doi:10.1109/TIP.2003.819861): Gaussian window 11, sigma 1.5, data range 1, K1 0.01, K2 0.03,
    only where the window lies inside the image. Arguments and errors as for :func:`mse`.

    Raises:
        InputError: also for an image smaller than the window.
    """
    prediction, image = _checked(prediction, image, smallest=WINDOW)
    structural, _ = _ssim_maps(prediction, image)
    return _mean(structural, _inside(mask))


def ms_ssim(prediction: torch.Tensor, image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    r"""Structural similarity of each slice over five scales, 0 to 1.

    Wang, Simoncelli and Bovik 2003 (doi:10.1109/ACSSC.2003.1292216), equation 7, with their weights: contrast and
    structure at all scales, luminance at the coarsest. A negative mean counts as zero. A coarser pixel is in the mask
    where half of its pixels are. Arguments and errors as for :func:`mse`.

    Raises:
        InputError: also for an image whose coarsest scale is smaller than the window (176 pixels).
    """
    scales = len(MS_SSIM_WEIGHTS)
    prediction, image = _checked(prediction, image, smallest=WINDOW * 2 ** (scales - 1))
    weight = None if mask is None else mask.to(image.dtype)
    result = torch.ones(len(image), dtype=image.dtype, device=image.device)
    for scale, exponent in enumerate(MS_SSIM_WEIGHTS):
        structural, contrast = _ssim_maps(prediction, image)
        similarity = structural if scale == scales - 1 else contrast
        mean = _mean(similarity, _inside(None if weight is None else weight >= 0.5))
        result = result * mean.clamp_min(0) ** exponent
        prediction, image = F.avg_pool2d(prediction, 2), F.avg_pool2d(image, 2)
        weight = None if weight is None else F.avg_pool2d(weight, 2)
    return result


FIDELITY: Mapping[str, Callable[..., torch.Tensor]] = {"mse": mse, "psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim}


class FidelityMetric(RegressionMetric):
    """One of :data:`FIDELITY` as MONAI metric: buffered slice by slice and gathered over processes.

    Reduced over finite values alone, as :func:`estimate_mean` does: one slice without brain or one perfect copy, whose
    PSNR is infinite, do not decide over all.

    Args:
        name: "mse", "psnr", "ssim" or "ms_ssim".
        brain: count only the pixels inside :func:`brain_mask` of the image.
        kwargs: arguments of ``RegressionMetric``; ``reduction="none"`` keeps one value a slice.
    """

    def __init__(self, name: str, brain: bool = False, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.function = FIDELITY[name]
        self.brain = brain

    def aggregate(
        self, reduction: MetricReduction | str | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        reduction = reduction or self.reduction
        values = self.get_buffer()
        if reduction != MetricReduction.NONE and values.isfinite().any():
            values = values.masked_fill(values.isinf(), torch.nan)
        reduced, counts = do_metric_reduction(values, reduction)
        return (reduced, counts) if self.get_not_nans else reduced

    def _compute_metric(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.function(y_pred, y, brain_mask(y) if self.brain else None).unsqueeze(1)


def fidelity_metrics() -> Mapping[str, Metric]:
    """Ignite metrics ``psnr`` (dB), ``ssim``, ``mse`` and ``psnr_brain``, each the mean over slices."""
    metrics = {
        "psnr": FidelityMetric("psnr"),
        "ssim": FidelityMetric("ssim"),
        "mse": FidelityMetric("mse"),
        "psnr_brain": FidelityMetric("psnr", brain=True),
    }
    return {name: IgniteMetricHandler(metric, output_transform=image_pair) for name, metric in metrics.items()}


def image_pair(output: Mapping[str, object]) -> tuple[torch.Tensor, torch.Tensor]:
    """(reconstruction, image) of an engine's output, both B C H W in [0, 1]: what is displayed is what is measured."""
    prediction = output[Keys.PRED]
    reconstruction = prediction if isinstance(prediction, torch.Tensor) else prediction.reconstruction
    return reconstruction.detach().float().clamp(0, 1), output[Keys.IMAGE]


def _checked(prediction: torch.Tensor, image: torch.Tensor, smallest: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    if prediction.shape != image.shape or image.ndim != 4 or image.shape[1] != 1:
        raise InputError(
            f"prediction and image must both be B 1 H W, got {tuple(prediction.shape)} and {tuple(image.shape)}."
        )
    if min(image.shape[2:]) < smallest:
        raise InputError(f"an image of {tuple(image.shape[2:])} pixels is too small: {smallest} are needed.")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):
        raise InputError(f"image values must lie in [0, 1], got [{low:.4g}, {high:.4g}].")
    return torch.as_tensor(prediction).float().clamp(0, 1), torch.as_tensor(image).float()


def _ssim_maps(prediction: torch.Tensor, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return compute_ssim_and_cs(prediction, image, 2, (WINDOW, WINDOW), (SIGMA, SIGMA), data_range=1.0)


def _inside(mask: torch.Tensor | None) -> torch.Tensor | None:
    """The part of a mask where the window lies inside the image."""
    margin = WINDOW // 2
    return None if mask is None else mask[..., margin:-margin, margin:-margin]


def _mean(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Mean of each item, over the pixels of its mask."""
    if mask is None:
        return values.flatten(1).mean(1)
    return (values * mask).flatten(1).sum(1) / mask.flatten(1).sum(1)
