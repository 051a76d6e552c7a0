"""Slices that nobody has, as every kind of file that is served."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

# image: what the bundle's SaveSlice adds its postfix to
KINDS = {
    "picture": "picture.png",
    "case_001_slice_5": "case_001_slice_5.png",
    "deep": "deep.png",
    "lossy": "lossy.png",
    "flat": "flat.nii.gz",
    "volume": "volume.nii",
}
BAD = ("colour", "broken", "large")


def pixels(path: Path) -> np.ndarray:
    """As they are stored: rows and columns of a picture, i j k of a volume."""
    if path.suffix == ".nrrd":
        nrrd = pytest.importorskip("nrrd")
        return nrrd.read(str(path))[0]
    return np.asarray(Image.open(path) if path.suffix == ".png" else nib.load(path).dataobj)


def written(output_dir: Path, image: str, view: str) -> Path:
    name = Path(KINDS[image])
    suffix = "".join(name.suffixes)
    return output_dir / f"{name.name.removesuffix(suffix)}_{view}{suffix}"


def same_but_for_rounding(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether pictures differ by a grey level in fewer than 1 of 10,000 pixels.

    Networks round otherwise in a batch of another size, by about 1e-7, and a few pixels lie that close to the border
    between two levels.
    """
    apart = np.abs(found.astype(int) - expected.astype(int))
    return apart.max() <= 1 and (apart > 0).mean() < 1e-4
