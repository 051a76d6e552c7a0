"""The learned code and image codecs at equal bytes: measuring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm

from monai_vqoasis.evaluation.slices import SliceSet
from monai_vqoasis.metrics import Estimate, brain_mask, estimate_mean, psnr, ssim
from monai_vqoasis.metrics.codecs import CODECS, at_bytes, codec_curve, header_bytes

__all__ = ["MEASURES", "Curve", "Rival", "compare_at_bytes", "measure", "measure_curve"]

MEASURES = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "psnr_brain": "PSNR in brain (dB)",
    "ssim_brain": "SSIM in brain",
}
CURVE_QUALITIES: Mapping[str, Sequence[int]] = {
    "jpeg": [1, 5, 10, 20, 35, 55, 80],
    "webp": [0, 5, 15, 30, 50, 70, 85],
    "jpeg2000": [80, 120, 140, 160, 180, 200, 240],
    "avif": [0, 10, 20, 30, 40, 55, 70],
}
BATCH = 4


@dataclass(frozen=True)
class Rival:
    """A codec within a number of bytes a slice.

    Attributes:
        codec: one of ``CODECS``.
        whole_file: whether its header counts.
        reached: bool, N: slices on which it gets down to so few bytes; the rest is at its lowest quality.
        num_bytes: int64, N, of what counts.
        decoded: uint8, N 1 H W.
        scores: :data:`MEASURES`, N each, NaN where it is not reached.
    """

    codec: str
    whole_file: bool
    reached: torch.Tensor
    num_bytes: torch.Tensor
    decoded: torch.Tensor
    scores: Mapping[str, torch.Tensor]

    @property
    def label(self) -> str:
        return f"{CODECS[self.codec]}, {'whole file' if self.whole_file else 'without header'}"

    def means(self, cases: Sequence[str]) -> dict[str, Estimate | None]:
        """Mean of each measure over the slices that are reached, None where there are none."""
        return self._over_reached(self.scores, cases)

    def lead(self, ours: Mapping[str, torch.Tensor], cases: Sequence[str]) -> dict[str, Estimate | None]:
        """Mean of our measure less the codec's on the same slices, those that are reached."""
        differences = {name: ours[name] - values for name, values in self.scores.items()}
        return self._over_reached(differences, cases)

    def people(self, cases: Sequence[str]) -> int:
        """How many people have slices that are reached."""
        return len({cases[index] for index in self.reached.nonzero()[:, 0].tolist()})

    def _over_reached(self, values: Mapping[str, torch.Tensor], cases: Sequence[str]) -> dict[str, Estimate | None]:
        indices = self.reached.nonzero()[:, 0]
        people = [cases[index] for index in indices.tolist()]
        return {
            name: estimate_mean(v[indices], people) if v[indices].isfinite().any() else None
            for name, v in values.items()
        }


@dataclass(frozen=True)
class Curve:
    """A codec over its qualities: mean bytes of the whole file, and means of :data:`MEASURES`, one value a quality."""

    codec: str
    qualities: Sequence[int]
    num_bytes: Sequence[float]
    means: Mapping[str, Sequence[float]]


def measure(decoded: torch.Tensor, slices: SliceSet, which: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """:data:`MEASURES` of pictures.

    Args:
        decoded: uint8, N 1 H W.
        slices: the originals, N.
        which: bool, N: those to measure; the others get NaN. None for all.
    """
    scores = {name: torch.full((len(slices),), float("nan")) for name in MEASURES}
    indices = torch.arange(len(slices)) if which is None else which.nonzero()[:, 0]
    for part in indices.split(BATCH) if len(indices) else ():
        image, prediction = slices.images(part), decoded[part].float() / 255
        mask = brain_mask(image)
        scores["psnr"][part], scores["ssim"][part] = psnr(prediction, image), ssim(prediction, image)
        scores["psnr_brain"][part] = psnr(prediction, image, mask)
        scores["ssim_brain"][part] = ssim(prediction, image, mask)
    return scores


def compare_at_bytes(slices: SliceSet, codec: str, budgets: Mapping[str, torch.Tensor]) -> dict[str, list[Rival]]:
    """A codec within each budget (name: int64, N bytes), first without its header, then the whole file."""
    header = header_bytes(codec)
    free = [header, 0]
    result = at_bytes(slices.pixels, codec, torch.stack([b + extra for b in budgets.values() for extra in free]))
    rivals: dict[str, list[Rival]] = {}
    keys = [(name, extra) for name in budgets for extra in free]
    for row, (name, extra) in enumerate(tqdm(keys, desc=f"{CODECS[codec]} fidelity", leave=False, disable=None)):
        reached, decoded = result.reached[row], result.decoded[row]
        scores = measure(decoded, slices, reached)
        rivals.setdefault(name, []).append(
            Rival(codec, extra == 0, reached, result.num_bytes[row] - extra, decoded, scores)
        )
    return rivals


def measure_curve(slices: SliceSet, codec: str) -> Curve:
    """A codec over a range of qualities."""
    qualities, num_bytes = CURVE_QUALITIES[codec], []
    means: dict[str, list[float]] = {name: [] for name in MEASURES}
    for point in codec_curve(slices.pixels, codec, qualities):
        num_bytes.append(float(point.num_bytes.double().mean()))
        for name, values in measure(point.decoded, slices).items():
            means[name].append(float(values[values.isfinite()].mean()))
    return Curve(codec, qualities, num_bytes, means)
