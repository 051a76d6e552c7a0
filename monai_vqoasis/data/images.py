"""Images to work on: a file, a folder, or a section."""

from __future__ import annotations

import os
import re
from pathlib import Path

from monai_vqoasis.errors import InputError

__all__ = ["find_images", "natural_key"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".nii", ".nii.gz")


def find_images(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """The images that ``path`` names: itself if it is a file, else the picture and NIfTI files in the folder.

    Returns:
        Items with ``image`` (path), in natural order.

    Raises:
        InputError: naming the path, if it is missing or holds no image.
    """
    path = Path(path)
    if path.is_file():
        return [{"image": str(path)}]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder.")
    files = [p for p in path.iterdir() if p.name.lower().endswith(SUFFIXES) and not p.name.startswith(".")]
    if not files:
        raise InputError(f"{path}: holds no images ({', '.join(SUFFIXES)}).")
    return [{"image": str(p)} for p in sorted(files, key=lambda p: natural_key(p.name))]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key under which slice_2 stands before slice_10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
