"""Slices to codes, once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.data import DataLoader
from monai.utils import convert_to_tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from monai_vqoasis.networks import VectorQuantizedAutoencoder

__all__ = ["encode_slices", "encode_variants"]


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
    # one tensor for all: what is kept of a batch would lie between the memory that the next one's activations need
    grids = None
    batches = DataLoader(dataset, batch_size=batch_size)
    for batch in tqdm(batches, desc="encoding slices", unit="batch", disable=None if progress else True):
        codes = vqvae.encode(convert_to_tensor(batch["image"], device=device, track_meta=False))
        if grids is None:
            grids = codes.new_empty((len(dataset), *codes.shape[1:]), device="cpu")
        for row, case, index in zip(codes, batch["case"], batch["slice_index"], strict=True):
            items.append({"codes": grids[len(items)].copy_(row), "case": case, "slice_index": int(index)})
    return items


def encode_variants(
    vqvae: VectorQuantizedAutoencoder,
    dataset: Dataset,
    num_variants: int,
    device: torch.device | str = "cpu",
    batch_size: int = 8,
) -> list[list[dict[str, object]]]:
    """Encode a dataset several times, each time as its random transforms make it in another epoch.

    Args:
        vqvae: a trained stage 1.
        dataset: slices with random transforms, which its attribute ``epoch`` seeds (``OASISSliceDataset``).
        num_variants: how many times.
        device: where to compute.
        batch_size: slices at a time.

    Returns:
        For each variant what :func:`encode_slices` returns.
    """
    variants = []
    for epoch in range(num_variants):
        dataset.epoch = epoch
        variants.append(encode_slices(vqvae, dataset, device, batch_size))
    return variants
