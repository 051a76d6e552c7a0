"""From a volume of a head to the slices of the release."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, ResizeWithPadOrCrop, ScaleIntensityRange, Spacing

from monai_vqoasis.errors import InputError
from monai_vqoasis.nifti import load_nifti

__all__ = ["GRID", "cut_slices", "read_volume", "slice_positions", "to_grey", "to_tissue"]

T88_SHAPE = (176, 208, 176)
IMAGE_SIZE = 256
GRID = (IMAGE_SIZE, IMAGE_SIZE, T88_SHAPE[2])  # 1 mm; slices are counted in its last axis
LABELS = (("L", "R"), ("P", "A"), ("I", "S"))  # NIfTI's; MONAI's default differs between its versions
TISSUES = 4  # background, fluid, grey and white matter as 0, 85, 170, 255


def read_volume(path: str | os.PathLike[str], labels: bool = False) -> MetaTensor:
    """Read a volume as 1 X Y Z float32 at 1 mm, its axes to the person's right, front and top.

    A NIfTI file is turned by its affine, to the nearest axes, and resampled where its voxels are not of 1 mm.

    An ANALYZE file (``.hdr``) is taken as one of OASIS-1's T88_111 volumes, whose orientation its header does not say
    and nibabel cannot know (it assumes the first axis to point left). They are on the grid of Washington University's
    4dfp tools: 176x208x176 at 1 mm, (x, y, z) mm of the atlas at voxel (88 + x, 123 + y, 75 + z), so its axes point
    right, front and up as they are stored. Slices of 135 people confirm it: their midline lies at row 88.5, and on
    average the occipital lobe is larger on the left and the frontal lobe on the right, as people's are.

    Args:
        path: ``.hdr`` (with its ``.img``), ``.nii`` or ``.nii.gz``.
        labels: the values are classes: resampled by the nearest voxel.

    Raises:
        InputError: naming the file, if it cannot be read, is of an unexpected shape, says nothing of its orientation,
            or holds values that are not finite.
    """
    path = Path(path)
    analyze = path.suffix == ".hdr"
    try:
        volume = nib.AnalyzeImage.load(path) if analyze else load_nifti(path)
        array = np.asarray(volume.dataobj, dtype=np.float32)
    except InputError:
        raise
    except Exception as error:  # nibabel raises many kinds
        raise InputError(f"{path}: is no readable ANALYZE volume, or is cut short ({error}).") from error
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or (analyze and array.shape != T88_SHAPE):
        expected = "a T88_111 volume of 176x208x176 voxels" if analyze else "a 3D volume"
        raise InputError(f"{path}: expected {expected}, got shape {volume.shape}.")
    if not np.isfinite(array).all():
        raise InputError(f"{path}: holds values that are not finite (NaN or infinity).")
    array = np.ascontiguousarray(array)[None]
    return MetaTensor(array) if analyze else _reorient(MetaTensor(array, affine=_affine(volume, path)), labels)


def slice_positions(num_slices: int, z_range: Sequence[int]) -> list[int]:
    """Where slices are cut: ``num_slices`` planes of :data:`GRID`, evenly from the first to the last of ``z_range``.

    Raises:
        InputError: if the range does not lie in the grid or holds fewer planes.
    """
    first, last = z_range
    if not 0 <= first <= last < GRID[2]:
        raise InputError(f"z_range must be [first, last] between 0 and {GRID[2] - 1}, got {list(z_range)}.")
    if not 1 <= num_slices <= last - first + 1:
        raise InputError(f"num_slices must be 1 to {last - first + 1} for z_range {list(z_range)}, got {num_slices}.")
    return np.linspace(first, last, num_slices).round().astype(int).tolist()


def cut_slices(volume: torch.Tensor, positions: Sequence[int]) -> torch.Tensor:
    """The planes ``positions`` of a 1 X Y Z volume put into the middle of :data:`GRID`: K 256 256.

    Rows go from the person's left to the right, columns from the back to the front.
    """
    slab = ResizeWithPadOrCrop(GRID)(volume)[0][..., list(positions)]
    return torch.as_tensor(slab).movedim(-1, 0)


def to_grey(slices: torch.Tensor, volume: torch.Tensor, white_percentile: float = 99.9) -> np.ndarray:
    """Grey levels (uint8): 0 is black, and a percentile of the volume's values above 0 is white.

    One scale a volume keeps a person's tissues alike from slice to slice, and a percentile does not hang on one bright
    vessel as the maximum does. How the release was scaled is not known. Slices of 135 people of OASIS-1 that were each
    scaled to their maximum become 4.5 levels brighter inside the brain when scaled anew by percentile 99.9 of a person.

    Raises:
        InputError: if nothing in the volume is above 0.
    """
    values = np.asarray(volume)
    values = values[values > 0]
    if not values.size:
        raise InputError("nothing in it is above 0.")
    white = float(np.percentile(values, white_percentile))
    scaled = ScaleIntensityRange(0.0, white, 0.0, 255.0, clip=True)(slices)
    return torch.as_tensor(scaled).round().byte().numpy()


def to_tissue(slices: torch.Tensor) -> np.ndarray:
    """The release's levels (uint8) of tissue classes: background 0, fluid 85, grey matter 170, white matter 255.

    Raises:
        InputError: if a value is no class.
    """
    labels = slices.numpy()
    if not np.isin(labels, range(TISSUES)).all():
        raise InputError(f"holds values other than the tissue classes 0 to {TISSUES - 1}.")
    return (labels * (255 // (TISSUES - 1))).astype(np.uint8)


def _affine(volume: nib.Nifti1Image, path: Path) -> np.ndarray:
    header = volume.header
    if "sform_code" not in header or not (header["sform_code"] or header["qform_code"]):
        raise InputError(f"{path}: its header does not say how it is oriented (sform and qform codes are 0).")
    return volume.affine


def _reorient(volume: MetaTensor, labels: bool) -> MetaTensor:
    volume = Orientation(axcodes="RAS", labels=LABELS)(volume)
    if np.allclose(volume.pixdim, 1, atol=1e-3):
        return volume
    return Spacing(pixdim=(1.0, 1.0, 1.0), mode="nearest" if labels else "bilinear")(volume)
