"""Anomaly maps of healthy slices, for what they tell about each position."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence

import torch
from monai.data import DataLoader
from monai.utils import convert_to_tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.data import cdr_index
from monai_vqoasis.errors import InputError
from monai_vqoasis.inferers import ANOMALY_METHODS, AnomalyCalibration, AnomalyInferer, PositionStatistics
from monai_vqoasis.inferers.calibration import HEALTHY_FRACTIONS, PositionEstimate
from monai_vqoasis.networks import CodePrior, VectorQuantizedAutoencoder, save_tensors
from monai_vqoasis.networks.vector_quantizer import codebook_fingerprint

__all__ = ["AnomalyCalibrator", "select_healthy"]

logger = logging.getLogger(__name__)


def select_healthy(datalist: Sequence[dict[str, object]], cdr: Mapping[str, int]) -> list[dict[str, object]]:
    """The slices of people whose dementia rating is 0; all of them where no rating is known.

    Raises:
        InputError: if ratings are given and nobody has 0.
    """
    healthy = [item for item in datalist if not cdr or cdr.get(item["case"]) == cdr_index(0)]
    if not healthy:
        raise InputError("nobody of this section has a dementia rating of 0: give other slices, or no cases_path.")
    return healthy


class AnomalyCalibrator:
    """Makes the :class:`AnomalyCalibration` of two networks from healthy slices that they were not trained on.

    Mean and spread of each raw map at each position, and from those the z-scores that small fractions of healthy brain
    pixels exceed; a person's z-scores are taken with the statistics of the others.

    Args:
        vqvae: trained stage 1.
        dataset: items with ``image`` (1 H W in [0, 1]), ``case`` and ``slice_index``, of two people at least.
        output_path: file to write.
        prior: trained stage 2; None calibrates the residual alone.
        device: where to compute.
        batch_size: slices at a time.
        inferer_kwargs: of :class:`AnomalyInferer`, as they will be when it is used.

    Raises:
        InputError: for slices of fewer than two people, or at distant positions only, or a prior of another VQ-VAE.
    """

    def __init__(
        self,
        vqvae: VectorQuantizedAutoencoder,
        dataset: Dataset,
        output_path: str | os.PathLike[str],
        prior: CodePrior | None = None,
        device: torch.device | str = "cpu",
        batch_size: int = 16,
        **inferer_kwargs: object,
    ) -> None:
        if prior is not None:
            prior.check_paired_with(vqvae)
        self.vqvae = vqvae
        self.dataset = dataset
        self.output_path = output_path
        self.prior = prior
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.inferer_kwargs = inferer_kwargs

    @torch.no_grad()
    def run(self) -> AnomalyCalibration:
        """Calibrate every method that the networks allow, and write the file."""
        cases, indices, brains, pooled = [], [], [], []
        for image, case, index in self._batches("healthy slices"):
            cases += case
            indices.append(index.cpu())
            brains.append(brain_mask(image).cpu())
            pooled.append(self.vqvae.pool(image)[:, 0].cpu())
        if len(set(cases)) < 2:
            raise InputError(f"a calibration needs healthy slices of two people at least, got {len(set(cases))}.")
        index, brain = torch.cat(indices), torch.cat(brains)
        if not brain.any():
            raise InputError("the healthy slices show no brain: nothing in them is bright.")
        calibration = AnomalyCalibration(int(index.max()) + 1, pooled[0].shape[1:]).to(self.device)
        number = index.bincount(minlength=len(calibration.template)).clamp_min(1).view(-1, 1, 1)
        total = torch.zeros(len(number), *pooled[0].shape[1:]).index_add(0, index, torch.cat(pooled))
        calibration.template.copy_(total / number)
        calibration.codebook_fingerprint.copy_(codebook_fingerprint(self.vqvae.quantizer.embedding))
        # in their order: the restoration asks the surprise what is unusual
        for method in ANOMALY_METHODS if self.prior is not None else ANOMALY_METHODS[:1]:
            self._calibrate(method, calibration, cases, index, brain)
        save_tensors(calibration.cpu().state_dict(), self.output_path)
        logger.info(f"calibrated on {len(cases)} slices of {len(set(cases))} people")
        return calibration.eval()

    def _calibrate(
        self,
        method: str,
        calibration: AnomalyCalibration,
        cases: Sequence[str],
        slice_index: torch.Tensor,
        brain: torch.Tensor,
    ) -> None:
        inferer = AnomalyInferer(method, calibration, self.prior, **self.inferer_kwargs)
        statistics = PositionStatistics(len(calibration.template), calibration.template.shape[1:])
        maps = []
        for image, case, index in self._batches(method):
            raw = inferer.raw(image, self.vqvae, index)
            maps.append(raw.cpu())
            values, squares = (self.vqvae.pool(v)[:, 0].cpu() for v in (raw, raw.square()))
            for one in zip(case, index.tolist(), values, squares, strict=True):
                statistics.add(*one)
        raw = torch.cat(maps)
        number = ANOMALY_METHODS.index(method)
        inside = []
        for left_out in dict.fromkeys(cases):
            others = statistics.estimate(without=left_out)
            self._fill(calibration, number, others)
            mine = torch.tensor([case == left_out for case in cases]) & others.known[slice_index]
            where = [v.to(self.device) for v in (raw[mine], slice_index[mine])]
            inside.append(calibration.z_map(method, *where, self.vqvae).cpu()[brain[mine]])
        self._fill(calibration, number, statistics.estimate())
        ordered = torch.cat(inside).sort().values
        if not len(ordered):
            raise InputError(
                "a calibration compares healthy people at the same slice positions, or nearby ones: no two of these "
                "have any."
            )
        upper = [ordered[int((1 - fraction) * (len(ordered) - 1))] for fraction in HEALTHY_FRACTIONS]
        calibration.thresholds[number] = torch.stack(upper)

    def _fill(self, calibration: AnomalyCalibration, number: int, statistics: PositionEstimate) -> None:
        calibration.mean[number], calibration.std[number] = (v.to(self.device) for v in statistics[:2])

    def _batches(self, desc: str) -> Iterator[tuple[torch.Tensor, list[str], torch.Tensor]]:
        loader = DataLoader(self.dataset, batch_size=self.batch_size)
        for batch in tqdm(loader, desc=f"calibrate: {desc}", unit="batch", disable=None):
            image = convert_to_tensor(batch["image"], track_meta=False).to(self.device)
            yield image, batch["case"], torch.as_tensor(batch["slice_index"]).to(self.device)
