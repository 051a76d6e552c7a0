"""What the original work's "SSIM" says, beside what it is meant to say."""

from __future__ import annotations

import torch
from tqdm import tqdm

from monai_vqoasis.evaluation.section import Section, Table
from monai_vqoasis.evaluation.slices import SliceSet, check_belongs, evenly_spread
from monai_vqoasis.metrics import estimate_mean, psnr, ssim
from monai_vqoasis.metrics.audit import reported_ssim

__all__ = ["AuditSection"]

COLUMNS = {"reported": reported_ssim, "ssim": ssim, "psnr": psnr}
PERFECT = "perfect copy"
BRAINLESS = ("black", "constant", "uniform noise")


class AuditSection:
    """Scores pictures that anyone can judge by the formula of the original report, and by SSIM.

    Args:
        slices: originals.
        reconstructions: the same slices through the model.
        seed: of the noise.
        max_slices: how many slices to measure, evenly spread; None for all.

    Raises:
        InputError: for reconstructions that do not fit the slices.
    """

    def __init__(self, slices: SliceSet, reconstructions: SliceSet, seed: int = 0, max_slices: int | None = 90) -> None:
        check_belongs(reconstructions, slices)
        self.slices = slices
        self.reconstructions = reconstructions
        self.seed = seed
        self.max_slices = max_slices

    def __call__(self) -> Section:
        chosen = evenly_spread(len(self.slices), self.max_slices)
        cases = [self.slices.cases[index] for index in chosen]
        scores = self._measure(chosen)
        rows = {
            picture: {column: estimate_mean(values, cases) for column, values in columns.items()}
            for picture, columns in scores.items()
        }
        means = [columns["reported"].value for columns in rows.values()]
        low, high = scores[PERFECT]["reported"].aminmax()
        above = [picture for picture in BRAINLESS if rows[picture]["reported"].value > rows[PERFECT]["reported"].value]
        beaten = f"Scoring higher on average: {', '.join(above) or 'nothing'}"
        ranked = (torch.stack([scores[p]["reported"] for p in BRAINLESS]).amax(0) > scores[PERFECT]["reported"]).sum()
        return Section(
            name="audit",
            title="Audit of the original report's SSIM",
            text=[
                "The report that this project re-creates gives SSIM 0.9886. Its formula departs from the definition "
                "(Wang et al. 2004, doi:10.1109/TIP.2003.819861) three times: the stabilising constants are those of "
                "values up to 255 while the images lie in [0, 1], so that they outweigh every statistic; the structure "
                "term divides by the sum of the two standard deviations, not by their product; and one window covers "
                "the whole slice. It is therefore not used anywhere else in this report.",
                f"By that formula a perfect copy scores {low:.4f} to {high:.4f}, depending on the slice. {beaten}; on "
                f"{int(ranked)} of {len(chosen)} slices a picture that shows no brain at all scores higher than the "
                f"perfect copy. Uniform noise scores {rows['uniform noise']['reported'].value:.4f}. The means of all "
                f"lie within {max(means) - min(means):.4f}: the number says nothing about a reconstruction.",
                f"Measured on {len(chosen)} slices of {len(set(cases))} people; the constant is the slice's own mean.",
            ],
            tables=[
                Table(
                    "Five pictures by the original report's formula, by SSIM as everyone else defines it, and by PSNR; "
                    "means with 95 % intervals over people.",
                    ["Picture", "Original formula", "SSIM", "PSNR (dB)"],
                    [[picture, *columns.values()] for picture, columns in rows.items()],
                )
            ],
            metrics={picture.replace(" ", "_"): columns for picture, columns in rows.items()},
        )

    def _measure(self, chosen: list[int]) -> dict[str, dict[str, torch.Tensor]]:
        """Each picture's scores, one a slice."""
        generator = torch.Generator().manual_seed(self.seed)
        scores: dict[str, dict[str, list[torch.Tensor]]] = {}
        for index in tqdm(chosen, desc="audit of the original formula", unit="slice", disable=None):
            image = self.slices.images([index])
            pictures = {
                PERFECT: image,
                "this model": self.reconstructions.images([index]),
                "black": torch.zeros_like(image),
                "constant": torch.full_like(image, float(image.mean())),
                "uniform noise": torch.rand(image.shape, generator=generator),
            }
            for picture, prediction in pictures.items():
                columns = scores.setdefault(picture, {column: [] for column in COLUMNS})
                for column, function in COLUMNS.items():
                    columns[column].append(function(prediction, image))
        return {p: {name: torch.cat(values) for name, values in columns.items()} for p, columns in scores.items()}
