"""Two processes that see parts of the data get the numbers of one that sees it all."""

from __future__ import annotations

import ignite.distributed as idist
import pytest
import torch

from monai_vqoasis.metrics import CodeHistogram, FidelityMetric, FrechetMetric, KIDMetric

PARTS = ((0, 7), (7, 12))  # an uneven share for each


def numbers(start: int, stop: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(12, 1, 24, 24, generator=generator)
    noisy = (image + 0.1 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    features, others = torch.randn(2, 12, 5, generator=generator).unbind()
    codes = torch.randint(9, (12, 4, 4), generator=generator)
    part = slice(start, stop)
    result = {}
    for name in ("psnr", "ssim"):
        metric = FidelityMetric(name, brain=name == "psnr")
        metric(noisy[part], image[part])
        result[name] = float(metric.aggregate())
    fid, kid = FrechetMetric(), KIDMetric(subset_size=6, num_subsets=4)
    for metric in (fid, kid):
        metric(features[part], others[part])
    result |= {"fid": fid.aggregate(), "kid": kid.aggregate().mean, "kid_std": kid.aggregate().std}
    histogram = CodeHistogram(9)
    histogram.update(codes[part])
    return result | {"codes": histogram.compute().tolist()}


def work(rank: int, expected: dict[str, float]) -> None:
    torch.set_num_threads(1)
    result = numbers(*PARTS[rank])
    assert result.pop("codes") == expected.pop("codes")
    assert result == pytest.approx(expected, rel=1e-5)


def test_two_processes_agree_with_one():
    idist.spawn("gloo", work, args=(numbers(0, 12),), nproc_per_node=2)
