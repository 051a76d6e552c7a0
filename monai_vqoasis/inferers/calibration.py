"""What anomaly maps are on healthy slices, position by position."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from monai.networks.layers import GaussianFilter
from torch import nn

from monai_vqoasis.errors import InputError
from monai_vqoasis.files import check_file
from monai_vqoasis.networks import VectorQuantizedAutoencoder, load_tensors
from monai_vqoasis.networks.vector_quantizer import codebook_fingerprint
from monai_vqoasis.settings import check_choice

__all__ = ["ANOMALY_METHODS", "AnomalyCalibration", "PositionStatistics", "load_calibration"]

ANOMALY_METHODS = ("residual", "surprise", "restoration")
HEALTHY_FRACTIONS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
SMOOTHING = (1.5, 1.0)  # standard deviation over slices, and over codes
REACH = round(4 * SMOOTHING[0])  # slices over which statistics are smoothed
FLOOR = 0.1  # of the typical variance, added to each


class AnomalyCalibration(nn.Module):
    """Turns the raw maps of :class:`AnomalyInferer` into z-scores: how many standard deviations a value lies above
    those of healthy slices at the same position, so that one threshold means the same everywhere.

    Made by :class:`monai_vqoasis.engines.AnomalyCalibrator`, saved as the state dict. It belongs to the codebook that
    it was made with.

    Args:
        num_slices: slice positions S.
        latent_shape: size (h, w) of the code grid, at which the statistics are kept.

    Attributes:
        template: S h w, healthy slices at the size of the code grid.
        mean: methods S h w, of the raw maps.
        std: methods S h w.
        thresholds: methods fractions, the z that the fractions 0.1 to 0.001 of healthy brain pixels exceed; NaN for a
            method that is not calibrated.
    """

    def __init__(self, num_slices: int, latent_shape: Sequence[int]) -> None:
        super().__init__()
        shape = (len(ANOMALY_METHODS), num_slices, *latent_shape)
        self.register_buffer("template", torch.zeros(shape[1:]))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))
        self.register_buffer("thresholds", torch.full((shape[0], len(HEALTHY_FRACTIONS)), torch.nan))
        self.register_buffer("codebook_fingerprint", torch.zeros(32, dtype=torch.uint8))

    def check(self, vqvae: VectorQuantizedAutoencoder, method: str) -> None:
        """Make sure that this is the calibration of ``method`` with ``vqvae``.

        Raises:
            InputError: if it is not.
        """
        if not torch.equal(self.codebook_fingerprint.cpu(), codebook_fingerprint(vqvae.quantizer.embedding)):
            raise InputError("the calibration was made with another VQ-VAE: make it again (calibrate.json).")
        if self.thresholds[ANOMALY_METHODS.index(method)].isnan().any():
            raise InputError(f"the calibration does not know {method}: make it again with a prior (calibrate.json).")

    def locate(self, image: torch.Tensor, vqvae: VectorQuantizedAutoencoder) -> torch.Tensor:
        """Slice index of each ``image`` (B 1 H W): int64, B, that of the most similar template.

        Raises:
            InputError: if the images have other grids than those that this was made with.
        """
        return self.similarity(image, vqvae).argmax(1)

    def similarity(self, image: torch.Tensor, vqvae: VectorQuantizedAutoencoder) -> torch.Tensor:
        """Cosine between each ``image`` (B 1 H W) and the template of each position: B S.

        Raises:
            InputError: if the images have other grids than those that this was made with.
        """
        pooled = vqvae.pool(image)[:, 0]
        if pooled.shape[1:] != self.template.shape[1:]:
            raise InputError(
                f"the calibration is for grids of {list(self.template.shape[1:])} codes, slices of "
                f"{list(image.shape[2:])} pixels have {list(pooled.shape[1:])}: give slices as it was made with, or "
                "another calibration_path."
            )
        flat = [F.normalize(values.flatten(1), dim=1) for values in (pooled, self.template)]
        return flat[0] @ flat[1].T

    def z_grid(self, method: str, raw: torch.Tensor, slice_index: torch.Tensor) -> torch.Tensor:
        """z-scores (B h w) of raw values at the codes (B h w)."""
        number = ANOMALY_METHODS.index(method)
        return (raw - self.mean[number, slice_index]) / self.std[number, slice_index]

    def z_map(
        self, method: str, raw: torch.Tensor, slice_index: torch.Tensor, vqvae: VectorQuantizedAutoencoder
    ) -> torch.Tensor:
        """z-scores (B 1 H W) of a raw map (B 1 H W)."""
        number = ANOMALY_METHODS.index(method)
        mean, std = (
            vqvae.spread(values[number, slice_index].unsqueeze(1), raw.shape[2:]) for values in (self.mean, self.std)
        )
        return torch.where(std > 0, (raw - mean) / std.clamp_min(torch.finfo(std.dtype).tiny), 0)

    def threshold(self, method: str, healthy_fraction: float = 0.01) -> float:
        """The z that a fraction of healthy brain pixels exceeds, between the known ones log-linearly.

        Raises:
            InputError: for a fraction outside of 0.001 to 0.1, or an unknown method.
        """
        check_choice("method", method, ANOMALY_METHODS)
        if not HEALTHY_FRACTIONS[-1] <= healthy_fraction <= HEALTHY_FRACTIONS[0]:
            raise InputError(
                f"healthy_fraction must be {HEALTHY_FRACTIONS[-1]} to {HEALTHY_FRACTIONS[0]}, got {healthy_fraction}."
            )
        known = self.thresholds[ANOMALY_METHODS.index(method)].tolist()
        # np.interp wants what it interpolates over to grow
        return float(np.interp(-np.log(healthy_fraction), -np.log(HEALTHY_FRACTIONS), known))


def load_calibration(path: str | os.PathLike[str]) -> AnomalyCalibration:
    """The calibration in a file.

    Raises:
        InputError: naming the file, if it is missing, damaged, or holds something else.
    """
    state = load_tensors(check_file(path, "no such file; make a calibration with calibrate.json."))
    shapes = {name: getattr(value, "shape", ()) for name, value in state.items()} if isinstance(state, dict) else {}
    template = shapes.get("template", ())
    calibration = AnomalyCalibration(template[0], template[1:]) if len(template) == 3 else None
    if calibration is None or shapes != {name: value.shape for name, value in calibration.state_dict().items()}:
        raise InputError(f"{path}: holds no calibration; make one with calibrate.json.")
    if not all(state[name].isfinite().all() for name in ("template", "mean", "std")):
        raise InputError(
            f"{path}: holds values that are not finite (NaN or infinity); make it anew with calibrate.json."
        )
    calibration.load_state_dict(state)
    return calibration.eval()


class PositionEstimate(NamedTuple):
    """What :class:`PositionStatistics` tells.

    Attributes:
        mean: S h w.
        std: S h w.
        known: bool, S: positions at or near which there was a slice.
    """

    mean: torch.Tensor
    std: torch.Tensor
    known: torch.Tensor


class PositionStatistics:
    """Mean and standard deviation of values at each slice position and code, each person's kept apart.

    Args:
        num_slices: slice positions S.
        latent_shape: size (h, w) of the code grid.
    """

    def __init__(self, num_slices: int, latent_shape: Sequence[int]) -> None:
        self.shape = (3, num_slices, *latent_shape)
        self.sums: dict[str, torch.Tensor] = {}

    def add(self, case: str, slice_index: int, values: torch.Tensor, squares: torch.Tensor) -> None:
        """Add a slice: the mean at each code (h w) of the values and of their squares."""
        sums = self.sums.setdefault(case, torch.zeros(self.shape, dtype=torch.float64))
        sums[:, slice_index] += torch.stack([torch.ones_like(values), values, squares.clamp_min(0)]).double()

    def estimate(self, without: str | None = None) -> PositionEstimate:
        """Of all people but one, smoothed over neighbours."""
        total = sum((sums for case, sums in self.sums.items() if case != without), torch.zeros(self.shape).double())
        # along each axis for itself: the grid is small
        smooth = GaussianFilter(3, (SMOOTHING[0], SMOOTHING[1], SMOOTHING[1])).double()
        number, values, squares = smooth(total.unsqueeze(0))[0]
        mean = values / number.clamp_min(1e-6)
        variance = (squares / number.clamp_min(1e-6) - mean.square()).clamp_min(0)
        typical = variance[variance > 0].median() if (variance > 0).any() else variance.new_tensor(1.0)
        known = (number > 1e-6).flatten(1).all(1)
        return PositionEstimate(mean.float(), (variance + FLOOR * typical).sqrt().float(), known)
