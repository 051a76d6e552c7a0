"""Structural similarity as something to minimise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["StructuralSimilarityLoss"]


class StructuralSimilarityLoss(nn.Module):
    """One minus the mean structural similarity of images with values in [0, 1].

    Wang et al. 2004 (doi:10.1109/TIP.2003.819861), equation 13, with their Gaussian window, only where it lies inside
    the image: the number that MONAI's ``SSIMLoss`` gives, whose convolution of a single channel takes a third of a
    training step on a CPU. The window's rows and columns as two matrix products take a sixteenth of that
    (``benchmarks/losses.py``).

    Args:
        win_size: pixels along the window's side.
        sigma: the window's standard deviation in pixels.
    """

    def __init__(self, win_size: int = 11, sigma: float = 1.5) -> None:
        super().__init__()
        offset = torch.arange(win_size) - (win_size - 1) / 2
        window = torch.exp(-offset.square() / (2 * sigma**2))
        self.register_buffer("window", window / window.sum(), persistent=False)

    def forward(self, reconstruction: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Scalar of two images B C H W.

        Raises:
            RuntimeError: for an image smaller than the window.
        """
        along_rows, along_columns = (self._filter(size, image) for size in image.shape[2:])

        def mean(x: torch.Tensor) -> torch.Tensor:
            return along_rows @ x @ along_columns.T

        mean_r, mean_i = mean(reconstruction), mean(image)
        variance_r = mean(reconstruction.square()) - mean_r.square()
        variance_i = mean(image.square()) - mean_i.square()
        covariance = mean(reconstruction * image) - mean_r * mean_i
        c1, c2 = 0.01**2, 0.03**2
        luminance = (2 * mean_r * mean_i + c1) / (mean_r.square() + mean_i.square() + c1)
        structure = (2 * covariance + c2) / (variance_r + variance_i + c2)
        return 1 - (luminance * structure).mean()

    def _filter(self, size: int, image: torch.Tensor) -> torch.Tensor:
        """The window at each of its places along an axis: (size - win_size + 1) x size."""
        identity = torch.eye(size, device=image.device, dtype=image.dtype)
        return F.conv1d(identity[:, None], self.window.to(identity)[None, None])[:, 0].T
