"""Reading and writing slices and volumes without changing their grey values, grid or format."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from PIL import Image, UnidentifiedImageError

from monai_vqoasis.errors import InputError

__all__ = ["LoadSlice", "SaveSlice", "ToViewerAxes"]

NIFTI_SUFFIXES = (".nii", ".nii.gz")
GREY_MODES = {"L": 255, "1": 1, "I;16": 65535, "I;16B": 65535, "I;16L": 65535, "I": 65535}
COLOUR_MODES = {"RGB", "RGBA", "LA", "P", "PA"}


class LoadSlice(Transform):
    """Read a slice (PNG, JPEG, BMP) or a NIfTI slice or volume as float32 in [0, 1], channel first, not transposed.

    The reader is chosen by content, since the slices of the release are PNG files called ``.nii.png``. Grey values are
    divided by the range of the file's type (255, 65535), never by the image's own extremes, so that the same tissue
    has the same value everywhere. A colour file is accepted where its channels agree (a grey picture saved as colour).

    The result is a ``MetaTensor``, 1 H W or 1 H W D, whose metadata hold ``filename_or_obj``, ``intensity_max`` (the
    file's value that became 1) and the affine, so that :class:`SaveSlice` can write an image of the same kind.

    Args:
        intensity_max: the value that becomes 1, for files without a natural range (NIfTI other than unsigned 8 or
            16 bit and floats in [0, 1]); values above it are clipped. None takes the file type's range.
    """

    def __init__(self, intensity_max: float | None = None) -> None:
        if intensity_max is not None and intensity_max <= 0:
            raise InputError(f"intensity_max must be positive, got {intensity_max}.")
        self.intensity_max = intensity_max

    def __call__(self, filename: str | os.PathLike[str]) -> MetaTensor:
        """Read ``filename``.

        Raises:
            InputError: naming the file, if it is missing, empty, damaged, of an unknown kind, really in colour, of
                an unknown intensity range, or not finite.
        """
        path = Path(filename)
        if not path.is_file():
            raise InputError(f"{path}: no such file.")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty (0 bytes).")
        array, full_scale, affine = self._read_picture(path) or self._read_nifti(path)
        image = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).div_(full_scale)
        if self.intensity_max is not None:
            image.clamp_(0, 1)
        meta = {"filename_or_obj": str(path), "intensity_max": float(full_scale), "original_channel_dim": 0}
        return MetaTensor(image.unsqueeze(0), affine=torch.as_tensor(affine, dtype=torch.float64), meta=meta)

    def _read_picture(self, path: Path) -> tuple[np.ndarray, float, np.ndarray] | None:
        """Grey values, the value of white, affine; None if Pillow does not know the content."""
        try:
            with Image.open(path) as picture:
                picture.load()
        except UnidentifiedImageError:
            return None
        except (OSError, SyntaxError, ValueError, zlib.error, Image.DecompressionBombError) as error:
            raise InputError(f"{path}: the picture is damaged or cut short ({error}).") from error
        if picture.mode in COLOUR_MODES:
            picture = _colour_to_grey(picture, path)
        if picture.mode not in GREY_MODES:
            raise InputError(
                f"{path}: pictures of mode {picture.mode} have no known grey range; save it as 8-bit grey."
            )
        return np.asarray(picture), self.intensity_max or GREY_MODES[picture.mode], np.eye(4)

    def _read_nifti(self, path: Path) -> tuple[np.ndarray, float, np.ndarray]:
        try:
            volume = nib.load(path)
            stored = volume.get_data_dtype()
            scaled = volume.dataobj.slope != 1 or volume.dataobj.inter != 0
            array = volume.get_fdata(dtype=np.float32, caching="unchanged")
        except Exception as error:  # nibabel raises many kinds
            raise InputError(f"{path}: is neither a picture (PNG, JPEG, BMP) nor a readable NIfTI file.") from error
        if not np.isfinite(array).all():
            raise InputError(f"{path}: holds values that are not finite (NaN or infinity).")
        while array.ndim > 3 and array.shape[-1] == 1:
            array = array[..., 0]
        if array.ndim == 3 and array.shape[-1] == 1:
            array = array[..., 0]
        if array.ndim not in (2, 3):
            raise InputError(f"{path}: expected a 2D or 3D NIfTI image, got shape {volume.shape}.")
        if self.intensity_max is not None:
            return array, self.intensity_max, volume.affine
        if stored in (np.uint8, np.uint16) and not scaled:
            return array, float(np.iinfo(stored).max), volume.affine
        low, high = float(array.min()), float(array.max())
        if low >= 0 and high <= 1:
            return array, 1.0, volume.affine
        raise InputError(
            f"{path}: holds {stored} values from {low:g} to {high:g}, whose white is not known: name the value of "
            "the brightest tissue with --intensity_max."
        )


class ToViewerAxes(Transform):
    """An image with the axes that MONAI Label's writer takes: no channel, x first.

    - a volume 1 H W D becomes H W D;
    - a slice 1 H W of a NIfTI file becomes H W 1, a volume of one slice, since only a volume has a place in space;
    - a picture 1 H W, whose rows run along y, becomes W H.
    """

    def __call__(self, image: MetaTensor) -> MetaTensor:
        """``image`` (1 H W or 1 H W D) with a viewer's axes; its metadata name the file that it came from."""
        if image.ndim == 4:
            return image[0]
        name = str(image.meta["filename_or_obj"]).lower()
        return image.movedim(0, -1) if name.endswith(NIFTI_SUFFIXES) else image[0].T


class SaveSlice(Transform):
    """Write an image in the format, type, grid and affine of the file that it came from.

    Args:
        output_dir: folder to write to; made if missing.
        output_postfix: appended to the file's stem: ``case_001_slice_0.nii.png`` becomes
            ``case_001_slice_0_<postfix>.png``, ``volume.nii.gz`` becomes ``volume_<postfix>.nii.gz``.
        label: the image holds label numbers, 0 to 255, and is written as such in 8 bits; not grey values.
    """

    def __init__(
        self, output_dir: str | os.PathLike[str], output_postfix: str = "reconstruction", label: bool = False
    ) -> None:
        self.output_dir = Path(output_dir)
        self.label = label
        self.output_postfix = output_postfix

    def output_path(self, source: str | os.PathLike[str]) -> Path:
        """Where the result of the file ``source`` goes."""
        name = Path(source).name
        suffix = next((s for s in reversed(NIFTI_SUFFIXES) if name.lower().endswith(s)), Path(name).suffix)
        stem = name[: len(name) - len(suffix)].removesuffix(".nii")
        # JPEG would change the values, and a file without a suffix is written as what it was read as
        suffix = suffix if suffix.lower() in (*NIFTI_SUFFIXES, ".bmp") else ".png"
        return self.output_dir / f"{stem}_{self.output_postfix}{suffix}"

    def __call__(self, image: MetaTensor, source: str | os.PathLike[str] | None = None) -> Path:
        """Write ``image``.

        Args:
            image: 1 H W or 1 H W D in [0, 1] (clamped), or of labels, of the same grid as its source.
            source: the file that the image came from; by default the one its metadata name.

        Returns:
            The file written.
        """
        source = Path(source if source is not None else image.meta["filename_or_obj"])
        path = self.output_path(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        array = torch.as_tensor(image).detach().cpu().squeeze(0).numpy()
        partial = path.with_name(f".{path.name}")
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            _write_nifti(array, source, partial, None if self.label else image.meta["intensity_max"])
        else:
            if not self.label:
                with Image.open(source) as picture:
                    white = 65535 if GREY_MODES.get(picture.mode) == 65535 else 255
                array = np.rint(array.clip(0, 1).astype(np.float64) * white)
            deep = not self.label and white == 65535
            levels = array.astype(np.uint16 if deep else np.uint8)
            Image.fromarray(levels).save(partial, format="BMP" if path.suffix.lower() == ".bmp" else "PNG")
        partial.replace(path)
        return path


def _colour_to_grey(picture: Image.Image, path: Path) -> Image.Image:
    colours = np.asarray(picture.convert("RGBA"))
    if (colours[..., 3] != 255).any():
        raise InputError(f"{path}: has transparent pixels, whose grey value is not defined; save it as 8-bit grey.")
    if (colours[..., :3] != colours[..., :1]).any():
        raise InputError(f"{path}: is a colour picture; only grey slices can be read.")
    return Image.fromarray(np.ascontiguousarray(colours[..., 0]))


def _write_nifti(array: np.ndarray, source: Path, path: Path, white: float | None) -> None:
    """Write grey values in the source's type, ``white`` for 1; or labels, where that is None."""
    like = nib.load(source)
    dtype = np.dtype(np.uint8) if white is None else like.get_data_dtype()
    if white is not None:
        array = array.clip(0, 1).astype(np.float64) * white
        if np.issubdtype(dtype, np.integer) and like.dataobj.slope == 1 and like.dataobj.inter == 0:
            bounds = np.iinfo(dtype)
            array = np.clip(np.rint(array), bounds.min, bounds.max)
        else:
            dtype = np.dtype(np.float32)
    header = like.header.copy()
    header.set_data_dtype(dtype)
    header.set_slope_inter(1, 0)
    nib.save(type(like)(array.astype(dtype).reshape(like.shape), like.affine, header), path)
