"""Slices in memory, as a file holds them: 8-bit, with their person and position."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from monai.transforms import CenterSpatialCrop, ResizeWithPadOrCrop
from monai.utils import convert_to_tensor
from tqdm import tqdm

from monai_vqoasis.data import OASISSliceDataset, find_images, slice_name
from monai_vqoasis.engines import SliceGenerator
from monai_vqoasis.errors import InputError
from monai_vqoasis.networks import VectorQuantizedAutoencoder
from monai_vqoasis.transforms import LoadSlice, LoadSliced

__all__ = [
    "CodedSlices",
    "SliceSet",
    "check_belongs",
    "code_slices",
    "draw_slices",
    "evenly_spread",
    "load_pictures",
    "load_reconstructions",
    "load_slices",
    "to_bytes",
    "warn_of_training_people",
]


@dataclass(frozen=True)
class SliceSet:
    """Slices of one size.

    Everything is measured on 8-bit pictures: originals, reconstructions, samples and what other codecs give back, so
    that no method gains from fractions that no file keeps.

    Attributes:
        pixels: uint8, N 1 H W.
        cases: whose each slice is ("case_001"), or the name of a sample.
        slice_indices: position of each slice; -1 where it has none.
    """

    pixels: torch.Tensor
    cases: Sequence[str]
    slice_indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, indices: slice | Sequence[int] | torch.Tensor = slice(None)) -> torch.Tensor:
        """float32, B 1 H W in [0, 1]."""
        return self.pixels[indices].float() / 255

    def subset(self, indices: Sequence[int]) -> SliceSet:
        """The slices of these indices."""
        pixels = self.pixels[list(indices)]
        return SliceSet(pixels, [self.cases[i] for i in indices], [self.slice_indices[i] for i in indices])


class CodedSlices(NamedTuple):
    """What :func:`code_slices` returns.

    Attributes:
        reconstructions: the slices through the codes and back, in their own size.
        codes: int64, N h w.
    """

    reconstructions: SliceSet
    codes: torch.Tensor


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """uint8 of float images in [0, 1], clamped and rounded; MONAI's metadata are left behind."""
    images = convert_to_tensor(images.detach(), track_meta=False)
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def check_belongs(reconstructions: SliceSet, slices: SliceSet) -> None:
    """Make sure that there is one reconstruction for each slice, of its size.

    Raises:
        InputError: saying how many of which size there are.
    """
    if slices.pixels.shape != reconstructions.pixels.shape:
        raise InputError(
            f"{len(reconstructions)} reconstructions of {tuple(reconstructions.pixels.shape[2:])} pixels do not "
            f"belong to {len(slices)} slices of {tuple(slices.pixels.shape[2:])}."
        )


def warn_of_training_people(slices: SliceSet, training_slices: SliceSet) -> list[str]:
    """A warning if training has seen some of the people of ``slices``; else none."""
    seen = set(slices.cases) & set(training_slices.cases)
    if not seen:
        return []
    return [
        f"{len(seen)} of {len(set(slices.cases))} people are training people too: as real slices that training never "
        "saw, they tell nothing. Evaluate another section."
    ]


def evenly_spread(count: int, most: int | None) -> list[int]:
    """At most ``most`` indices out of ``count``, in order and evenly spread; all for None."""
    return torch.linspace(0, count - 1, min(count, most or count)).round().long().tolist()


def load_slices(dataset_dir: str | os.PathLike[str], section: str) -> SliceSet:
    """All slices of a section ("train", "validate", "test"), see :func:`load_slice_datalist` for the errors."""
    dataset = OASISSliceDataset(dataset_dir, section, LoadSliced("image"), cache_rate=0.0)
    items = list(tqdm(dataset, desc=f"reading {section} slices", unit="slice", disable=None))
    return SliceSet(
        torch.stack([to_bytes(item["image"]) for item in items]),
        [item["case"] for item in items],
        [item["slice_index"] for item in items],
    )


def load_pictures(folder: str | os.PathLike[str], image_size: Sequence[int]) -> SliceSet:
    """The pictures in a folder, whoever made them, as samples.

    Args:
        folder: holds PNG or other pictures, nothing else.
        image_size: the size (H, W) that they must have.

    Raises:
        InputError: naming the folder or file: none there, one that cannot be read, or one of another size.
    """
    paths = [Path(item["image"]) for item in find_images(folder)]
    bar = tqdm(paths, desc="reading pictures", unit="picture", disable=None)
    pixels = torch.stack([_read_picture(path, image_size) for path in bar])
    return SliceSet(pixels, [path.name for path in paths], [-1] * len(paths))


def load_reconstructions(folder: str | os.PathLike[str], slices: SliceSet) -> SliceSet:
    """Reconstructions of ``slices`` by any method: a picture of the same name and size for each in ``folder``.

    Raises:
        InputError: naming the file that is missing, unreadable or of another size.
    """
    names = [slice_name(*key) for key in zip(slices.cases, slices.slice_indices, strict=True)]
    bar = tqdm(names, desc="reading reconstructions", unit="picture", disable=None)
    pixels = torch.stack([_read_picture(Path(folder) / name, slices.pixels.shape[2:]) for name in bar])
    return SliceSet(pixels, slices.cases, slices.slice_indices)


@torch.no_grad()
def code_slices(
    vqvae: VectorQuantizedAutoencoder,
    slices: SliceSet,
    latent_shape: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 8,
) -> CodedSlices:
    """Encode and decode every slice.

    Args:
        vqvae: a trained stage 1.
        slices: N of them.
        latent_shape: grid (h, w) of a prior that covers only the middle of the slices; what lies outside is not coded
            and comes back as background. None codes the whole slice.
        device: where to compute.
        batch_size: slices at a time.
    """
    vqvae = vqvae.to(device).eval()
    size = slices.pixels.shape[2:]
    middle = size if latent_shape is None else vqvae.image_size(latent_shape)
    crop, pad = CenterSpatialCrop(tuple(middle)), ResizeWithPadOrCrop(tuple(size))
    pixels = torch.empty_like(slices.pixels)
    codes = torch.empty(len(slices), *vqvae.latent_shape(middle), dtype=torch.int64)
    starts = range(0, len(slices), batch_size)
    for start in tqdm(starts, desc="reconstructing", unit="batch", disable=None):
        batch = slice(start, start + batch_size)
        images = _each(crop, slices.images(batch))
        found = vqvae.encode(images.to(device))
        codes[batch] = found
        pixels[batch] = _each(pad, to_bytes(vqvae.decode(found, images.shape[2:])).cpu())
    return CodedSlices(SliceSet(pixels, slices.cases, slices.slice_indices), codes)


def draw_slices(generator: SliceGenerator) -> SliceSet:
    """All slices of a generator."""
    drawn = [to_bytes(image) for image in tqdm(generator, desc="drawing samples", unit="slice", disable=None)]
    indices = generator.conditions.get("slice_index", [-1] * len(drawn))
    return SliceSet(torch.stack(drawn), [f"seed {seed}" for seed in generator.seeds], indices)


def _each(transform: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Apply a transform of MONAI to each image, and leave the metadata that it adds."""
    return torch.stack([convert_to_tensor(transform(image), track_meta=False) for image in images])


def _read_picture(path: Path, image_size: Sequence[int]) -> torch.Tensor:
    image = LoadSlice()(path)
    if tuple(image.shape[1:]) != tuple(image_size):
        raise InputError(f"{path}: {tuple(image.shape[1:])} pixels, where the slices have {tuple(image_size)}.")
    return to_bytes(image)
