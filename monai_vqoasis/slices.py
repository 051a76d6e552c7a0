"""Volumes as the slices that they are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.utils import convert_to_dst_type, convert_to_tensor

__all__ = ["map_slices", "to_slices"]


def to_slices(image: torch.Tensor) -> torch.Tensor:
    """The slices of images (B 1 H W) or of volumes (B 1 H W D, along the last axis), without metadata: N 1 H W.

    Raises:
        ValueError: for another number of dimensions.
    """
    if image.ndim not in (4, 5):
        raise ValueError(f"expected B 1 H W or B 1 H W D, got shape {tuple(image.shape)}.")
    image = convert_to_tensor(image, track_meta=False)
    return image if image.ndim == 4 else image.movedim(-1, 1).flatten(0, 1)


def map_slices(image: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """What ``function`` makes of the slices (N 1 H W, to the same shape), in the shape and type of ``image``.

    Args:
        image: B 1 H W or B 1 H W D; its metadata are those of the result.
        function: is given all slices at once.

    Raises:
        ValueError: for another number of dimensions.
    """
    output = function(to_slices(image))
    if image.ndim == 5:
        output = output.unflatten(0, (image.shape[0], image.shape[-1])).movedim(1, -1)
    return convert_to_dst_type(output, image)[0]
