"""New slices, as files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path

import torch
from monai.transforms import ResizeWithPadOrCrop
from monai.utils import convert_to_tensor
from tqdm import tqdm

from monai_vqoasis.data import CDR_RATINGS
from monai_vqoasis.errors import InputError
from monai_vqoasis.inferers import AncestralSampler
from monai_vqoasis.networks import CodePrior, VectorQuantizedAutoencoder
from monai_vqoasis.visualize import save_picture_grid, to_rows

__all__ = ["SliceGenerator"]

logger = logging.getLogger(__name__)
PICTURES_IN_GRID = 64


class SliceGenerator:
    """Draws slices from the prior and writes each as soon as it is there.

    Files: ``generated_seed_<seed>.png``, 8-bit grey, one a slice, and ``generated.png`` with the first of them side by
    side. The slice of a seed is always the same, however many are drawn.

    Args:
        vqvae: trained stage 1.
        prior: trained stage 2, on the codes of ``vqvae``.
        sampler: draws the codes.
        num_samples: how many slices.
        batch_size: slices drawn at a time.
        seed: of the first slice; the next has the next.
        image_size: size (H, W) that slices are padded to, with background, or cropped to, about their centre.
        output_dir: folder to write to.
        conditions: of the prior: a value for all slices, or one for each; None where one is not given.

    Raises:
        InputError: if the prior belongs to another VQ-VAE or does not know a condition, or a number is not positive.
    """

    def __init__(
        self,
        vqvae: VectorQuantizedAutoencoder,
        prior: CodePrior,
        sampler: AncestralSampler,
        output_dir: str | os.PathLike[str],
        num_samples: int = 16,
        batch_size: int = 16,
        seed: int = 0,
        image_size: Sequence[int] = (256, 256),
        conditions: Mapping[str, int | Sequence[int] | None] | None = None,
    ) -> None:
        if num_samples < 1 or batch_size < 1:
            raise InputError(f"num_samples and batch_size must be positive, got {num_samples} and {batch_size}.")
        prior.check_paired_with(vqvae)
        self.conditions = {
            name: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value] * num_samples
            for name, value in (conditions or {}).items()
            if value is not None
        }
        for name, values in self.conditions.items():
            if any(isinstance(value, bool) or not isinstance(value, Integral) for value in values):
                raise InputError(
                    f"{name} must be a whole number, or a list with one for each sample, got {values[0]!r}."
                )
            if len(values) != num_samples:
                raise InputError(f"{name} must have a value for each of {num_samples} samples, got {len(values)}.")
            for value in sorted(set(values)):
                try:
                    prior.check_conditions({name: value})
                except InputError as error:
                    grades = ", ".join(f"{rating:g}" for rating in CDR_RATINGS)
                    hint = f" 0 to {len(CDR_RATINGS) - 1} stand for CDR {grades}." if name == "cdr" else ""
                    raise InputError(f"{error}{hint}") from None
        self.vqvae = vqvae
        self.prior = prior
        self.sampler = sampler
        self.output_dir = Path(output_dir)
        self.seeds = range(seed, seed + num_samples)
        self.batch_size = batch_size
        self.resize = ResizeWithPadOrCrop(tuple(image_size))

    def run(self) -> None:
        """Write all slices and the picture of the first ones."""
        first: list[torch.Tensor] = []
        for seed, image in zip(self.seeds, tqdm(self, desc="generate", unit="slice", disable=None), strict=True):
            save_picture_grid([[image[0]]], self.output_dir / f"generated_seed_{seed}.png")
            if len(first) < PICTURES_IN_GRID:
                first.append(image)
        save_picture_grid(to_rows(torch.stack(first)), self.output_dir / "generated.png")
        logger.info(f"generated {len(self.seeds)} slices")

    def __len__(self) -> int:
        return len(self.seeds)

    def __iter__(self) -> Iterator[torch.Tensor]:
        """The slices one after the other, 1 H W in [0, 1] on the CPU."""
        for codes in self.codes():
            yield from self.decode(codes)

    def codes(self) -> Iterator[torch.Tensor]:
        """The codes (int64, B h w) of one batch of slices after the other."""
        latent_shape = self.prior.latent_shape.tolist()
        for start in range(0, len(self.seeds), self.batch_size):
            batch = slice(start, start + self.batch_size)
            conditions = {name: values[batch] for name, values in self.conditions.items()}
            yield self.sampler(self.prior, latent_shape, self.seeds[batch], conditions=conditions)

    @torch.no_grad()
    def decode(self, codes: torch.Tensor) -> list[torch.Tensor]:
        """The slices (1 H W in [0, 1] on the CPU) that ``codes`` (int64, B h w) stand for."""
        images = self.vqvae.decode(codes).clamp(0, 1).cpu()
        return [convert_to_tensor(self.resize(image), track_meta=False) for image in images]
