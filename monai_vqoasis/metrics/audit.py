"""The formula that the original work reported as SSIM, kept so that its number can be judged."""

from __future__ import annotations

import torch

from monai_vqoasis.errors import InputError

__all__ = ["reported_ssim"]

C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2
C3 = C2 / 2


def reported_ssim(prediction: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    r"""The original report's "SSIM" of each slice. Not a similarity: see :func:`monai_vqoasis.metrics.ssim` for one.

    With mean :math:`\mu`, standard deviation :math:`\sigma` and covariance of the whole slice,

    .. math::
        \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1} \cdot
        \frac{2 \sigma_x \sigma_y + C_2}{\sigma_x^2 + \sigma_y^2 + C_2} \cdot
        \frac{\sigma_{xy} + C_3}{\sigma_x + \sigma_y + C_3}

    It departs from Wang et al. 2004 (doi:10.1109/TIP.2003.819861), equations 6, 9 and 10, three times: the constants
    are those of 8-bit values and the images lie in [0, 1], so that 6.5, 58.5 and 29.3 outweigh every statistic; the
    structure term adds the two standard deviations where it should multiply them; one window covers the whole slice.

    Args:
        prediction: B 1 H W in [0, 1].
        image: B 1 H W in [0, 1].

    Returns:
        float64, B.

    Raises:
        InputError: for shapes that differ or are not B 1 H W.
    """
    if prediction.shape != image.shape or image.ndim != 4 or image.shape[1] != 1:
        raise InputError(
            f"prediction and image must both be B 1 H W, got {tuple(prediction.shape)} and {tuple(image.shape)}."
        )
    x, y = (torch.as_tensor(values).flatten(1).double() for values in (prediction, image))
    mean_x, mean_y = x.mean(1), y.mean(1)
    std_x, std_y = x.std(1, correction=0), y.std(1, correction=0)
    covariance = (x * y).mean(1) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    contrast = (2 * std_x * std_y + C2) / (std_x**2 + std_y**2 + C2)
    structure = (covariance + C3) / (std_x + std_y + C3)
    return luminance * contrast * structure
