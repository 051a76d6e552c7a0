"""What a folder of OASIS slices is: sections, cases, slices."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from monai.data import CacheDataset
from monai.transforms import Randomizable

from monai_vqoasis.errors import InputError, find_user_error
from monai_vqoasis.settings import check_choice
from monai_vqoasis.transforms.array import picture_size

__all__ = ["SECTIONS", "OASISSliceDataset", "load_slice_datalist", "parse_slice_name", "section_dir", "slice_name"]

SECTIONS = ("train", "validate", "test")
LAYOUT = "<dataset_dir>/keras_png_slices_{train,validate,test}/case_NNN_slice_K.nii.png"
NAME = re.compile(r"(case_\d+)_slice_(\d+)\.nii\.png")


def section_dir(dataset_dir: str | os.PathLike[str], section: str) -> Path:
    """Folder of a section ("train", "validate" or "test")."""
    return Path(dataset_dir) / f"keras_png_slices_{check_choice('section', section, SECTIONS)}"


def slice_name(case: str, slice_index: int) -> str:
    """File name of a slice, ``case_001_slice_0.nii.png``."""
    return f"{case}_slice_{slice_index}.nii.png"


def parse_slice_name(path: str | os.PathLike[str]) -> tuple[str, int]:
    """Case and slice index of a file, ``("case_001", 0)``.

    Raises:
        InputError: naming the file, if its name is no slice name.
    """
    match = NAME.fullmatch(Path(path).name)
    if match is None:
        raise InputError(f"{path}: the name is not of the form case_NNN_slice_K.nii.png.")
    return match[1], int(match[2])


def load_slice_datalist(dataset_dir: str | os.PathLike[str], section: str) -> list[dict[str, object]]:
    """The slices of a section in natural order (slice 2 before slice 10).

    Args:
        dataset_dir: folder in the layout of the course's ``keras_png_slices_data`` release.
        section: "train", "validate" or "test".

    Returns:
        One dictionary a slice: ``image`` (path), ``case`` ("case_001"), ``slice_index`` (int).

    Raises:
        InputError: one sentence naming the file or folder: missing or empty folder, a name that does not parse, a file
            that is no picture, slices of different sizes, a case that is also in another section.
    """
    root = Path(dataset_dir)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; dataset_dir must hold {LAYOUT}.")
    slices = {name: _parse_section(root, name) for name in SECTIONS}
    folder = section_dir(root, section)
    if not slices[section]:
        problem = "holds no slices" if folder.is_dir() else "no such folder"
        raise InputError(f"{folder}: {problem}; dataset_dir must hold {LAYOUT}.")
    for other in SECTIONS:
        shared = {c for c, _, _ in slices[section]} & {c for c, _, _ in slices[other]} if other != section else set()
        if shared:
            raise InputError(
                f"{folder}: {min(shared)} is also in section {other}; a person must be in one section only, "
                "or the numbers mean nothing."
            )
    datalist = [{"image": str(p), "case": case, "slice_index": index} for case, index, p in slices[section]]
    _check_headers([path for _, _, path in slices[section]])
    return datalist


class OASISSliceDataset(CacheDataset):
    """Slices of a section, read once and kept in memory, on MONAI's ``CacheDataset``.

    OASIS-1: Marcus et al. 2007, "Open Access Series of Imaging Studies", doi:10.1162/jocn.2007.19.9.1498. The images
    are under the OASIS data use agreement (https://oasis-brains.org), not under this project's licence.

    Args:
        dataset_dir: folder in the release's layout; not looked at where ``data`` is given.
        section: "train", "validate" or "test".
        transform: applied to each item; its deterministic part is cached.
        data: a ready list of items instead, for example MONAI Label's.
        cache_rate: share of the items kept in memory.
        num_workers: threads that fill the cache.
        progress: show a progress bar while it fills; None shows it on a terminal only.
        seed: of random transforms.

    Attributes:
        epoch: set by the trainer when an epoch starts. What random transforms make of an item depends on seed, epoch
            and index alone: not on the order of items, on workers, or on where a run was stopped and resumed.

    Raises:
        InputError: one sentence naming the file or folder, see :func:`load_slice_datalist`.
    """

    def __init__(
        self,
        dataset_dir: str | os.PathLike[str] | None = None,
        section: str = "train",
        transform: Sequence[Callable] | Callable | None = None,
        data: Sequence[dict[str, object]] | None = None,
        cache_rate: float = 1.0,
        num_workers: int = 2,
        progress: bool | None = None,
        seed: int = 0,
    ) -> None:
        self.seed = seed
        self.epoch = 0
        if data is None:
            if dataset_dir is None:
                raise InputError("OASISSliceDataset needs a dataset_dir or a ready list of items as data.")
            data = load_slice_datalist(dataset_dir, section)
        progress = sys.stderr.isatty() if progress is None else progress
        try:
            super().__init__(
                data, transform, cache_rate=cache_rate, num_workers=num_workers, progress=progress, copy_cache=False
            )
        except RuntimeError as error:
            raise find_user_error(error) or error from None

    def _transform(self, index: int) -> object:
        if isinstance(self.transform, Randomizable):
            random = np.random.SeedSequence((self.seed, self.epoch, index)).generate_state(1)
            self.transform.set_random_state(seed=int(random[0]))
        try:
            return super()._transform(index)
        except RuntimeError as error:
            raise find_user_error(error) or error from None


def _parse_section(root: Path, section: str) -> list[tuple[str, int, Path]]:
    folder = section_dir(root, section)
    files = [p for p in folder.iterdir() if not p.name.startswith(".")] if folder.is_dir() else []
    slices = [(*parse_slice_name(path), path) for path in files]
    return sorted(slices, key=lambda item: (int(item[0].removeprefix("case_")), item[1]))


def _check_headers(paths: Sequence[Path]) -> None:
    """Every file is a picture and all have one size; only headers are read."""
    first_size = None
    for path in paths:
        if (size := picture_size(path)) is None:
            raise InputError(f"{path}: is not a PNG picture, whatever its name says.")
        first_size = first_size or size
        if size != first_size:
            raise InputError(
                f"{path}: is {size[0]}x{size[1]} pixels, its sibling {paths[0].name} is "
                f"{first_size[0]}x{first_size[1]}; all slices must have one size."
            )
