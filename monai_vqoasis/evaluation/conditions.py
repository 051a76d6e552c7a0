"""Whether a prior draws what it is asked for: slices of a position, and of a dementia rating."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch

from monai_vqoasis.data import CDR_RATINGS
from monai_vqoasis.engines import SliceGenerator
from monai_vqoasis.evaluation.section import Picture, Section, Table
from monai_vqoasis.evaluation.slices import SliceSet, draw_slices, warn_of_training_people
from monai_vqoasis.inferers import WavefrontSampler
from monai_vqoasis.metrics.anatomy import ventricle_fraction
from monai_vqoasis.metrics.neighbours import nearest_neighbours
from monai_vqoasis.networks import CodePrior, VectorQuantizedAutoencoder
from monai_vqoasis.visualize import picture_grid

__all__ = ["ConditionsSection"]

VOTERS = 5
FEWEST_PEOPLE = 5
CLOSE = 2
RATING_POSITIONS = 9
SHOWN = 8


class ConditionsSection:
    """Asks the prior for slice positions and dementia ratings, and looks for them in what it draws.

    A slice's position is voted by the nearest training slices; that of real slices of other people, voted in the same
    way, is what can be expected. Ratings are asked for at the same positions with the same seeds, so that samples
    differ by the rating alone, and the ventricles are compared with those of people of that rating.

    Args:
        prior: stage 2; None, or one without conditions, leaves the section empty.
        vqvae: its stage 1.
        slices: real slices of people that training never saw.
        training_slices: what the prior was trained on.
        cdr: rating of each case, see :func:`monai_vqoasis.data.load_cdr`; empty where ratings are not known.
        samples_per_position: how many slices are drawn at each position.
        seed: of the first of them.
    """

    def __init__(
        self,
        prior: CodePrior | None,
        vqvae: VectorQuantizedAutoencoder,
        slices: SliceSet,
        training_slices: SliceSet,
        cdr: Mapping[str, int],
        samples_per_position: int = 8,
        seed: int = 0,
    ) -> None:
        self.prior = prior
        self.vqvae = vqvae
        self.slices = slices
        self.training_slices = training_slices
        self.cdr = cdr
        self.samples_per_position = samples_per_position
        self.seed = seed

    def __call__(self) -> Section:
        known = {name: self.prior.trained_values(name) for name in self.prior.condition_values} if self.prior else {}
        positions = sorted(set(self.training_slices.slice_indices).intersection(known.get("slice_index", [])))
        if not positions:
            return Section(
                name="conditions",
                title="Conditions",
                warnings=["There is no trained prior, or it has not learned slice positions: nothing to ask for."],
            )
        parts = [self._positions(positions)]
        warnings = warn_of_training_people(self.slices, self.training_slices)
        cases = self.training_slices.cases
        people = {rating: {c for c in cases if self.cdr.get(c) == rating} for rating in known.get("cdr", [])}
        people = {rating: cases for rating, cases in people.items() if len(cases) >= FEWEST_PEOPLE}
        if people:
            parts.append(self._ratings(people, positions[:: max(1, len(positions) // RATING_POSITIONS)]))
        else:
            warnings.append(
                "Ratings were left out: the prior has not learned them, no cases_path was given, or fewer than "
                f"{FEWEST_PEOPLE} people have the same."
            )
        return Section(
            name="conditions",
            title="Conditions",
            text=[
                "The prior is told a slice position or a dementia rating (CDR), and what it draws is measured. The "
                f"position of a slice is the median of those of the {VOTERS} training slices nearest to it in pixels.",
            ],
            warnings=warnings,
            tables=[table for table, _, _ in parts],
            pictures=[picture for _, picture, _ in parts],
            metrics={name: value for _, _, metrics in parts for name, value in metrics.items()},
        )

    def _positions(self, positions: Sequence[int]) -> tuple[Table, Picture, dict[str, object]]:
        asked = [i for i in positions for _ in range(self.samples_per_position)]
        samples = self._draw({"slice_index": asked}, range(self.seed, self.seed + len(asked)))
        rows, metrics = [], {}
        for name, label, one in (("samples", "samples", samples), ("slices", "real slices", self.slices)):
            error = (self._vote(one) - torch.tensor(one.slice_indices)).abs().float()
            metrics[name] = {
                "median_error": float(error.median()),
                f"within_{CLOSE}": float((error <= CLOSE).float().mean()),
                "num_slices": len(one),
            }
            rows.append([label, *metrics[name].values()])
        header = ["", "median error (slices)", f"within {CLOSE} slices", "slices"]
        first = [samples.images([i * self.samples_per_position])[0, 0] for i in range(len(positions))]
        shown = [first[i : i + SHOWN] for i in range(0, len(first), SHOWN)]
        picture = Picture(f"One sample for each position, {positions[0]} to {positions[-1]}.", picture_grid(shown))
        return Table("Positions asked for, and voted.", header, rows), picture, {"slice_index": metrics}

    def _vote(self, slices: SliceSet) -> torch.Tensor:
        found = nearest_neighbours(slices.pixels, self.training_slices.pixels, VOTERS, desc="positions").indices
        return torch.tensor(self.training_slices.slice_indices)[found].median(1).values

    def _ratings(
        self, people: Mapping[int, set[str]], positions: Sequence[int]
    ) -> tuple[Table, Picture, dict[str, object]]:
        at = set(positions)
        asked = list(itertools.product(positions, range(self.samples_per_position)))
        seeds = range(self.seed, self.seed + len(asked))
        rows, shown, metrics = [], [], {}
        for rating, cases in people.items():
            samples = self._draw({"slice_index": [i for i, _ in asked], "cdr": [rating] * len(asked)}, seeds)
            real = [
                i
                for i, (case, index) in enumerate(
                    zip(self.training_slices.cases, self.training_slices.slice_indices, strict=True)
                )
                if case in cases and index in at
            ]
            means = [_ventricles(one) for one in (samples, self.training_slices.subset(real))]
            name = f"{CDR_RATINGS[rating]:g}"
            metrics[name] = {"samples": means[0], "slices": means[1], "num_people": len(cases)}
            rows.append([f"CDR {name}", *metrics[name].values()])
            every = max(1, len(samples) // SHOWN)
            shown.append(list(samples.images()[::every, 0][-SHOWN:]))
        table = Table(
            f"Ventricles (dark share of the brain) at positions {', '.join(map(str, positions))}.",
            ["asked for", "samples", "training slices", "people"],
            rows,
        )
        names = ", ".join(metrics)
        picture = Picture(f"The same seeds and positions for CDR {names} (from the top).", picture_grid(shown))
        return table, picture, {"cdr": metrics}

    def _draw(self, conditions: Mapping[str, Sequence[int]], seeds: range) -> SliceSet:
        generator = SliceGenerator(
            self.vqvae,
            self.prior,
            WavefrontSampler(),
            output_dir="",
            num_samples=len(seeds),
            batch_size=32,
            seed=seeds[0],
            image_size=self.slices.pixels.shape[2:],
            conditions=conditions,
        )
        return draw_slices(generator)


def _ventricles(slices: SliceSet) -> float:
    values = [ventricle_fraction(slices.images(range(i, min(i + 32, len(slices))))) for i in range(0, len(slices), 32)]
    return float(torch.cat(values).nanmean())
