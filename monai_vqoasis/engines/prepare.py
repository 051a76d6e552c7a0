"""From a batch of items to a network's arguments, as MONAI's engines ask for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from monai.utils import convert_to_tensor

__all__ = ["prepare_codes_batch", "prepare_image_batch"]


def prepare_image_batch(
    batch: Mapping[str, torch.Tensor], device: torch.device | None = None, non_blocking: bool = False, **kwargs: object
) -> tuple[torch.Tensor, torch.Tensor, tuple, dict[str, object]]:
    """Stage 1: the image is input and target, and the network is asked for its full output."""
    # without MONAI's metadata, which every operation of the network would carry along
    image = convert_to_tensor(batch["image"], track_meta=False).to(device=device, non_blocking=non_blocking, **kwargs)
    return image, image, (), {"full_output": True}


def prepare_codes_batch(
    batch: Mapping[str, torch.Tensor],
    device: torch.device | None = None,
    non_blocking: bool = False,
    conditions: Iterable[str] = (),
    **kwargs: object,
) -> tuple[torch.Tensor, torch.Tensor, tuple, dict[str, torch.Tensor]]:
    """Stage 2: the codes are input and target, and the prior is told the ``conditions`` of the batch, by name."""
    codes, *values = (
        torch.as_tensor(batch[key]).to(device=device, non_blocking=non_blocking, **kwargs)
        for key in ("codes", *conditions)
    )
    return codes, codes, (), dict(zip(conditions, values, strict=True))
