"""Reading and writing slices and volumes without changing their grey values, grid or format."""

from __future__ import annotations

import gzip
import io
import math
import os
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from PIL import Image, UnidentifiedImageError

from monai_vqoasis.errors import InputError
from monai_vqoasis.files import check_file, replace_file
from monai_vqoasis.nifti import NIFTI_SUFFIXES, load_nifti

__all__ = ["LoadSlice", "SaveSlice", "ToViewerAxes", "picture_size"]

PICTURE_FORMATS = ("PNG", "JPEG", "BMP")
GREY_MODES = {"L": 255, "1": 1, "I;16": 65535, "I;16B": 65535, "I;16L": 65535, "I": 65535}
COLOUR_MODES = {"RGB", "RGBA", "LA", "P", "PA"}
MAX_PIXELS = 2**26  # 8192x8192; Pillow warns of more than 1.3 times as many and refuses 2.7 times
BLACK = 1 / 510  # what 8 bits round to 0


class LoadSlice(Transform):
    """Read a slice (PNG, JPEG, BMP) or a NIfTI slice or volume as float32 in [0, 1], channel first, not transposed.

    The reader is chosen by content, since the slices of the release are PNG files called ``.nii.png``. Grey values are
    divided by the range of the file's type (255, 65535), never by the image's own extremes, so that the same tissue
    has the same value everywhere. A colour file is accepted where its channels agree (a grey picture saved as colour).

    The result is a ``MetaTensor``, 1 H W of a picture or a 2D NIfTI image, 1 H W D of a volume, of one slice too. Its
    metadata hold ``filename_or_obj``, ``intensity_max`` (the file's value that became 1) and the affine, so that
    :class:`SaveSlice` can write an image of the same kind.

    Args:
        intensity_max: the value that becomes 1, for files without a natural range (NIfTI other than unsigned 8 or
            16 bit and floats in [0, 1]); values above it are clipped. None takes the file type's range.
    """

    def __init__(self, intensity_max: float | None = None) -> None:
        if intensity_max is not None and not 0 < intensity_max < math.inf:
            raise InputError(f"intensity_max must be positive and finite, got {intensity_max}.")
        self.intensity_max = intensity_max

    def __call__(self, filename: str | os.PathLike[str]) -> MetaTensor:
        """Read ``filename``.

        Raises:
            InputError: naming the file, if it cannot be read, is empty, damaged, of an unknown kind, larger than any
                slice or head, really in colour, of an unknown intensity range, black at the one asked for, or not
                finite.
        """
        path = Path(filename)
        picture = self._read_picture(path)
        array, full_scale, affine = picture or self._read_nifti(path)
        chosen = picture is None or self.intensity_max is not None
        if chosen and 0 < array.max() < BLACK * full_scale:
            raise InputError(
                f"{path}: its brightest value, {array.max():g}, would be black where {full_scale:g} is white: name the "
                "value of the brightest tissue with --intensity_max."
            )
        image = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).div_(full_scale)
        if self.intensity_max is not None:
            image.clamp_(0, 1)
        meta = {"filename_or_obj": str(path), "intensity_max": float(full_scale), "original_channel_dim": 0}
        return MetaTensor(image.unsqueeze(0), affine=torch.as_tensor(affine, dtype=torch.float64), meta=meta)

    def _read_picture(self, path: Path) -> tuple[np.ndarray, float, np.ndarray] | None:
        """Grey values, the value of white, affine; None if Pillow does not know the content."""
        if picture_size(path) is None:
            return None
        try:
            with Image.open(path, formats=PICTURE_FORMATS) as picture:
                picture.verify()  # the checksums of a PNG, which load() passes over
            with Image.open(path, formats=PICTURE_FORMATS) as picture:
                picture.load()
        except Exception as error:  # decoders raise many kinds
            raise InputError(f"{path}: the picture is damaged or cut short ({error}).") from error
        if picture.mode in COLOUR_MODES:
            picture = _colour_to_grey(picture, path)
        if picture.mode not in GREY_MODES:
            raise InputError(
                f"{path}: pictures of mode {picture.mode} have no known grey range; save it as 8-bit grey."
            )
        return np.asarray(picture), self.intensity_max or GREY_MODES[picture.mode], np.eye(4)

    def _read_nifti(self, path: Path) -> tuple[np.ndarray, float, np.ndarray]:
        if not path.name.lower().endswith(NIFTI_SUFFIXES):
            raise InputError(f"{path}: is neither a picture ({', '.join(PICTURE_FORMATS)}) nor called .nii or .nii.gz.")
        volume = load_nifti(path)
        stored = volume.get_data_dtype()
        scaled = volume.dataobj.slope != 1 or volume.dataobj.inter != 0
        with np.errstate(over="ignore"):  # what is then infinite is told below
            array = volume.get_fdata(dtype=np.float32, caching="unchanged")
        if not np.isfinite(array).all():
            raise InputError(f"{path}: holds values that are not finite (NaN or infinity).")
        while array.ndim > 3 and array.shape[-1] == 1:
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
    - a 2D NIfTI image 1 H W becomes H W 1, a volume of one slice, since only a volume has a place in space;
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
        self._sources: dict[Path, Path] = {}

    def output_path(self, source: str | os.PathLike[str]) -> Path:
        """Where the result of the file ``source`` goes."""
        name = Path(source).name
        suffix = next((s for s in reversed(NIFTI_SUFFIXES) if name.lower().endswith(s)), Path(name).suffix)
        stem = name[: len(name) - len(suffix)].removesuffix(".nii")
        if picture_size(Path(source)) is not None and suffix.lower() != ".bmp":
            suffix = ".png"  # JPEG would change the values, and some pictures are called .nii or nothing
        return self.output_dir / f"{stem}_{self.output_postfix}{suffix}"

    def __call__(self, image: MetaTensor, source: str | os.PathLike[str] | None = None) -> Path:
        """Write ``image``.

        Args:
            image: 1 H W or 1 H W D in [0, 1] (clamped), or of labels, of the same grid as its source.
            source: the file that the image came from; by default the one its metadata name.

        Returns:
            The file written.

        Raises:
            InputError: if another source has a result of the same name.
            StorageError: if it cannot be written; nothing of it is left.
        """
        source = Path(source if source is not None else image.meta["filename_or_obj"])
        path = self.output_path(source)
        if (other := self._sources.setdefault(path, source)) != source:
            raise InputError(f"{source}: its result would take the place of that of {other.name}; rename one of them.")
        array = torch.as_tensor(image).detach().cpu().squeeze(0).numpy()
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            content = _nifti_bytes(array, source, None if self.label else image.meta["intensity_max"])
            replace_file(path, gzip.compress(content, 1, mtime=0) if path.name.lower().endswith(".gz") else content)
            return path
        dtype = np.uint8
        if not self.label:
            with Image.open(source) as picture:
                own = GREY_MODES.get(picture.mode, 255)
            dtype = np.uint16 if own == 65535 else np.uint8
            white = 255 if own == 1 else image.meta["intensity_max"]  # black and white becomes grey
            array = np.rint(array.clip(0, 1).astype(np.float64) * white).clip(0, np.iinfo(dtype).max)
        buffer = io.BytesIO()
        picture = Image.fromarray(array.astype(dtype))
        picture.save(buffer, format="BMP" if path.suffix.lower() == ".bmp" else "PNG")
        replace_file(path, buffer.getbuffer())
        return path


def picture_size(path: Path) -> tuple[int, int] | None:
    """Width and height that a picture's header declares; None if the content is of no kind of picture that is read.

    Raises:
        InputError: naming the file, if it cannot be read, is empty, or its header is damaged or declares more than one
            picture or 2 ** 26 pixels.
    """
    if check_file(path).stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes).")
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as picture:
            (width, height), frames = picture.size, getattr(picture, "n_frames", 1)
    except UnidentifiedImageError:
        return None
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: declares more pixels than any slice has ({error}).") from error
    except Exception as error:  # decoders raise many kinds
        raise InputError(f"{path}: the picture is damaged or cut short ({error}).") from error
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: declares {width}x{height} pixels, more than any slice has.")
    if frames > 1:
        raise InputError(f"{path}: holds {frames} pictures; save each as a file of its own.")
    return width, height


def _colour_to_grey(picture: Image.Image, path: Path) -> Image.Image:
    colours = np.asarray(picture.convert("RGBA"))
    if (colours[..., 3] != 255).any():
        raise InputError(f"{path}: has transparent pixels, whose grey value is not defined; save it as 8-bit grey.")
    if (colours[..., :3] != colours[..., :1]).any():
        raise InputError(f"{path}: is a colour picture; only grey slices can be read.")
    return Image.fromarray(np.ascontiguousarray(colours[..., 0]))


def _nifti_bytes(array: np.ndarray, source: Path, white: float | None) -> bytes:
    """A file of grey values in the source's type, ``white`` for 1; or of labels, where that is None."""
    like = load_nifti(source)
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
    return type(like)(array.astype(dtype).reshape(like.shape), like.affine, header).to_bytes()
