"""Lesions planted in healthy slices, with the pixels that they changed: what an anomaly map ought to find."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter, label, map_coordinates

__all__ = ["KINDS", "RADII", "Lesion", "plant_lesion"]

KINDS = ("dark", "bright", "ring", "ventricles_enlarged", "ventricles_displaced")
RADII = (3, 6, 12)  # pixels, about 1 mm each
EDGE = 1.0  # pixels over which a lesion fades
CONTRAST = 0.15  # at least, between a dark or bright lesion and what it replaces
VISIBLE = 0.1  # grey value by which a pixel must change to count as displaced
TRIES = 200


class Lesion(NamedTuple):
    """A slice with a lesion.

    Attributes:
        image: float32, H W in [0, 1].
        mask: bool, H W: pixels of the lesion; those that changed visibly, for ventricles.
    """

    image: np.ndarray
    mask: np.ndarray


def plant_lesion(image: np.ndarray, kind: str, radius: float, random: np.random.Generator) -> Lesion | None:
    """Plant one lesion.

    Blobs are ellipses with an uneven, smooth edge and a quarter of the texture that they cover: dark ones as fluid,
    bright ones as fat or blood, rings bright around a dark core. They lie in the brain, dark and bright ones where they
    differ by at least 0.15 from what they replace, before up to 0.3 of that shines through. Ventricles are enlarged by
    half of ``radius`` on each side, or displaced by it, in a smooth warp.

    Args:
        image: a healthy slice, float, H W in [0, 1], black outside of the brain.
        kind: one of :data:`KINDS`.
        radius: half the lesion's width, or how far ventricles move; pixels.
        random: where and how.

    Returns:
        None where the slice has no place for it.
    """
    brain = image > 0
    if kind.startswith("ventricles"):
        return _warped(image, brain, kind, radius, random)
    inside = binary_erosion(brain, iterations=3)
    low, high = np.percentile(image[inside], (3, 97)) if inside.any() else (0, 0)
    for _ in range(TRIES if inside.any() else 0):
        centre = random.choice(np.argwhere(inside))
        distance = _distance(image.shape, centre, radius, random)
        weight = _sigmoid((1 - distance) * radius / EDGE)
        target = np.full_like(image, high if kind == "bright" else low)
        if kind == "ring":
            target += (high - low) * _sigmoid((distance - 0.6) * radius / EDGE)
        mask = (weight > 0.5) & brain
        standing_out = abs(image[mask].mean() - target[mask].mean()) if mask.any() else 0
        if mask.sum() >= 0.7 * (weight > 0.5).sum() and (kind == "ring" or standing_out > CONTRAST):
            weight *= random.uniform(0.7, 1)
            texture = 0.25 * (image - gaussian_filter(image, radius / 2))
            changed = image + weight * (target + texture - image)
            return Lesion(np.where(brain, changed.clip(0, 1), 0).astype(np.float32), mask)
    return None


def _distance(shape: tuple[int, ...], centre: np.ndarray, radius: float, random: np.random.Generator) -> np.ndarray:
    """Distance from ``centre`` in radii of an uneven ellipse."""
    rows, columns = np.indices(shape) - centre.reshape(2, 1, 1)
    angle, ratio = random.uniform(0, np.pi), random.uniform(0.7, 1)
    along = rows * np.cos(angle) + columns * np.sin(angle)
    across = columns * np.cos(angle) - rows * np.sin(angle)
    uneven = gaussian_filter(random.standard_normal(shape), max(radius / 2, 1))
    return np.hypot(along * np.sqrt(ratio), across / np.sqrt(ratio)) / radius + 0.15 * uneven / uneven.std()


def _warped(
    image: np.ndarray, brain: np.ndarray, kind: str, radius: float, random: np.random.Generator
) -> Lesion | None:
    dark = binary_erosion(brain, iterations=5) & (image < 0.5 * np.median(image[brain])) if brain.any() else brain
    rows, columns = np.indices(image.shape)
    if dark.any():  # of what is dark, what lies in the middle
        centre = np.argwhere(brain).mean(0)
        dark &= np.hypot((rows - centre[0]) / 25, (columns - centre[1]) / 45) < 1
    if dark.sum() < 100:
        return None
    if kind == "ventricles_enlarged":
        # each pixel takes the value of one nearer to the fluid
        amount = radius / 2
        away = distance_transform_edt(~dark)
        shift = -np.stack(np.gradient(gaussian_filter(away, 1))) * amount * np.exp(-away / (3 * amount))
    else:
        centre = np.argwhere(dark).mean(0)
        reach = np.hypot((rows - centre[0]) / 24, (columns - centre[1]) / 36)
        shift = np.stack([random.choice([-1, 1]) * radius * np.exp(-(reach**2)), np.zeros(image.shape)])
    changed = map_coordinates(image, np.stack([rows, columns]) + gaussian_filter(shift, (0, 1, 1)), order=1)
    changed = np.where(brain, changed.clip(0, 1), 0).astype(np.float32)
    mask = (gaussian_filter(np.abs(changed - image), 1) > VISIBLE) & brain
    mask = remove_small(mask)
    return Lesion(changed, mask) if mask.any() else None


def remove_small(mask: np.ndarray, pixels: int = 12) -> np.ndarray:
    """A mask without its parts of fewer pixels."""
    parts, _ = label(mask)
    return mask & (np.bincount(parts.ravel())[parts] >= pixels)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values * 4, -50, 50)))
