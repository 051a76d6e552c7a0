"""How near the reconstructions are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from tqdm import tqdm

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation.section import Picture, Section, Table
from monai_vqoasis.evaluation.slices import SliceSet, check_belongs
from monai_vqoasis.metrics import FIDELITY, brain_mask, estimate_mean
from monai_vqoasis.visualize import picture_grid, reconstruction_rows

__all__ = ["ReconstructionSection", "slice_fidelity"]

LABELS = {"mse": "MSE", "psnr": "PSNR (dB)", "ssim": "SSIM", "ms_ssim": "MS-SSIM"}


class ReconstructionSection:
    """MSE, PSNR, SSIM and MS-SSIM, over the slice and inside the brain, and the best, median and worst slices.

    Args:
        slices: the originals.
        reconstructions: the same slices, by any method.
        num_shown: how many of the best, median and worst slices are shown.

    Raises:
        InputError: if the two do not belong together.
    """

    def __init__(self, slices: SliceSet, reconstructions: SliceSet, num_shown: int = 3) -> None:
        check_belongs(reconstructions, slices)
        self.slices = slices
        self.reconstructions = reconstructions
        self.num_shown = num_shown

    def __call__(self) -> Section:
        columns, warnings = slice_fidelity(self.slices, self.reconstructions)
        estimates = {name: estimate_mean(values, self.slices.cases) for name, values in columns.items()}
        measured = [name for name in FIDELITY if name in columns]
        people = len(set(self.slices.cases))
        if people < 2:
            warnings.append("One person only: no interval can be given.")
        table = Table(
            f"Mean over {len(self.slices)} slices with its 95 % interval, bootstrapped over {people} people.",
            ["", "whole slice", "inside the brain"],
            [[LABELS[name], estimates[name], estimates[f"{name}_brain"]] for name in measured],
        )
        return Section(
            name="reconstruction",
            title="Reconstruction",
            text=[
                "Each slice goes through its codes and back, and both are compared as 8-bit pictures with values in "
                "[0, 1]. SSIM has a Gaussian window of 11 pixels, sigma 1.5, data range 1. Most of a slice is black, "
                "which anything reproduces: the numbers inside the brain (brighter than 0.05, holes closed) say more."
            ],
            warnings=warnings,
            tables=[table],
            pictures=self._pictures(columns["psnr_brain"]),
            metrics=estimates,
            per_slice={name: values.tolist() for name, values in columns.items()},
        )

    def _pictures(self, psnr: torch.Tensor) -> list[Picture]:
        order = psnr.argsort(descending=True)
        order = order[~psnr[order].isnan()]
        if not len(order):
            return []
        count = min(self.num_shown, len(order))
        middle = (len(order) - count) // 2
        groups = {
            "Best": order[:count],
            "Median": order[middle : middle + count],
            "Worst": order[-count:],
        }
        pictures = []
        for name, chosen in groups.items():
            pairs = zip(self.slices.images(chosen)[:, 0], self.reconstructions.images(chosen)[:, 0], strict=True)
            which = ", ".join(
                f"{self.slices.cases[i]} slice {self.slices.slice_indices[i]} ({psnr[i]:.1f} dB)" for i in chosen
            )
            caption = f"{name} by PSNR inside the brain: {which}. Slices, reconstructions, four times the difference."
            pictures.append(Picture(caption, picture_grid(reconstruction_rows(list(pairs)))))
        return pictures


def slice_fidelity(
    slices: SliceSet, reconstructions: SliceSet, batch_size: int = 16
) -> tuple[Mapping[str, torch.Tensor], list[str]]:
    """Each of :data:`FIDELITY` and its ``_brain`` twin, one value a slice, and warnings about what means leave out."""
    warnings: list[str] = []
    functions = dict(FIDELITY)
    try:
        functions["ms_ssim"](slices.images([0]), slices.images([0]))
    except InputError as error:
        del functions["ms_ssim"]
        warnings.append(f"MS-SSIM is left out: {error}")
    columns: dict[str, list[torch.Tensor]] = {f"{name}{brain}": [] for name in functions for brain in ("", "_brain")}
    starts = range(0, len(slices), batch_size)
    for start in tqdm(starts, desc="comparing slices", unit="batch", disable=None):
        batch = slice(start, start + batch_size)
        image, reconstruction = slices.images(batch), reconstructions.images(batch)
        mask = brain_mask(image)
        for name, function in functions.items():
            columns[name].append(function(reconstruction, image))
            columns[f"{name}_brain"].append(function(reconstruction, image, mask))
    joined = {name: torch.cat(values) for name, values in columns.items()}
    missing = {name: int((~values.isfinite()).sum()) for name, values in joined.items()}
    if any(missing.values()):
        which = ", ".join(f"{name} {number}" for name, number in missing.items() if number)
        warnings.append(
            f"Means leave out slices that have no value, of {len(slices)}: {which}. Without brain there is none inside "
            "it (MS-SSIM needs a large one), and a perfect copy's PSNR is infinite."
        )
    return joined, warnings
