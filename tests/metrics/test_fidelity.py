from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from skimage.metrics import structural_similarity

from monai_vqoasis.metrics import fidelity_metrics, image_pair


def evaluate(images, reconstructions):
    engine = Engine(lambda engine, batch: {"image": batch[0], "pred": batch[1]})
    for name, metric in fidelity_metrics().items():
        metric.attach(engine, name)
    engine.run(list(zip(images, reconstructions, strict=True)))
    return engine.state.metrics


def test_numbers_are_means_over_slices_of_the_standard_definitions():
    images = [torch.rand(2, 1, 32, 40), torch.rand(1, 1, 32, 40)]
    noisy = [x + 0.1 * torch.randn_like(x) for x in images]
    metrics = evaluate(images, noisy)
    a, b = torch.cat(images), torch.cat(noisy).clamp(0, 1)
    mse = (a - b).square().mean((1, 2, 3))
    assert metrics["mse"] == pytest.approx(mse.mean().item(), rel=1e-5)
    assert metrics["psnr"] == pytest.approx((-10 * mse.log10()).mean().item(), rel=1e-5)
    maps = [
        structural_similarity(
            x, y, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, win_size=11
        )
        for x, y in zip(a[:, 0].double().numpy(), b[:, 0].double().numpy(), strict=True)
    ]
    assert metrics["ssim"] == pytest.approx(np.mean(maps), abs=1e-4)


def test_a_perfect_copy_wins_and_values_are_clamped_as_they_are_shown():
    image = torch.rand(1, 1, 32, 32)
    assert evaluate([image], [image])["ssim"] == pytest.approx(1, abs=1e-5)
    assert math.isinf(evaluate([image], [image])["psnr"])
    black = torch.zeros(1, 1, 32, 32)
    assert evaluate([black], [black - 3])["mse"] == 0
    assert evaluate([image], [black])["ssim"] < 0.1
    assert image_pair({"image": image, "pred": image + 5})[0].max() == 1
