"""NIfTI files, read whole."""

from __future__ import annotations

import gzip
import io
import math
import os
from pathlib import Path
from typing import BinaryIO

import nibabel as nib

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
            2 ** 29, or an affine that is not finite.
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
            end = start + math.prod(shape) * header.get_data_dtype().itemsize
            content += _read(file, end + MAX_EXTRA - len(content))
        if not end <= len(content) < end + MAX_EXTRA:
            raise InputError(
                f"{path}: is damaged or cut short: a shape of {shape} takes {end:,} bytes, {len(content):,} are there."
            )
        volume = kind.from_bytes(content)
        finite = math.isfinite(abs(volume.affine).sum())
    except InputError:
        raise
    except Exception as error:  # nibabel raises many kinds
        raise InputError(f"{path}: is no NIfTI file, or is damaged ({error}).") from error
    if not finite:
        raise InputError(f"{path}: its affine is not finite, so its place and orientation are not known.")
    return volume


def _read(file: BinaryIO, size: int) -> bytes:
    """At most ``size`` bytes; memory is taken as they come."""
    parts = io.BytesIO()
    while size > 0 and (part := file.read(min(size, MAX_EXTRA))):
        size -= parts.write(part)
    return parts.getvalue()
