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
