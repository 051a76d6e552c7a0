"""Pictures, where people would rather look than read."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from monai_vqoasis.files import replace_file

__all__ = ["picture_grid", "reconstruction_rows", "save_picture_grid", "to_rows"]


def picture_grid(rows: Sequence[Sequence[torch.Tensor]], gap: int = 2) -> np.ndarray:
    """Lay images out in rows, with a thin grey line between.

    Args:
        rows: images, H W in [0, 1]; clamped, and centred on black where they are smaller than the largest.
        gap: pixels between images.

    Returns:
        uint8, H W.
    """
    height, width = (max(image.shape[axis] for row in rows for image in row) for axis in (0, 1))
    columns = max(map(len, rows))
    grid = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap), 64, dtype=np.uint8)
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            top, left = r * (height + gap), c * (width + gap)
            grid[top : top + height, left : left + width] = 0
            h, w = image.shape
            top, left = top + (height - h) // 2, left + (width - w) // 2
            pixels = torch.as_tensor(image).detach().float().cpu().clamp(0, 1)
            grid[top : top + h, left : left + w] = (pixels * 255).round().byte().numpy()
    return grid


def save_picture_grid(rows: Sequence[Sequence[torch.Tensor]], path: str | os.PathLike[str]) -> Path:
    """Write :func:`picture_grid` of ``rows`` as PNG to ``path``."""
    buffer = io.BytesIO()
    Image.fromarray(picture_grid(rows)).save(buffer, format="PNG")
    replace_file(Path(path), buffer.getbuffer())
    return Path(path)


def reconstruction_rows(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> list[list[torch.Tensor]]:
    """Rows of images, reconstructions, and four times their absolute difference, from pairs of H W in [0, 1]."""
    images, reconstructions = zip(*pairs, strict=True)
    return [list(images), list(reconstructions), [(image - back).abs() * 4 for image, back in pairs]]


def to_rows(images: torch.Tensor, columns: int = 8) -> list[list[torch.Tensor]]:
    """Images (B 1 H W) in rows of ``columns``."""
    return [list(row[:, 0]) for row in images.split(columns)]
