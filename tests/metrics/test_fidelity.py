from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.metrics.regression import compute_ms_ssim
from skimage.metrics import structural_similarity

from monai_vqoasis.errors import InputError
from monai_vqoasis.metrics import (
    FIDELITY,
    FidelityMetric,
    brain_mask,
    fidelity_metrics,
    image_pair,
    ms_ssim,
    mse,
    psnr,
    ssim,
)


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


def noisy_pair(size=(200, 220)):
    image = torch.rand(2, 1, *size)
    return (image + 0.2 * torch.randn_like(image)).clamp(0, 1), image


def test_inside_a_mask_only_its_pixels_count():
    prediction, image = noisy_pair()
    mask = torch.zeros_like(image, dtype=torch.bool)
    mask[..., 50:120, 60:150] = True
    elsewhere = torch.where(mask, prediction, torch.rand_like(image))
    assert torch.equal(mse(prediction, image, mask), mse(elsewhere, image, mask))
    region = (slice(None), slice(None), slice(50, 120), slice(60, 150))
    torch.testing.assert_close(psnr(prediction, image, mask), psnr(prediction[region], image[region]))


@pytest.mark.parametrize("size", [(200, 220), (176, 208), (181, 217)])
def test_ms_ssim_is_monais(size):
    prediction, image = noisy_pair(size)
    torch.testing.assert_close(ms_ssim(prediction, image), compute_ms_ssim(prediction, image, spatial_dims=2)[:, 0])


def test_ssim_inside_a_mask_is_the_mean_of_scikit_images_map_there():
    prediction, image = noisy_pair((64, 80))
    mask = torch.zeros_like(image, dtype=torch.bool)
    mask[..., 20:40, 30:70] = True
    for one, value in enumerate(ssim(prediction, image, mask)):
        _, full = structural_similarity(
            prediction[one, 0].double().numpy(),
            image[one, 0].double().numpy(),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        assert float(value) == pytest.approx(full[mask[one, 0].numpy()].mean(), abs=1e-4)


@pytest.mark.parametrize("function", [ssim, ms_ssim])
def test_a_mask_of_everything_changes_nothing_and_a_local_error_costs_more_inside(function):
    _, image = noisy_pair()
    prediction, mask = image.clone(), torch.zeros_like(image, dtype=torch.bool)
    prediction[..., 80:120, 80:120] = 0
    mask[..., 70:130, 70:130] = True
    torch.testing.assert_close(function(prediction, image, torch.ones_like(mask)), function(prediction, image))
    assert (function(prediction, image, mask) < function(prediction, image) - 0.05).all()


def test_the_brain_mask_holds_ventricles_and_leaves_out_faint_noise():
    image = torch.zeros(1, 1, 64, 64)
    image[..., 10:50, 10:50] = 0.6
    image[..., 28:34, 28:34] = 0.01
    image[..., 55, 55] = 0.04
    brain = torch.zeros_like(image, dtype=torch.bool)
    brain[..., 10:50, 10:50] = True
    assert torch.equal(brain_mask(image), brain)


@pytest.mark.parametrize(
    ("prediction", "image", "message"),
    [
        (torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 33), "must both be B 1 H W"),
        (torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32), "must both be B 1 H W"),
        (torch.rand(1, 1, 32, 32), 255 * torch.ones(1, 1, 32, 32), r"must lie in \[0, 1\], got \[255, 255\]"),
        (torch.rand(1, 1, 32, 32), torch.full((1, 1, 32, 32), torch.nan), "must lie in"),
    ],
)
@pytest.mark.parametrize("name", ["mse", "psnr", "ssim"])
def test_bad_input_is_one_sentence(name, prediction, image, message):
    with pytest.raises(InputError, match=message):
        FIDELITY[name](prediction, image)


def test_images_too_small_for_their_window_are_refused():
    with pytest.raises(InputError, match="176 are needed"):
        ms_ssim(torch.rand(1, 1, 175, 200), torch.rand(1, 1, 175, 200))
    with pytest.raises(InputError, match="11 are needed"):
        ssim(torch.rand(1, 1, 10, 200), torch.rand(1, 1, 10, 200))


def test_the_metric_keeps_one_value_a_slice_and_leaves_out_slices_without_brain():
    prediction, image = noisy_pair((32, 32))
    image[1] = 0
    metric = FidelityMetric("psnr", brain=True, reduction="none")
    metric(prediction[:1], image[:1])
    metric(prediction[1:], image[1:])
    values = metric.aggregate()
    torch.testing.assert_close(values[0], psnr(prediction, image, brain_mask(image))[:1])
    mean = FidelityMetric("psnr", brain=True)
    mean(prediction, image)
    torch.testing.assert_close(mean.aggregate(), values[:1, 0])


def test_one_perfect_copy_does_not_make_the_mean_infinite():
    prediction, image = noisy_pair((32, 32))
    prediction[1] = image[1]
    metric = FidelityMetric("psnr")
    metric(prediction, image)
    torch.testing.assert_close(metric.aggregate(), psnr(prediction, image)[:1])
    assert metric.aggregate("none")[1] == torch.inf
    metric.reset()
    metric(image, image)
    assert metric.aggregate() == torch.inf
