"""Slices to codes, once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.data import DataLoader
from torch.utils.data import Dataset
from tqdm import tqdm

from monai_vqoasis.networks import VectorQuantizedAutoencoder

__all__ = ["encode_slices"]


@torch.no_grad()
def encode_slices(
    vqvae: VectorQuantizedAutoencoder,
    dataset: Dataset | Sequence[dict[str, object]],
    device: torch.device | str = "cpu",
    batch_size: int = 8,
    progress: bool = True,
) -> list[dict[str, object]]:
    """Encode every slice of a dataset.

    Args:
        vqvae: a trained stage 1.
        dataset: items with ``image`` (1 H W in [0, 1], all of one size), ``case`` and ``slice_index``.
        device: where to compute.
        batch_size: slices at a time.
        progress: show a progress bar.

    Returns:
        One item a slice: ``codes`` (int64, h w), ``case``, ``slice_index``.
    """
    vqvae = vqvae.to(device).eval()
    items: list[dict[str, object]] = []
    batches = DataLoader(dataset, batch_size=batch_size)
    for batch in tqdm(batches, desc="encoding slices", unit="batch", disable=None if progress else True):
        codes = vqvae.encode(torch.as_tensor(batch["image"]).to(device)).cpu()
        for row, case, index in zip(codes, batch["case"], batch["slice_index"], strict=True):
            items.append({"codes": row, "case": case, "slice_index": int(index)})
    return items
