"""How near a set of samples is to a set of slices, and how diverse it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from monai.metrics import CumulativeIterationMetric
from tqdm import tqdm

from monai_vqoasis.errors import InputError
from monai_vqoasis.metrics.fidelity import ms_ssim

__all__ = [
    "FrechetMetric",
    "KIDMetric",
    "KernelDistance",
    "frechet_distance",
    "kernel_distance",
    "pair_ms_ssim",
]


class KernelDistance(NamedTuple):
    """Mean and standard deviation over subsets."""

    mean: float
    std: float


def frechet_distance(features: torch.Tensor, reference: torch.Tensor) -> float:
    r"""Fréchet distance between the Gaussians with the means and covariances of two sets; FID where the features are.

    Heusel et al. 2017 (arXiv:1706.08500), equation 6:
    :math:`|\mu_x - \mu_y|^2 + \mathrm{tr}(C_x + C_y - 2 (C_x C_y)^{1/2})`. With the centred sets X and Y, divided by
    the root of their number less one, :math:`C_x = X^T X` and the trace of the root is the sum of the singular values
    of :math:`X Y^T`. So it is exact where there are fewer vectors than features, and no root of a singular matrix is
    needed: MONAI's ``get_fid_score`` takes that root, which is slow, leaves -2e-4 between a set and itself, and calls
    SciPy with an argument that SciPy 1.18 drops.

    Args:
        features: N F.
        reference: M F.

    Returns:
        At least 0. Biased: it falls with N and M, so that only sets of the same size can be compared.

    Raises:
        InputError: for sets that do not fit together or hold fewer than two vectors.
    """
    x, y = _checked(features, reference)
    shift = (x.mean(0) - y.mean(0)).square().sum()
    x, y = ((values - values.mean(0)) / (len(values) - 1) ** 0.5 for values in (x, y))
    spread = x.square().sum() + y.square().sum()
    root_x, root_y = (torch.linalg.qr(v, mode="r").R if len(v) > v.shape[1] else v for v in (x, y))
    return max(0.0, float(shift + spread - 2 * torch.linalg.svdvals(root_x @ root_y.T).sum()))


def kernel_distance(
    features: torch.Tensor, reference: torch.Tensor, subset_size: int = 100, num_subsets: int = 100, seed: int = 0
) -> KernelDistance:
    r"""Squared maximum mean discrepancy with a polynomial kernel; KID where the features are.

    Bińkowski et al. 2018, the kernel inception distance (arXiv:1801.01401): kernel :math:`(x \cdot y / F + 1)^3`,
    unbiased estimator (Gretton et al. 2012, lemma 6), mean over random subsets. MONAI's ``MMDMetric`` has only the
    linear kernel, and sets of equal size.

    Args:
        features: N F.
        reference: M F.
        subset_size: vectors drawn from each set, without replacement; the standard deviation depends on it.
        num_subsets: how often they are drawn.
        seed: of the draws.

    Returns:
        Mean, about 0 for sets of one distribution (and then as often below it), and standard deviation over subsets.

    Raises:
        InputError: for sets that do not fit together or are smaller than ``subset_size``.
    """
    x, y = _checked(features, reference)
    if not 2 <= subset_size <= min(len(x), len(y)) or num_subsets < 1:
        raise InputError(
            f"subset_size must be between 2 and the smaller set ({min(len(x), len(y))}) and num_subsets positive, "
            f"got {subset_size} and {num_subsets}."
        )
    generator = torch.Generator().manual_seed(seed)
    values = torch.stack(
        [
            _squared_mmd(*(v[torch.randperm(len(v), generator=generator)[:subset_size]] for v in (x, y)))
            for _ in range(num_subsets)
        ]
    )
    return KernelDistance(float(values.mean()), float(values.std(correction=0)))


def pair_ms_ssim(
    pixels: torch.Tensor, num_pairs: int, seed: int = 0, cases: Sequence[str] | None = None, batch_size: int = 16
) -> torch.Tensor:
    """MS-SSIM of random pairs of slices: the higher, the less diverse the set.

    As Odena et al. 2017 (arXiv:1610.09585), section 4.2, and Pinaya et al. 2022 (arXiv:2209.07162) for brains.

    Args:
        pixels: uint8, N 1 H W, at least 176 pixels a side.
        num_pairs: how many pairs are drawn, uniformly over all pairs of different slices.
        seed: of the draws.
        cases: whose slice it is; then only pairs of different people are drawn.
        batch_size: pairs at a time.

    Returns:
        float32, num_pairs.

    Raises:
        InputError: if there is no such pair, or for the slices as in :func:`monai_vqoasis.metrics.ms_ssim`.
    """
    names = list(range(len(pixels))) if cases is None else list(cases)
    if len(set(names)) < 2 or num_pairs < 1:
        what = "slices" if cases is None else "slices of different people"
        raise InputError(f"pairs need at least two {what} and a positive num_pairs, got {num_pairs}.")
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    person = torch.tensor([number[name] for name in names])
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.empty(0, 2, dtype=torch.int64)
    while len(pairs) < num_pairs:
        drawn = torch.randint(len(pixels), (num_pairs, 2), generator=generator)
        pairs = torch.cat([pairs, drawn[person[drawn[:, 0]] != person[drawn[:, 1]]]])
    parts = []
    for part in tqdm(pairs[:num_pairs].split(batch_size), desc="comparing pairs", unit="batch", disable=None):
        first, second = (pixels[column].float() / 255 for column in part.unbind(1))
        parts.append(ms_ssim(first, second))
    return torch.cat(parts)


class _FeatureMetric(CumulativeIterationMetric):
    """Buffers features of both sets, of any sizes, and gathers them over processes.

    Args:
        y_mapping: images to features (B F), as in MONAI's ``MMDMetric``; None where features are given.
    """

    def __init__(self, y_mapping: Callable[[torch.Tensor], torch.Tensor] | None = None) -> None:
        super().__init__()
        self.y_mapping = y_mapping

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None, **_: object) -> list[torch.Tensor]:
        if y is None:
            raise InputError(f"{type(self).__name__} needs y, the features or images to compare with.")
        return [y_pred, y] if self.y_mapping is None else [self.y_mapping(y_pred), self.y_mapping(y)]


class FrechetMetric(_FeatureMetric):
    """:func:`frechet_distance` over all batches since the last reset; ``aggregate`` returns a float."""

    def aggregate(self) -> float:
        return frechet_distance(*self.get_buffer())


class KIDMetric(_FeatureMetric):
    """:func:`kernel_distance` over all batches since the last reset; ``aggregate`` returns a :class:`KernelDistance`.

    Args:
        y_mapping: images to features (B F), as in MONAI's ``MMDMetric``; None where features are given.
        subset_size: see :func:`kernel_distance`.
        num_subsets: see :func:`kernel_distance`.
        seed: see :func:`kernel_distance`.
    """

    def __init__(
        self,
        y_mapping: Callable[[torch.Tensor], torch.Tensor] | None = None,
        subset_size: int = 100,
        num_subsets: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__(y_mapping)
        self.arguments = (subset_size, num_subsets, seed)

    def aggregate(self) -> KernelDistance:
        return kernel_distance(*self.get_buffer(), *self.arguments)


def _checked(features: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if features.ndim != 2 or reference.ndim != 2 or features.shape[1] != reference.shape[1]:
        raise InputError(f"features must be N F and M F, got {tuple(features.shape)} and {tuple(reference.shape)}.")
    if min(len(features), len(reference)) < 2:
        raise InputError(f"each set needs at least two vectors, got {len(features)} and {len(reference)}.")
    if not (features.isfinite().all() and reference.isfinite().all()):
        raise InputError("features must be finite.")
    return features.detach().cpu().double(), reference.detach().cpu().double()


def _squared_mmd(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    within_x, within_y = kernel(x, x), kernel(y, y)
    return (
        (within_x.sum() - within_x.trace()) / (n * (n - 1))
        + (within_y.sum() - within_y.trace()) / (m * (m - 1))
        - 2 * kernel(x, y).mean()
    )
