"""Scores of anomaly maps."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.slices import to_slices

__all__ = ["AnomalyScore", "AnomalyScored", "anomaly_score"]

SCORE_FRACTION = 0.01


def anomaly_score(z_map: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """How abnormal each slice is: the z that 1 % of its brain exceeds.

    Args:
        z_map: B 1 H W, of :class:`monai_vqoasis.inferers.AnomalyInferer`.
        mask: bool, B 1 H W: the brain.

    Returns:
        B; 0 for a slice without brain.
    """
    inside = [values[where].float() for values, where in zip(z_map, mask, strict=True)]
    return torch.stack([v.quantile(1 - SCORE_FRACTION) if len(v) else v.new_zeros(()) for v in inside])


class AnomalyScore(Transform):
    """Scores of an image and of each of its slices.

    Args:
        threshold: z from which a pixel is abnormal.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def __call__(self, z_map: torch.Tensor, image: torch.Tensor) -> dict[str, object]:
        """Score an image by its ``z_map``.

        Args:
            z_map: 1 H W, or 1 H W D whose slices are along the last axis; see
                :class:`monai_vqoasis.inferers.AnomalyInferer`.
            image: same shape, in [0, 1].

        Returns:
            ``slice_scores`` (see :func:`anomaly_score`) and ``slice_shares`` (abnormal part of the brain, 0 to 1), a
            list each; ``anomaly_score``, the highest of the scores, and ``anomalous_share`` of the whole brain.
        """
        maps, slices = (to_slices(values.unsqueeze(0)).cpu() for values in (z_map, image))
        brain = brain_mask(slices)
        scores = anomaly_score(maps, brain)
        pixels = brain.flatten(1).sum(1)
        abnormal = ((maps >= self.threshold) & brain).flatten(1).sum(1)
        return {
            "anomaly_score": scores.max().item(),
            "anomalous_share": (abnormal.sum() / pixels.sum().clamp_min(1)).item(),
            "slice_scores": scores.tolist(),
            "slice_shares": (abnormal / pixels.clamp_min(1)).tolist(),
        }


class AnomalyScored(MapTransform):
    """Dictionary-based wrapper of :class:`AnomalyScore`.

    Args:
        keys: the key of the map.
        image_key: that of the image.
        score_key: where the scores go; "result" is what MONAI Label answers with.
        threshold: see :class:`AnomalyScore`.
        allow_missing_keys: do not raise if a key is missing.
    """

    def __init__(
        self,
        keys: KeysCollection,
        threshold: float,
        image_key: str = "image",
        score_key: str = "result",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.score = AnomalyScore(threshold)
        self.image_key = image_key
        self.score_key = score_key

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[self.score_key] = self.score(d[key], d[self.image_key])
        return d
