from __future__ import annotations

import pytest
import torch

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.transforms import AnomalyScore, AnomalyScored, anomaly_score


def test_the_score_is_the_z_that_one_percent_of_the_brain_exceeds():
    z_map = torch.arange(10_000.0).view(1, 1, 100, 100)
    mask = torch.ones_like(z_map, dtype=torch.bool)
    assert anomaly_score(z_map, mask).item() == pytest.approx(9_899, abs=1)
    assert anomaly_score(z_map, ~mask).item() == 0


def test_a_volume_has_the_scores_of_its_slices():
    generator = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 40, 48, 4)
    image[:, 8:30, 10:40, :3] = 0.5  # the last slice has no brain
    z_map = torch.randn(image.shape, generator=generator) * (image > 0)
    z_map[0, 10:20, 12:20, 1] = 5.0
    result = AnomalyScore(3.0)(z_map, image)
    for index in range(4):
        alone = AnomalyScore(3.0)(z_map[..., index], image[..., index])
        assert alone["slice_scores"] == [alone["anomaly_score"]] == [result["slice_scores"][index]]
        assert alone["slice_shares"] == [alone["anomalous_share"]] == [result["slice_shares"][index]]
    assert result["anomaly_score"] == result["slice_scores"][1] == pytest.approx(5)
    assert result["slice_scores"][3] == result["slice_shares"][3] == 0
    brain = brain_mask(image.movedim(-1, 0)).sum().item()
    assert result["anomalous_share"] == pytest.approx((z_map >= 3).sum().item() / brain)
    data = AnomalyScored("pred", 3.0)({"pred": z_map, "image": image})
    assert data["result"] == result
