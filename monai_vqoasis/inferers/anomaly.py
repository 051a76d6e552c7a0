"""What looks abnormal on a slice: maps of residual, surprise and restoration."""

from __future__ import annotations

import math

import torch
from monai.inferers import Inferer
from monai.networks.layers import GaussianFilter

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.errors import InputError
from monai_vqoasis.inferers.calibration import ANOMALY_METHODS, AnomalyCalibration
from monai_vqoasis.inferers.likelihood import bits_per_code
from monai_vqoasis.inferers.sampling import AncestralSampler
from monai_vqoasis.inferers.wavefront import WavefrontSampler
from monai_vqoasis.networks import CodePrior, VectorQuantizedAutoencoder
from monai_vqoasis.settings import check_choice
from monai_vqoasis.slices import map_slices

__all__ = ["AnomalyInferer"]

SIGMA = {"residual": 2.0, "surprise": 1.0, "restoration": 4.0}  # of the smoothing: pixels; codes for surprise
MOST_OUTSIDE = 0.1  # of the brain


class AnomalyInferer(Inferer):
    """Maps how far each brain pixel is from healthy, in standard deviations of healthy slices at its position.

    - ``residual``: |image - reconstruction|. Needs no prior.
    - ``surprise``: -log p(code | codes before it), spread over the code's pixels.
    - ``restoration``: codes whose surprise is unusual at their position are drawn anew from the prior, given the
      others, and decoded, several times; |image - mean restored image| (after Wang et al. 2020,
      https://arxiv.org/abs/2010.02007, and Pinaya et al. 2022, https://doi.org/10.1016/j.media.2022.102475, who take
      one threshold for all positions).

    Each is smoothed a little, and turned into a z-score by an :class:`AnomalyCalibration`; 0 outside of the brain.
    Slices of volumes are scored one by one. The same slice, seed and settings give the same map.

    Args:
        method: "residual", "surprise" or "restoration".
        calibration: of this method and network.
        prior: a trained stage 2; only ``residual`` does without.
        num_restorations: restored images averaged.
        redraw_above: z of the surprise above which a code is drawn anew.
        sampler: draws them.
        seed: of the restorations.
        slice_batch_size: slices computed at a time.

    Raises:
        InputError: for an unknown method, or one that needs a prior without one.
    """

    def __init__(
        self,
        method: str = "restoration",
        calibration: AnomalyCalibration | None = None,
        prior: CodePrior | None = None,
        num_restorations: int = 4,
        redraw_above: float = 1.0,
        sampler: AncestralSampler | None = None,
        seed: int = 0,
        slice_batch_size: int = 8,
    ) -> None:
        super().__init__()
        check_choice("method", method, ANOMALY_METHODS)
        if method != "residual" and prior is None:
            raise InputError(f"{method} needs a trained prior; without one only residual can be mapped.")
        if num_restorations < 1:
            raise InputError(f"num_restorations must be positive, got {num_restorations}.")
        self.method = method
        self.calibration = calibration
        self.prior = prior
        self.num_restorations = num_restorations
        self.redraw_above = redraw_above
        self.sampler = sampler or WavefrontSampler()
        self.seed = seed
        self.slice_batch_size = slice_batch_size

    @torch.no_grad()
    def __call__(
        self, inputs: torch.Tensor, network: VectorQuantizedAutoencoder, *args: object, **kwargs: object
    ) -> torch.Tensor:
        """Map ``inputs``.

        Args:
            inputs: B 1 H W, or B 1 H W D whose slices are along the last axis; values in [0, 1], black outside of the
                brain.
            network: stage 1, in evaluation mode.
            args: not used.
            kwargs: not used.

        Returns:
            z-scores, same shape and type as ``inputs``, metadata included; 0 outside of the brain.

        Raises:
            ValueError: for another number of dimensions.
            InputError: if prior or calibration belong to another network, or more than a tenth of the brain lies where
                the network does not look, as on slices of another pixel size.
        """
        if self.calibration is None:
            raise InputError("anomaly maps need a calibration: make one with calibrate.json.")
        self.calibration.check(network, self.method)
        if self.prior is not None:
            self.prior.check_paired_with(network)
        return map_slices(inputs, lambda slices: self._map(slices, network))

    def _map(self, slices: torch.Tensor, network: VectorQuantizedAutoencoder) -> torch.Tensor:
        brain = brain_mask(slices)
        self._check_coverage(brain, network)
        output = torch.zeros_like(slices)
        shown = brain.flatten(1).any(1).nonzero().flatten()
        for part in shown.split(self.slice_batch_size) if len(shown) else ():
            index = self.calibration.locate(slices[part], network)
            raw = self.raw(slices[part], network, index)
            output[part] = self.calibration.z_map(self.method, raw, index, network).to(output.dtype) * brain[part]
        return output

    def _check_coverage(self, brain: torch.Tensor, network: VectorQuantizedAutoencoder) -> None:
        grid = network.latent_shape(brain.shape[2:])
        coded = network.spread(torch.ones(1, 1, *grid, device=brain.device), brain.shape[2:]) > 0
        outside = float((brain & ~coded).sum() / brain.sum().clamp_min(1))
        if outside > MOST_OUTSIDE:
            size = "x".join(map(str, network.image_size(grid)))
            raise InputError(
                f"{outside:.0%} of the brain lies outside of the middle {size} pixels, where the network does "
                "not look: give slices of the pixel size that it was trained on, their brain in the middle."
            )

    def raw(self, image: torch.Tensor, network: VectorQuantizedAutoencoder, slice_index: torch.Tensor) -> torch.Tensor:
        """The map before its calibration: B 1 H W, at least 0.

        Args:
            image: B 1 H W in [0, 1].
            network: stage 1.
            slice_index: int64, B.
        """
        if self.method == "residual":
            return _smooth((image - network(image).clamp(0, 1)).abs(), SIGMA["residual"])
        codes = network.encode(image)
        surprise = self.surprise(codes, slice_index)
        if self.method == "surprise":
            return network.spread(surprise.unsqueeze(1), image.shape[2:])
        unusual = self.calibration.z_grid("surprise", surprise, slice_index) > self.redraw_above
        restored = self.restore(codes, unusual, slice_index, network, image.shape[2:])
        return _smooth((image - restored).abs(), SIGMA["restoration"])

    def surprise(self, codes: torch.Tensor, slice_index: torch.Tensor) -> torch.Tensor:
        """Nats of each code, smoothed over its neighbours: B h w, of ``codes`` (int64, B h w)."""
        conditions = self._conditions(slice_index)
        nats = bits_per_code(self.prior, codes, self.slice_batch_size, conditions) * math.log(2)
        return _smooth(nats.unsqueeze(1), SIGMA["surprise"])[:, 0]

    def restore(
        self,
        codes: torch.Tensor,
        redrawn: torch.Tensor,
        slice_index: torch.Tensor,
        network: VectorQuantizedAutoencoder,
        image_size: torch.Size,
    ) -> torch.Tensor:
        """Mean of the images (B 1 H W) with the codes (int64, B h w) of ``redrawn`` (bool, B h w) drawn anew."""
        given = codes.masked_fill(redrawn, -1)
        restored = torch.zeros(len(codes), 1, *image_size, device=codes.device)
        for number in range(self.num_restorations):
            seeds = [self.seed + number] * len(codes)
            drawn = self.sampler(self.prior, codes.shape[1:], seeds, given, self._conditions(slice_index))
            restored += network.decode(drawn, list(image_size)).clamp(0, 1) / self.num_restorations
        return restored

    def _conditions(self, slice_index: torch.Tensor) -> dict[str, torch.Tensor]:
        if "slice_index" not in self.prior.condition_values:
            return {}
        most = self.prior.condition_values["slice_index"] - 1
        if slice_index.max() > most:
            raise InputError(f"slice_index must be 0 to {most} for this prior, got {int(slice_index.max())}.")
        # it is not told positions that it never saw
        trained = torch.tensor(self.prior.trained_values("slice_index"), device=slice_index.device)
        return {"slice_index": slice_index.where(torch.isin(slice_index, trained), -1)}


def _smooth(maps: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian of maps (B 1 H W)."""
    return GaussianFilter(2, sigma).to(maps.device)(maps)
