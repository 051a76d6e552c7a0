from __future__ import annotations

import math

import pytest
import torch

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation.audit import AuditSection
from monai_vqoasis.evaluation.slices import SliceSet, to_bytes
from monai_vqoasis.metrics import psnr, ssim
from monai_vqoasis.metrics.audit import reported_ssim
from tests.metrics.test_audit import brain_like


def slices_and_reconstructions() -> tuple[SliceSet, SliceSet]:
    images = torch.cat([brain_like(), brain_like().flip(2) * 0.9, brain_like().transpose(2, 3) * 0.8])
    cases = ["case_001", "case_002", "case_003"]
    blurred = torch.nn.functional.avg_pool2d(images, 5, stride=1, padding=2)
    return SliceSet(to_bytes(images), cases, [0, 0, 0]), SliceSet(to_bytes(blurred), cases, [0, 0, 0])


def test_rows_are_the_pictures_and_columns_the_measures():
    slices, ours = slices_and_reconstructions()
    section = AuditSection(slices, ours, seed=3)()
    rows = section.metrics
    assert set(rows) == {"perfect_copy", "this_model", "black", "constant", "uniform_noise"}
    for column, function in (("reported", reported_ssim), ("ssim", ssim), ("psnr", psnr)):
        expected = float(function(ours.images(), slices.images()).mean())
        assert rows["this_model"][column].value == pytest.approx(expected, rel=1e-5)
    assert rows["constant"]["reported"].value > rows["perfect_copy"]["reported"].value
    assert rows["black"]["reported"].value > rows["perfect_copy"]["reported"].value
    assert max(row["ssim"].value for row in rows.values()) == pytest.approx(1, abs=1e-5)
    assert math.isinf(rows["perfect_copy"]["psnr"].value)
    assert "black, constant; on 3 of 3 slices" in " ".join(section.text)


def test_the_noise_is_seeded():
    slices, ours = slices_and_reconstructions()
    noise = [AuditSection(slices, ours, seed)().metrics["uniform_noise"]["reported"].value for seed in (1, 1, 2)]
    assert noise[0] == noise[1] != noise[2]


def test_other_slices_are_refused():
    slices, _ = slices_and_reconstructions()
    with pytest.raises(InputError, match="do not belong"):
        AuditSection(slices, SliceSet(slices.pixels[:2], slices.cases[:2], [0, 0]))
