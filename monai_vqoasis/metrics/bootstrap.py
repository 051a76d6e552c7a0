"""Intervals over people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ["Estimate", "estimate_mean"]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, or without one (NaN) where a single person has a finite value."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def estimate_mean(
    values: Sequence[float] | torch.Tensor, cases: Sequence[str], resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Mean over slices, with a percentile interval bootstrapped over people.

    Slices of one person are alike, so that people are drawn, with all their slices: the cluster bootstrap of
    Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8.

    Args:
        values: one a slice; values that are not finite are left out, unless all are: then their plain mean, without
            an interval.
        cases: whose slice it is.
        resamples: how often people are drawn.
        seed: of the draws: the same data give the same interval.
    """
    values = torch.as_tensor(values, dtype=torch.float64)
    finite = values.isfinite()
    if not finite.any():
        return Estimate(float(values.mean()), float("nan"), float("nan"))
    values, people, person = values[finite], *_index([cases[i] for i in finite.nonzero()[:, 0].tolist()])
    total = torch.zeros(people, dtype=torch.float64).index_add_(0, person, values)
    count = person.bincount(minlength=people)
    mean = float(values.mean())
    if people < 2:
        return Estimate(mean, float("nan"), float("nan"))
    drawn = torch.randint(people, (resamples, people), generator=torch.Generator().manual_seed(seed))
    means = total[drawn].sum(1) / count[drawn].sum(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(mean, low, high)


def _index(cases: Sequence[str]) -> tuple[int, torch.Tensor]:
    """Number of people, and each slice's person as int64."""
    numbers: dict[str, int] = {}
    person = torch.tensor([numbers.setdefault(case, len(numbers)) for case in cases])
    return len(numbers), person
