"""How good new slices are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation.memorisation import MIRRORED_AXIS, measure_memorisation
from monai_vqoasis.evaluation.section import Picture, Section, Table
from monai_vqoasis.evaluation.slices import SliceSet, warn_of_training_people
from monai_vqoasis.metrics.anatomy import ANATOMY, wasserstein
from monai_vqoasis.metrics.features import extract_features, extractor_name
from monai_vqoasis.metrics.generation import frechet_distance, kernel_distance, pair_ms_ssim
from monai_vqoasis.visualize import picture_grid, to_rows

__all__ = ["GenerationSection", "measure_anatomy"]

FEW_SAMPLES = 1000
KID_SUBSET = 100
LABELS = {
    "samples": "samples",
    "training": "training slices",
    "reconstructions": "reconstructions",
    "slices": "real slices",
}
ANATOMY_LABELS = {
    "brain_area": "brain area (share of the slice)",
    "left_right_symmetry": "left-right symmetry (correlation)",
    "ventricle_fraction": "ventricles (dark share of the brain)",
}


class GenerationSection:
    """Distance to real slices, diversity, memorisation and anatomy of samples, and the samples to look at.

    Args:
        samples: new slices; None where there is no prior to draw them from: the section then says so.
        slices: real slices of people that training never saw.
        training_slices: what the model was trained on.
        reconstructions: ``slices`` through the codes and back: what the samples could reach at best. None leaves
            them out.
        extractor: images (B 1 H W in [0, 1]) to features (B F), with a ``name`` for the report.
        device: where features are computed.
        num_pairs: how many pairs measure diversity.
        seed: of all random draws.
        num_shown: how many samples are shown.

    Raises:
        InputError: for sets of different sizes of picture, or of fewer than two slices.
    """

    def __init__(
        self,
        samples: SliceSet | None,
        slices: SliceSet,
        training_slices: SliceSet,
        reconstructions: SliceSet | None,
        extractor: Callable[[torch.Tensor], torch.Tensor],
        device: torch.device | str = "cpu",
        num_pairs: int = 500,
        seed: int = 0,
        num_shown: int = 32,
    ) -> None:
        given = {"samples": samples, "slices": slices, "training": training_slices, "reconstructions": reconstructions}
        self.sets = {name: one for name, one in given.items() if one is not None}
        for name, one in self.sets.items():
            if one.pixels.shape[1:] != slices.pixels.shape[1:] or len(one) < 2:
                raise InputError(
                    f"generation needs at least two {LABELS[name]} of {tuple(slices.pixels.shape[2:])} pixels, got "
                    f"{len(one)} of {tuple(one.pixels.shape[2:])}."
                )
        self.extractor = extractor
        self.device = device
        self.num_pairs = num_pairs
        self.seed = seed
        self.num_shown = num_shown

    def __call__(self) -> Section:
        if "samples" not in self.sets:
            return Section(
                name="generation",
                title="Generation",
                warnings=["There are no samples to measure: no trained prior, and no folder of samples, was given."],
            )
        samples, training = self.sets["samples"], self.sets["training"]
        features = {
            name: extract_features(one.pixels, self.extractor, self.device, desc=f"features: {LABELS[name]}")
            for name, one in self.sets.items()
        }
        features["mirrored"] = extract_features(
            training.pixels.flip(MIRRORED_AXIS), self.extractor, self.device, desc="features: mirrored training slices"
        )
        generator = torch.Generator().manual_seed(self.seed)
        floor = torch.randperm(len(training), generator=generator)[: len(samples)]
        distances, distance_table = self._distances(features, floor)
        diversity, diversity_table = self._diversity()
        memorisation = measure_memorisation(
            {name: one for name, one in self.sets.items() if name != "training"}, training, features
        )
        anatomy = {
            name: measure_anatomy(one.pixels[floor] if name == "training" else one.pixels, LABELS[name])
            for name, one in self.sets.items()
        }
        anatomy_metrics, anatomy_table = _compare_anatomy(anatomy)
        shown = samples.images(slice(0, self.num_shown))
        return Section(
            name="generation",
            title="Generation",
            text=[
                f"Features are those of {extractor_name(self.extractor)}. FID falls with the number of slices: "
                "compare rows of equal number only. KID does not depend on it. Training slices against the "
                "evaluated ones, real people against other real people, is the floor that samples can reach; "
                "reconstructions show what the codes alone cost.",
                "A proxy for anatomy is read off the pixels: brain area, the correlation of the slice with its mirror "
                "image, and the share of the brain that is dark in its middle, which is mostly ventricles.",
            ],
            warnings=[*self._warnings(features["samples"].shape[1]), *memorisation.warnings],
            tables=[distance_table, diversity_table, memorisation.table, anatomy_table],
            pictures=[
                Picture(f"The first {len(shown)} samples, not selected.", picture_grid(to_rows(shown))),
                *memorisation.pictures,
                Picture("Anatomy of samples, real slices and training slices.", _anatomy_histograms(anatomy)),
            ],
            metrics={
                "num_samples": len(samples),
                "distance": distances,
                "diversity": diversity,
                "memorisation": memorisation.metrics,
                "anatomy": anatomy_metrics,
            },
        )

    def _warnings(self, num_features: int) -> list[str]:
        number, reference = len(self.sets["samples"]), len(self.sets["slices"])
        warnings = warn_of_training_people(self.sets["slices"], self.sets["training"])
        if number < FEW_SAMPLES:
            warnings.append(f"{number} samples only: fewer than {FEW_SAMPLES} give rough distances.")
        if min(number, reference) < num_features:
            warnings.append(
                f"{number} samples and {reference} real slices for {num_features} features: covariances of fewer "
                "slices than features are singular, and FID is far too high; trust KID."
            )
        return warnings

    def _distances(
        self, features: Mapping[str, torch.Tensor], floor: torch.Tensor
    ) -> tuple[dict[str, dict[str, float]], Table]:
        reference = features["slices"]
        compared = {"samples": features["samples"], "training": features["training"][floor]}
        if "reconstructions" in features:
            compared["reconstructions"] = features["reconstructions"]
        subset = min(KID_SUBSET, len(reference), *map(len, compared.values()))
        metrics, rows = {}, []
        for name, chosen in compared.items():
            kid = kernel_distance(chosen, reference, subset, seed=self.seed)
            fid = frechet_distance(chosen, reference)
            metrics[name] = {"fid": fid, "kid": kid.mean, "kid_std": kid.std, "num_slices": len(chosen)}
            rows.append([LABELS[name], len(chosen), fid, f"{kid.mean:.4g} ± {kid.std:.2g}"])
        slices, training = self.sets["slices"], self.sets["training"]
        caption = (
            f"Against {len(slices)} real slices of {len(set(slices.cases))} people; training slices are drawn from "
            f"{len(set(training.cases))} people. KID: mean and standard deviation over 100 subsets of {subset}."
        )
        return metrics, Table(caption, ["", "slices", "FID", "KID"], rows)

    def _diversity(self) -> tuple[dict[str, float], Table]:
        metrics, rows = {}, []
        for name in ("samples", "slices"):
            one = self.sets[name]
            try:
                values = pair_ms_ssim(one.pixels, self.num_pairs, self.seed, one.cases if name == "slices" else None)
            except InputError as error:
                rows.append([LABELS[name], None, f"left out: {error}"])
                continue
            metrics |= {f"{name}_ms_ssim": float(values.mean()), f"{name}_ms_ssim_std": float(values.std())}
            rows.append([LABELS[name], float(values.mean()), float(values.std())])
        caption = (
            f"MS-SSIM of {self.num_pairs} random pairs; real pairs are of different people. Samples above real slices "
            "are less diverse than these; samples below may only be less like brains."
        )
        return metrics, Table(caption, ["", "mean", "standard deviation"], rows)


def measure_anatomy(pixels: torch.Tensor, label: str = "slices", batch_size: int = 16) -> dict[str, torch.Tensor]:
    """Each of :data:`monai_vqoasis.metrics.anatomy.ANATOMY` of 8-bit slices (uint8, N 1 H W), one value a slice."""
    columns: dict[str, list[torch.Tensor]] = {name: [] for name in ANATOMY}
    for part in tqdm(pixels.split(batch_size), desc=f"anatomy: {label}", unit="batch", disable=None):
        image = part.float() / 255
        mask = brain_mask(image)
        for name, function in ANATOMY.items():
            columns[name].append(function(image, mask))
    return {name: torch.cat(values) for name, values in columns.items()}


def _compare_anatomy(
    anatomy: Mapping[str, Mapping[str, torch.Tensor]],
) -> tuple[dict[str, dict[str, float]], Table]:
    metrics: dict[str, dict[str, float]] = {}
    rows = []
    for measure, label in ANATOMY_LABELS.items():
        reference = anatomy["slices"][measure]
        metrics[measure] = {"slices_mean": float(reference.nanmean())}
        for name in ("samples", "training", "reconstructions"):
            if name not in anatomy:
                continue
            values = anatomy[name][measure]
            distance = wasserstein(values, reference)
            metrics[measure] |= {
                f"{name}_mean": float(values.nanmean()),
                f"{name}_wasserstein": distance.distance,
                f"{name}_wasserstein_normalised": distance.normalised,
            }
            means = [float(values.nanmean()), float(reference.nanmean())]
            rows.append([f"{label}: {LABELS[name]}", *means, *distance])
    header = ["", "mean", "mean of real slices", "Wasserstein distance", "in standard deviations"]
    return metrics, Table("Distributions against those of the real slices.", header, rows)


def _anatomy_histograms(anatomy: Mapping[str, Mapping[str, torch.Tensor]]) -> Figure:
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, (measure, label) in zip(figure.subplots(1, len(ANATOMY_LABELS)), ANATOMY_LABELS.items(), strict=True):
        columns = {name: anatomy[name][measure] for name in ("samples", "slices", "training")}
        columns = {name: values[values.isfinite()] for name, values in columns.items()}
        together = torch.cat(list(columns.values()))
        span = (float(together.min()), float(together.max())) if len(together) else (0.0, 1.0)
        for name, values in columns.items():
            if len(values):
                axes.hist(values.numpy(), 30, span, density=True, histtype="step", label=LABELS[name])
        axes.set_xlabel(label, fontsize="small")
        axes.set_yticks([])
    axes.legend(frameon=False, fontsize="small")
    return figure
