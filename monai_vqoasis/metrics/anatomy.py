"""Whether a slice looks like a brain: size, symmetry and ventricles, read off its pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from monai.utils import optional_import

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.errors import InputError, MissingPackageError

__all__ = ["ANATOMY", "Wasserstein", "brain_area", "left_right_symmetry", "ventricle_fraction", "wasserstein"]

AXIS_SEARCH = 8
EROSION = 5
CENTRAL_RADIUS = 1.2
CSF_THRESHOLD = 0.5


class Wasserstein(NamedTuple):
    """Distance in the unit of the values, and in standard deviations of the reference."""

    distance: float
    normalised: float


def brain_area(image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Share of each slice that is brain.

    Args:
        image: B 1 H W in [0, 1].
        mask: bool, B 1 H W; None for :func:`monai_vqoasis.metrics.brain_mask` of the image.

    Returns:
        B, 0 to 1.
    """
    _, mask = _checked(image, mask)
    return mask.flatten(1).float().mean(1)


def left_right_symmetry(image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Correlation of each slice with its mirror image, inside the brain or its mirror image.

    The front of the head points along a row in these slices (to the right), so that left and right are above and below
    each other. The axis is the row, or the line between two, nearest to the brain's centre of mass (within 4 pixels)
    that gives the highest correlation.

    Args:
        image: B 1 H W in [0, 1].
        mask: as for :func:`brain_area`.

    Returns:
        B, -1 to 1; NaN for a slice without brain.
    """
    image, mask = _checked(image, mask)
    image, mask = _cropped(image[:, 0], mask[:, 0])
    height = image.shape[1]
    rows = torch.arange(height, device=image.device)
    weight = mask.sum(2)
    centre = (weight * rows).sum(1) / weight.sum(1).clamp_min(1)
    best = torch.full_like(centre, float("nan"))
    for shift in range(-AXIS_SEARCH, AXIS_SEARCH + 1):
        mirrored = (2 * centre).round().long().add(shift).unsqueeze(1) - rows
        inside = ((mirrored >= 0) & (mirrored < height)).float().unsqueeze(2)
        index = mirrored.clamp(0, height - 1).unsqueeze(2).expand_as(image)
        union = torch.maximum(mask, mask.gather(1, index) * inside)
        best = best.fmax(_correlation(image, image.gather(1, index) * inside, union))
    return best


def ventricle_fraction(image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Dark pixels in the middle of each brain, as a share of the brain: cerebrospinal fluid, mostly ventricles.

    Dark is below half of the brain's median: the fluid lies near a quarter of it, grey matter near the median itself,
    and slices differ in brightness. The middle is an ellipse with the brain's centre of mass and
    1.2 of its standard deviations, 0.6 of the half axes of an ellipse of that spread, which leaves out the cortex and
    its sulci; and 2 pixels inside of the outline, holes filled. The third ventricle, the cisterns between the
    hemispheres and the deepest of the insula count too: a proxy, not a segmentation.

    Args:
        image: B 1 H W in [0, 1].
        mask: as for :func:`brain_area`.

    Returns:
        B, 0 to 1; NaN for a slice without brain.
    """
    image, mask = _checked(image, mask)
    fill_holes = _scipy("scipy.ndimage", "binary_fill_holes")
    filled = [torch.from_numpy(fill_holes(one[0].cpu().numpy())) for one in mask]
    brain = torch.stack(filled).unsqueeze(1).to(image.device)
    within = -F.max_pool2d(-brain.float(), EROSION, stride=1, padding=EROSION // 2) > 0.5
    median = image.masked_fill(~brain, float("nan")).flatten(1).nanmedian(1).values.view(-1, 1, 1, 1)
    dark = within & (_spread(brain) < CENTRAL_RADIUS**2) & (image < CSF_THRESHOLD * median)
    return dark.flatten(1).sum(1) / brain.flatten(1).sum(1)


ANATOMY: Mapping[str, Callable[..., torch.Tensor]] = {
    "brain_area": brain_area,
    "left_right_symmetry": left_right_symmetry,
    "ventricle_fraction": ventricle_fraction,
}


def wasserstein(values: Sequence[float] | torch.Tensor, reference: Sequence[float] | torch.Tensor) -> Wasserstein:
    """First Wasserstein distance between two sets of numbers (``scipy.stats.wasserstein_distance``).

    Args:
        values: what is compared; numbers that are not finite are left out of both.
        reference: what it is compared with, and whose standard deviation normalises.

    Returns:
        NaN where a set is empty; the normalised distance is also NaN where the reference does not vary.
    """
    values, reference = (torch.as_tensor(v, dtype=torch.float64).flatten() for v in (values, reference))
    values, reference = values[values.isfinite()], reference[reference.isfinite()]
    if min(len(values), len(reference)) == 0:
        return Wasserstein(float("nan"), float("nan"))
    distance = float(_scipy("scipy.stats", "wasserstein_distance")(values.numpy(), reference.numpy()))
    spread = float(reference.std(correction=0))
    return Wasserstein(distance, distance / spread if spread > 0 else float("nan"))


def _checked(image: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    if image.ndim != 4 or image.shape[1] != 1:
        raise InputError(f"image must be B 1 H W, got {tuple(image.shape)}.")
    image = torch.as_tensor(image).float()
    return image, brain_mask(image) if mask is None else mask


def _cropped(image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (B H W) without the columns that are outside of all brains, and their masks as numbers."""
    columns = mask.any(0).any(0).nonzero().flatten()
    if len(columns):
        image, mask = (v[..., int(columns[0]) : int(columns[-1]) + 1] for v in (image, mask))
    return image, mask.float()


def _scipy(module: str, name: str) -> Callable:
    function, found = optional_import(module, name=name)
    if not found:
        raise MissingPackageError(f'{module}.{name} is needed: pip install "monai_vqoasis[evaluation]".')
    return function


def _correlation(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Pearson correlation of each item (B H W) over the pixels that count."""
    total = weight.sum((1, 2), keepdim=True)
    x, y = (values - (values * weight).sum((1, 2), keepdim=True) / total for values in (x, y))
    covariance = (x * y * weight).sum((1, 2))
    return covariance / ((x.square() * weight).sum((1, 2)) * (y.square() * weight).sum((1, 2))).sqrt()


def _spread(mask: torch.Tensor) -> torch.Tensor:
    """Squared distance of each pixel from the mask's centre of mass, each axis in its standard deviations."""
    weight = mask.double()
    total = weight.sum((2, 3), keepdim=True)
    squared = torch.zeros_like(weight)
    for axis in (2, 3):
        shape = [1, 1, 1, 1]
        shape[axis] = mask.shape[axis]
        position = torch.arange(mask.shape[axis], dtype=torch.float64, device=mask.device).view(shape)
        offset = position - (weight * position).sum((2, 3), keepdim=True) / total
        squared += offset.square() / ((weight * offset.square()).sum((2, 3), keepdim=True) / total)
    return squared
