from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap

from monai_vqoasis.metrics import Estimate, estimate_mean


def test_the_mean_is_over_slices_and_the_interval_over_people():
    generator = np.random.default_rng(0)
    person = generator.normal(size=40)
    cases = np.repeat(np.arange(40), 25)
    values = person[cases] + 0.01 * generator.normal(size=1000)
    estimate = estimate_mean(values, [str(case) for case in cases])
    assert estimate.value == pytest.approx(values.mean())
    means = np.array([values[cases == case].mean() for case in range(40)])
    reference = bootstrap((means,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    assert estimate.low == pytest.approx(reference.low, abs=0.03)
    assert estimate.high == pytest.approx(reference.high, abs=0.03)
    naive = 1.96 * values.std() / math.sqrt(1000)
    assert estimate.high - estimate.value > 3 * naive


def test_people_with_more_slices_weigh_more():
    estimate = estimate_mean([0.0, 0.0, 0.0, 4.0], ["a", "a", "a", "b"])
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 0.0, 4.0)


def test_the_same_data_give_the_same_interval_and_what_is_not_finite_is_left_out():
    values, cases = torch.rand(60), [f"case_{i // 6}" for i in range(60)]
    assert estimate_mean(values, cases) == estimate_mean(values, cases)
    spoiled = torch.cat([values, torch.tensor([math.inf, math.nan])])
    assert estimate_mean(spoiled, [*cases, "case_0", "case_3"]) == estimate_mean(values, cases)


def test_people_without_a_finite_value_are_nobody():
    assert estimate_mean([1.0, 3.0, 5.0, math.nan], ["a", "b", "b", "c"]) == estimate_mean([1.0, 3.0, 5.0], "abb")
    alone = estimate_mean([1.0, 3.0, math.nan], ["a", "a", "b"])
    assert alone.value == 2 and math.isnan(alone.low) and math.isnan(alone.high)


def test_one_person_has_no_interval():
    estimate = estimate_mean([1.0, 3.0], ["a", "a"])
    assert estimate.value == 2
    assert math.isnan(estimate.low) and math.isnan(estimate.high)
    assert str(Estimate(0.91234, 0.9, 0.93)) == "0.9123 [0.9, 0.93]"


def test_perfect_copies_only():
    estimate = estimate_mean([math.inf, math.inf, math.inf], ["a", "a", "b"])
    assert estimate.value == math.inf
    assert math.isnan(estimate.low) and math.isnan(estimate.high)
