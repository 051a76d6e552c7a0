"""Images of people as a section of slices, their positions found by the calibration."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from monai.transforms import ResizeWithPadOrCrop

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.data.oasis import section_dir, slice_name
from monai_vqoasis.inferers import AnomalyCalibration
from monai_vqoasis.networks import VectorQuantizedAutoencoder
from monai_vqoasis.slices import to_slices
from monai_vqoasis.visualize import save_picture_grid

__all__ = ["write_located_slices"]

IMAGE_SIZE = (256, 256)


@torch.no_grad()
def write_located_slices(
    dataset: Iterable[Mapping[str, object]],
    dataset_dir: str | os.PathLike[str],
    section: str,
    calibration: AnomalyCalibration,
    vqvae: VectorQuantizedAutoencoder,
) -> list[Path]:
    """Write images as a section of the release: 256x256 8-bit grey, about their centre, named by case and position.

    The position of a slice is that of the most similar template. Of the slices that a person has at a position, as a
    volume has several, the most similar is taken; those without a brain are left out.

    Args:
        dataset: items with ``image`` (1 H W or 1 H W D in [0, 1], oriented as the atlas) and ``case`` ("case_001").
        dataset_dir: folder to write to.
        section: "train", "validate" or "test".
        calibration: whose templates tell the positions.
        vqvae: stage 1 of that calibration.

    Returns:
        The files.
    """
    folder = section_dir(dataset_dir, section)
    folder.mkdir(parents=True, exist_ok=True)
    resize = ResizeWithPadOrCrop(IMAGE_SIZE)
    best: dict[tuple[str, int], float] = {}
    for item in dataset:
        for slices in to_slices(torch.as_tensor(item["image"]).unsqueeze(0)).split(1):
            if not brain_mask(slices).any():
                continue
            similarity, index = calibration.similarity(slices, vqvae).max(1)
            place = (str(item["case"]), int(index))
            if similarity > best.get(place, -1):
                best[place] = float(similarity)
                save_picture_grid([[resize(slices[0])[0]]], folder / slice_name(*place))
    return [folder / slice_name(*place) for place in best]
