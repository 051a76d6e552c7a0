from __future__ import annotations

import pytest
import torch
from monai.metrics.fid import get_fid_score

from monai_vqoasis.errors import InputError
from monai_vqoasis.metrics.fidelity import ms_ssim
from monai_vqoasis.metrics.generation import (
    FrechetMetric,
    KIDMetric,
    frechet_distance,
    kernel_distance,
    pair_ms_ssim,
)


def whitened(number, dims):
    """Vectors with mean 0 and unit covariance, exactly."""
    x = torch.randn(number, dims, dtype=torch.float64)
    x -= x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T


def monai_score(x, y):
    try:
        return float(get_fid_score(x, y))
    except TypeError:
        pytest.skip("MONAI asks SciPy for an argument that it no longer has")


@pytest.mark.parametrize("number", [40, 300])
def test_frechet_distance_of_gaussians_in_closed_form(number):
    first, second = torch.rand(8, dtype=torch.float64) + 0.5, torch.rand(8, dtype=torch.float64) + 0.5
    shift = torch.randn(8, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64)).Q
    x, y = whitened(number, 8) * first @ rotation, (whitened(50, 8) * second + shift) @ rotation
    expected = shift.square().sum() + (first - second).square().sum()  # the covariances commute
    assert frechet_distance(x, y) == pytest.approx(float(expected), rel=1e-9)


def test_frechet_distance_of_covariances_that_do_not_commute():
    x, y = torch.randn(60, 6) @ torch.randn(6, 6), torch.randn(80, 6) @ torch.randn(6, 6)
    eigenvalues = torch.linalg.eigvals(torch.cov(x.T.double()) @ torch.cov(y.T.double())).real
    expected = (x.double().mean(0) - y.double().mean(0)).square().sum() - 2 * eigenvalues.sqrt().sum()
    expected += x.double().var(0).sum() + y.double().var(0).sum()
    assert frechet_distance(x, y) == pytest.approx(float(expected), rel=1e-6)
    assert frechet_distance(x, y) == pytest.approx(monai_score(x, y), rel=1e-6)


def test_frechet_distance_with_fewer_vectors_than_features():
    x, y = torch.randn(20, 200), torch.randn(30, 200) + 1
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, y) == pytest.approx(monai_score(x, y), rel=1e-4)
    # Two points in two dimensions: covariances of rank one along axes at a right angle, so that no root is shared.
    one, other = torch.tensor([[-1.0, 0], [1, 0]]), torch.tensor([[0.0, -1], [0, 1]])
    assert frechet_distance(one, other) == pytest.approx(4)


def test_monai_is_still_inexact_with_fewer_vectors_than_features():
    """When this fails, MONAI's own score may do."""
    x = torch.randn(40, 320)
    assert abs(monai_score(x, x)) > 1e-7


def test_kernel_distance_is_the_double_sum_over_pairs():
    x, y = torch.randn(6, 3), torch.randn(7, 3) + 0.5
    x64, y64 = x.double(), y.double()

    def kernel(a, b):
        return (float(a @ b) / 3 + 1) ** 3

    within_x = sum(kernel(x64[i], x64[j]) for i in range(6) for j in range(6) if i != j) / (6 * 5)
    within_y = sum(kernel(y64[i], y64[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    between = sum(kernel(a, b) for a in x64 for b in y64) / (6 * 7)
    # Subsets of all but one of y, so often that their mean is that over all of y.
    result = kernel_distance(x, y, subset_size=6, num_subsets=400)
    assert result.mean == pytest.approx(within_x + within_y - 2 * between, abs=5 * result.std / 400**0.5)
    whole = kernel_distance(x, y[:6], subset_size=6, num_subsets=3)
    within_y = sum(kernel(y64[i], y64[j]) for i in range(6) for j in range(6) if i != j) / (6 * 5)
    between = sum(kernel(a, b) for a in x64 for b in y64[:6]) / 36
    assert whole.mean == pytest.approx(within_x + within_y - 2 * between, rel=1e-9)
    assert whole.std == pytest.approx(0, abs=1e-9)


def test_kernel_distance_is_near_zero_for_one_distribution_only():
    x, same, other = torch.randn(400, 10), torch.randn(300, 10), torch.randn(300, 10) * 1.3
    alike, different = kernel_distance(x, same), kernel_distance(x, other)
    assert abs(alike.mean) < alike.std
    assert different.mean > 3 * different.std
    assert kernel_distance(x, other) == different
    assert kernel_distance(x, other, seed=1) != different


def test_metrics_measure_all_batches_and_start_anew():
    x, y = torch.randn(30, 4, 1), torch.randn(20, 4, 1) + 1
    frechet = FrechetMetric(y_mapping=lambda images: images.flatten(1))
    kid = KIDMetric(subset_size=20, num_subsets=5, seed=3)
    for _ in range(2):
        for x_part, y_part in zip(x.split(10), y.split(7), strict=True):
            frechet(x_part, y_part)
            kid(x_part.flatten(1), y_part.flatten(1))
        assert frechet.aggregate() == pytest.approx(frechet_distance(x.flatten(1), y.flatten(1)))
        assert kid.aggregate() == pytest.approx(kernel_distance(x.flatten(1), y.flatten(1), 20, 5, 3))
        frechet.reset()
        kid.reset()


def test_pairs_are_of_different_people():
    first, second = torch.randint(256, (2, 1, 180, 176), dtype=torch.uint8)
    pixels = torch.stack([first, first, second, second])
    between = float(ms_ssim(first[None].float() / 255, second[None].float() / 255))
    assert between < 0.9
    values = pair_ms_ssim(pixels, 12, cases=["a", "a", "b", "b"])
    assert values.tolist() == pytest.approx([between] * 12, abs=1e-5)
    anyone = pair_ms_ssim(pixels, 12)
    assert len(anyone) == 12
    copies = (anyone > 0.999).sum()
    assert 0 < copies < 12
    assert not (pair_ms_ssim(pixels[1:3], 12) > 0.999).any()  # never a slice with itself


def test_sets_that_cannot_be_compared_are_refused():
    x = torch.randn(5, 3)
    with pytest.raises(InputError, match="features must be N F"):
        frechet_distance(x, torch.randn(5, 4))
    with pytest.raises(InputError, match="at least two vectors"):
        frechet_distance(x, x[:1])
    with pytest.raises(InputError, match="finite"):
        frechet_distance(x, x / 0)
    with pytest.raises(InputError, match=r"subset_size must be between 2 and the smaller set \(5\)"):
        kernel_distance(x, x, subset_size=6)
    with pytest.raises(InputError, match="different people"):
        pair_ms_ssim(torch.zeros(3, 1, 176, 176, dtype=torch.uint8), 2, cases=["a"] * 3)
    with pytest.raises(InputError, match="needs y"):
        KIDMetric()(x)
