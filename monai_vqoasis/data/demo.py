"""The demo cohort: synthetic people made from the ICBM 2009 template, in the layout of the release."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import torch
import torch.nn.functional as F
from monai.utils import optional_import
from PIL import Image
from tqdm import tqdm

from monai_vqoasis.data.oasis import SECTIONS, section_dir, slice_name
from monai_vqoasis.errors import InputError

__all__ = ["DemoPeople", "ensure_demo_cohort", "write_demo_cohort"]

logger = logging.getLogger(__name__)

TEMPLATE_LICENCE = """\
These slices show no real person. They were made from the ICBM 2009a nonlinear symmetric template and its tissue maps,
as packaged by nilearn (https://nilearn.github.io), by random deformation, contrast, bias field and noise.

The template: Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University. Its licence permits to use, copy, modify and distribute it and its derivatives for any purpose and
without fee, provided that this copyright notice appears in all copies; it comes without warranty of any kind.
Fonov et al. 2011, "Unbiased average age-appropriate atlases for pediatric studies",
doi:10.1016/j.neuroimage.2010.07.033
"""
IMAGE_SIZE = 256
NUM_SLICES = 32
FIRST_SLICE_MM = -8.0  # MNI z of slice 0: the midbrain; slice 31 cuts the lateral ventricles
VENTRICLES_MM = (0.0, -8.0, 14.0)  # MNI x, y, z around which ventricles widen
INNER_SIZE = (176, 208)  # pixels computed; the rest of the slice is background
ATLAS_SCALE = 1.1  # MNI mm in a pixel: in the release's space brains are about a tenth smaller than in MNI's


class DemoPeople:
    """Draws synthetic people: a T1 slab of ``NUM_SLICES`` axial slices each, a function of the person's seed alone.

    Raises:
        InputError: if nilearn, whose wheel carries the template, is not installed.
    """

    def __init__(self) -> None:
        datasets, found = optional_import("nilearn.datasets")
        if not found:
            raise InputError(
                "the demo cohort is made from a template in nilearn: pip install nilearn, "
                "or name your own slices with --dataset_dir."
            )
        maps = [
            load(resolution=1)
            for load in (
                datasets.load_mni152_template,
                datasets.load_mni152_gm_template,
                datasets.load_mni152_wm_template,
            )
        ]
        self.to_voxel = torch.linalg.inv(torch.as_tensor(maps[0].affine, dtype=torch.float32))
        t1, grey, white = (torch.as_tensor(m.get_fdata(dtype=np.float32)) for m in maps)
        t1 = t1 / t1.max()
        fluid = ((t1 > 0).float() - grey - white).clamp(0, 1)
        self.maps = torch.stack([t1, grey, white, fluid])

    def slab(self, seed: int) -> np.ndarray:
        """The slices of one person: uint8, NUM_SLICES x 256 x 256, background 0, anterior to the right."""
        rng = np.random.default_rng(seed)
        t1, grey, white, fluid = self._sample(self._coordinates(rng))
        brain = grey + white + fluid
        # sharpen the averaged tissue borders into those of one person
        tissue = torch.stack([fluid, grey, white]).pow(1.8)
        tissue = tissue / tissue.sum(0).clamp_min(1e-3)
        levels = torch.tensor([rng.uniform(0.10, 0.22), rng.uniform(0.48, 0.58), rng.uniform(0.74, 0.86)])
        image = torch.einsum("t,tzxy->zxy", levels.float(), tissue)
        image = image + rng.uniform(0.09, 0.18) * (t1 - t1.mean())  # what the tissue maps leave out, as deep nuclei
        image = image * self._smooth(rng, image.shape, 3, 0.08).exp()
        noise = rng.uniform(0.012, 0.03)
        real, imaginary = torch.from_numpy(rng.normal(0, noise, (2, *image.shape)).astype(np.float32))
        image = torch.hypot(image.clamp_min(0) + real, imaginary)  # Rician, as magnitude images are
        image = torch.where(brain > 0.5, image.clamp(1 / 255, 1), 0)
        rows, columns = ((IMAGE_SIZE - n) // 2 for n in INNER_SIZE)
        slab = np.zeros((NUM_SLICES, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
        slab[:, rows : rows + INNER_SIZE[0], columns : columns + INNER_SIZE[1]] = (image * 255).round().byte().numpy()
        return slab

    def _coordinates(self, rng: np.random.Generator) -> torch.Tensor:
        """Where in the template (MNI mm) each voxel of the slab comes from: z x y 3."""
        z = torch.arange(NUM_SLICES) + FIRST_SLICE_MM
        x, y = (ATLAS_SCALE * (torch.arange(size) - (size - 1) / 2) for size in INNER_SIZE)
        y = y - 18  # the head's middle lies behind MNI's origin
        zz, xx, yy = torch.meshgrid(z, x, y, indexing="ij")
        points = torch.stack([xx, yy, zz], dim=-1).float()

        scale = rng.normal(1.0, 0.035, 3)
        roll, pitch, yaw = rng.normal(0, np.deg2rad(2.5), 3)
        rotation = torch.linalg.matrix_exp(
            torch.tensor([[0, -yaw, roll], [yaw, 0, -pitch], [-roll, pitch, 0]], dtype=torch.float32)
        )
        shear = torch.eye(3) + torch.from_numpy(rng.normal(0, 0.015, (3, 3)).astype(np.float32)).triu(1)
        points = points @ (rotation @ shear @ torch.diag(torch.tensor(1 / scale, dtype=torch.float32))).T
        points = points + torch.from_numpy(rng.normal(0, 1.5, 3).astype(np.float32))

        points = points + torch.stack([self._smooth(rng, zz.shape, 5, 3.5) for _ in range(3)], dim=-1)
        points = points + torch.stack([self._smooth(rng, zz.shape, 14, 1.6) for _ in range(3)], dim=-1)
        offset = points - torch.tensor(VENTRICLES_MM)
        near = torch.exp(-offset.square().sum(-1, keepdim=True) / (2 * 24.0**2))
        return points - rng.uniform(-0.1, 0.4) * near * offset

    def _sample(self, points: torch.Tensor) -> torch.Tensor:
        voxels = points @ self.to_voxel[:3, :3].T + self.to_voxel[:3, 3]
        size = torch.tensor(self.maps.shape[1:])
        grid = (2 * voxels / (size - 1) - 1).flip(-1)  # grid_sample counts the last axis first
        return F.grid_sample(self.maps[None], grid[None], align_corners=True)[0]

    @staticmethod
    def _smooth(rng: np.random.Generator, shape: torch.Size, knots: int, std: float) -> torch.Tensor:
        """A smooth random field (z x y) of about ``knots`` bumps in plane."""
        coarse = rng.normal(0, std, (max(2, knots // 3), knots, knots)).astype(np.float32)
        return F.interpolate(torch.from_numpy(coarse)[None, None], shape, mode="trilinear", align_corners=True)[0, 0]


def write_demo_cohort(
    dataset_dir: str | os.PathLike[str],
    num_train: int = 24,
    num_validate: int = 4,
    num_test: int = 4,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Write a cohort of synthetic people in the layout of the release, with the template's licence beside it.

    Args:
        dataset_dir: folder to make; must not hold slices yet.
        num_train: people in the train section, 32 slices each.
        num_validate: people in the validate section.
        num_test: people in the test section.
        seed: the same seed writes the same files.
        progress: show a progress bar.

    Returns:
        ``dataset_dir``.

    Raises:
        InputError: if the folder already holds a section, or nilearn is missing.
    """
    root = Path(dataset_dir)
    existing = [d for d in (section_dir(root, s) for s in SECTIONS) if d.exists()]
    if existing:
        raise InputError(f"{existing[0]}: already there; name another --dataset_dir or remove it.")
    people = DemoPeople()
    sections = [s for s, n in zip(SECTIONS, (num_train, num_validate, num_test), strict=True) for _ in range(n)]
    unfinished = root / ".unfinished"
    try:
        _write_people(people, sections, unfinished, seed, progress)
        for folder in unfinished.iterdir():
            folder.replace(root / folder.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    (root / "LICENCE.txt").write_text(TEMPLATE_LICENCE)
    logger.info(f"demo cohort: {len(sections)} synthetic people, {len(sections) * NUM_SLICES} slices in {root}")
    return root


def _write_people(people: DemoPeople, sections: Sequence[str], root: Path, seed: int, progress: bool) -> None:
    for number, section in enumerate(
        tqdm(sections, desc="demo cohort", unit="person", disable=None if progress else True), start=1
    ):
        folder = section_dir(root, section)
        folder.mkdir(parents=True, exist_ok=True)
        for index, pixels in enumerate(people.slab(seed * 1_000_003 + number)):
            Image.fromarray(pixels).save(folder / slice_name(f"case_{number:03d}", index), format="PNG")


def ensure_demo_cohort(dataset_dir: str | os.PathLike[str]) -> str:
    """``dataset_dir``, with the default demo cohort written into it if it is not there yet."""
    with idist.one_rank_first(local=True):
        if not section_dir(dataset_dir, "train").is_dir():
            write_demo_cohort(dataset_dir)
    return str(dataset_dir)
