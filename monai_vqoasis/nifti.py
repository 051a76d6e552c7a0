"""NIfTI files, read whole."""

from __future__ import annotations

import gzip
import io
import math
import os
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np

from monai_vqoasis.errors import InputError

__all__ = ["NIFTI_SUFFIXES", "load_nifti"]

NIFTI_SUFFIXES = (".nii", ".nii.gz")
MAX_VOXELS = 2**29  # 812 a side
MAX_EXTRA = 2**20  # bytes that header extensions, and what follows the voxels, may each take
GZIP = b"\x1f\x8b"


def load_nifti(path: str | os.PathLike[str]) -> nib.Nifti1Image:
    """The NIfTI image (1 or 2, packed or not) in a file, which is read to its end.

    What the header declares is held against what is there before anything of that size is allocated, and the checksum
    of a packed file is compared, which nibabel, reading no further than the last voxel, does not.

    Raises:
        InputError: naming the file, if it is no NIfTI file, cut short or damaged, declares no voxel or more than
            2 ** 29, colours or complex numbers, or an affine that is not finite or, of a volume, has no inverse.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            packed = file.read(len(GZIP)) == GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            content = _read(file, nib.Nifti2Header.sizeof_hdr)
            kind = nib.Nifti2Image if nib.Nifti2Header.may_contain_header(content) else nib.Nifti1Image
            header = kind.header_class(content[: kind.header_class.sizeof_hdr])
            shape, start = header.get_data_shape(), header.get_data_offset()
            if header["magic"] != header.single_magic:
                raise InputError(f"{path}: is the header of voxels in another file; save it as one .nii file.")
            if not shape or min(shape) < 1:
                raise InputError(f"{path}: declares a shape of {shape}, which has no voxel.")
            if math.prod(shape) > MAX_VOXELS or start > MAX_EXTRA:
                raise InputError(f"{path}: declares a shape of {shape} from byte {start:,}, more than any head needs.")
            stored = header.get_data_dtype()
            if stored.kind not in "iuf":
                raise InputError(f"{path}: holds {stored} values; only whole and real numbers are grey values.")
            end = start + math.prod(shape) * stored.itemsize
            content += _read(file, end + MAX_EXTRA - len(content))
        if not end <= len(content) < end + MAX_EXTRA:
            raise InputError(
                f"{path}: is no readable NIfTI volume, or is cut short: a shape of {shape} takes {end:,} bytes, "
                f"{len(content):,} are there."
            )
        volume = kind.from_bytes(content)
        known = _has_orientation(volume)
    except InputError:
        raise
    except Exception as error:  # nibabel raises many kinds
        raise InputError(f"{path}: is no readable NIfTI volume, or is cut short ({error}).") from error
    if not known:
        raise InputError(f"{path}: its affine is not finite or has no inverse, so its orientation is not known.")
    return volume


def _has_orientation(volume: nib.Nifti1Image) -> bool:
    if not np.isfinite(volume.affine).all():
        return False
    # along what it has no second voxel of, an image needs no size
    return len([size for size in volume.shape[:3] if size > 1]) < 3 or np.linalg.matrix_rank(volume.affine[:3, :3]) == 3


def _read(file: BinaryIO, size: int) -> bytes:
    """At most ``size`` bytes; memory is taken as they come."""
    parts = io.BytesIO()
    while size > 0 and (part := file.read(min(size, MAX_EXTRA))):
        size -= parts.write(part)
    return parts.getvalue()
